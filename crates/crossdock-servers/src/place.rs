//! Private directories of servers.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;

use crate::error::{Context, Error, Result};

const PREFIX: &str = "crossdock-servers-";
/// Paths of sockets have room for 107 bytes.
const LONGEST_BASE: usize = 70;

/// A private directory, removed when dropped. Its owner holds a lock on it, so that those of killed owners are known.
pub(crate) struct Place {
    path: PathBuf,
    owner: u32,
    _lock: File,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        static SWEPT: Once = Once::new();
        let base = base();
        SWEPT.call_once(|| sweep(&base));
        for _ in 0..10 {
            let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&base);
            let path = made.context(|| format!("cannot make a directory in {}", base.display()))?.keep();
            // Another process that sweeps may come between; then this directory is gone, or soon will be.
            if let Some(lock) = lock(&path)
                && path.exists()
            {
                return Ok(Self { path, owner: std::process::id(), _lock: lock });
            }
        }
        Err(Error::failed(format!("directories made in {} disappear at once", base.display())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A forked child has a copy of this, and no right to what is its parent's.
        if self.owner == std::process::id() {
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

fn base() -> PathBuf {
    let base = env::temp_dir();
    if base.as_os_str().len() <= LONGEST_BASE { base } else { "/tmp".into() }
}

fn lock(dir: &Path) -> Option<File> {
    let file = File::open(dir).ok()?;
    file.try_lock().ok().map(|()| file)
}

/// Removes what killed owners left: directories of ours that nobody has locked.
fn sweep(base: &Path) {
    let us = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let left = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == us);
        if left && let Some(_lock) = lock(&entry.path()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
