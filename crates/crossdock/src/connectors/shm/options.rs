//! The options of a shared memory connector.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ShmConnector;
use crate::config::{ConnectorConfig, FieldKind, FieldSpec, Fields, Reference, Table, resolve_directory};
use crate::connector::{Connector, Opener, Properties};
use crate::error::Result;
use crate::options::{Durability, Integrity};

/// The most that is kept of evicted objects, in bytes, where the options do not say.
const RECYCLED: u64 = 256 << 20;
/// And no more than this part of the file system.
const RECYCLED_PART: u64 = 8;

/// How a [`ShmConnector`] is to be built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShmOptions {
    pub(super) dir: Option<Reference>,
    pub(super) clear: bool,
    pub(super) checksums: bool,
    pub(super) max_total_bytes: Option<u64>,
    pub(super) recycle_bytes: Option<u64>,
    /// The path was no UTF-8, which configs and messages cannot hold.
    pub(super) not_utf8: bool,
}

impl ShmOptions {
    /// Objects in the user's own directory below `/dev/shm` (`crossdock-` and the number of the user), no bound, keys with
    /// the size.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Objects in this directory. A relative path is taken from the working directory now.
    pub fn in_dir(dir: impl AsRef<Path>) -> Self {
        let dir = std::path::absolute(&dir).unwrap_or_else(|_| dir.as_ref().to_owned());
        Self { not_utf8: dir.to_str().is_none(), ..Self::at(Reference::literal(&dir.to_string_lossy())) }
    }

    /// Objects in a directory whose path may contain references such as `${env:USER}`.
    #[must_use]
    pub fn at(dir: Reference) -> Self {
        Self { dir: Some(dir), ..Self::default() }
    }

    /// The directory, with its references unresolved; `None` for the default one.
    #[must_use]
    pub fn dir(&self) -> Option<&str> {
        self.dir.as_ref().map(Reference::as_str)
    }

    /// Whether `close` removes all objects, and the directory if nothing else is in it. Counts only in the process that
    /// asked for it, and is no part of the config.
    #[must_use]
    pub fn clear(mut self, clear: bool) -> Self {
        self.clear = clear;
        self
    }

    /// What keys carry, and what is checked of what is read. Default: the size, as the bytes cross neither a network nor a
    /// power cut. A checksum has every byte read at every put and get.
    #[must_use]
    pub fn integrity(mut self, integrity: Integrity) -> Self {
        self.checksums = integrity == Integrity::Checksum;
        self
    }

    /// The most bytes that all objects in the directory may take together, whoever put them. What is over is
    /// [`Full`](crate::ErrorKind::Full), or [`TooLarge`](crate::ErrorKind::TooLarge) where it alone is more. Default: as
    /// much as the file system takes.
    ///
    /// Every connector that writes to the directory should have the same bound. Evicted objects that are kept
    /// ([`recycle_bytes`](Self::recycle_bytes), of every process that puts) are not counted, nor the 64 bytes in front of
    /// each object. Small objects do not share files under a bound, so that putting one takes some system calls; those that a
    /// process without the bound has put count as soon as the objects are counted anew.
    #[must_use]
    pub fn max_total_bytes(mut self, bytes: u64) -> Self {
        self.max_total_bytes = Some(bytes);
        self
    }

    /// How many bytes of its evicted objects a process may keep, to put further objects into the same memory: a put into
    /// memory that is new takes five times as long. They are given back when the connector is closed or dropped, when the
    /// file system is full, and when the process has ended. 0 keeps none. Default: 256 MiB, and at most an eighth of the
    /// file system.
    ///
    /// The files that small objects share are counted apart: a put gives empty ones back while all of them take more
    /// than a quarter of this, and none is made that would be larger. A process that reads small objects keeps up to 256 of these
    /// files mapped, each of 8 KiB to some more than 1 MiB; their memory may stay taken until it maps another one.
    #[must_use]
    pub fn recycle_bytes(mut self, bytes: u64) -> Self {
        self.recycle_bytes = Some(bytes);
        self
    }

    /// The fields of this connector in a config.
    pub const FIELDS: &'static [FieldSpec] = &[
        FieldSpec::new(
            "dir",
            FieldKind::Text,
            "The directory of the objects, on a memory file system; made with mode 0700 where it is missing. Default: the \
             user's own below /dev/shm.",
        ),
        FieldSpec::new(
            "integrity",
            FieldKind::Choice(&["size", "checksum"]),
            "What keys carry and what is checked of an object when it is read. Default \"size\".",
        ),
        FieldSpec::new(
            "max_total_bytes",
            FieldKind::Size,
            "The most bytes that all objects in the directory may take together, whoever put them. Default: no bound but \
             that of the file system.",
        ),
        FieldSpec::new(
            "recycle_bytes",
            FieldKind::Size,
            "How many bytes of its evicted objects a process may keep to put others there; 0 for none. Default: 256 MiB, \
             and at most an eighth of the file system.",
        ),
    ];

    /// Reads the options from a config.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self> {
        Ok(Self {
            dir: fields.directory("dir")?,
            checksums: fields.choice("integrity")? == Some(Integrity::Checksum.as_str()),
            max_total_bytes: fields.size("max_total_bytes")?,
            recycle_bytes: fields.size("recycle_bytes")?,
            ..Self::default()
        })
    }

    pub(super) fn resolve_dir(&self) -> Result<PathBuf> {
        self.dir.as_ref().map_or_else(|| Ok(PathBuf::new()), |dir| resolve_directory(dir, "dir", self.not_utf8))
    }

    pub(super) fn level(&self) -> Integrity {
        if self.checksums { Integrity::Checksum } else { Integrity::Size }
    }

    /// How much is kept on a file system of that size.
    pub(super) fn recycled(&self, capacity: u64) -> u64 {
        self.recycle_bytes.unwrap_or_else(|| RECYCLED.min(capacity / RECYCLED_PART))
    }
}

impl Opener for ShmOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(ShmConnector::attach(self)?))
    }

    fn config(&self) -> ConnectorConfig {
        let mut options = Table::new();
        if let Some(dir) = self.dir() {
            options.set("dir", dir);
        }
        if self.checksums {
            options.set("integrity", Integrity::Checksum.as_str());
        }
        if let Some(bytes) = self.max_total_bytes {
            options.set("max_total_bytes", bytes);
        }
        if let Some(bytes) = self.recycle_bytes {
            options.set("recycle_bytes", bytes);
        }
        ConnectorConfig { type_name: "shm".to_owned(), options }
    }

    fn properties(&self) -> Properties {
        Properties::NONE.durable(Durability::Process).shared()
    }
}
