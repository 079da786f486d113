//! Directories in memory for tests of shared memory.

use std::fs;
use std::path::{Path, PathBuf};

use crossdock::connectors::{ShmConnector, ShmOptions};
use crossdock::{Bytes, ConnectorExt, Key};

/// A directory of its own in memory.
pub(crate) struct Place(pub(crate) tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.0.path().join("objects")
    }

    pub(crate) fn options(&self) -> ShmOptions {
        ShmOptions::in_dir(self.dir())
    }

    pub(crate) fn open(&self) -> ShmConnector {
        ShmConnector::open(&self.options()).unwrap()
    }

    /// What is below the directory of state.
    pub(crate) fn state(&self) -> Vec<String> {
        names(&self.dir().join(".crossdock"))
    }
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn get(shm: &ShmConnector, key: &Key) -> Option<Bytes> {
    shm.get_bytes(key).unwrap()
}
