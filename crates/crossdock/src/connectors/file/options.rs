//! The options of a file connector.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileConnector;
use crate::config::{ConnectorConfig, FieldKind, FieldSpec, Fields, Reference, Table, resolve_directory};
use crate::connector::{Connector, Opener, Properties};
use crate::error::Result;
use crate::options::{Durability, Integrity};

/// How a [`FileConnector`] is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    pub(super) dir: Reference,
    pub(super) clear: bool,
    pub(super) durability: Durability,
    pub(super) integrity: Integrity,
    pub(super) allow_foreign_owner: bool,
    pub(super) make_dir: bool,
    pub(super) write_once: bool,
    pub(super) max_total_bytes: Option<u64>,
    /// The path was no UTF-8, which configs and messages cannot hold.
    pub(super) not_utf8: bool,
    /// Write under the final name even where unnamed files could be had: for tests of the way without them.
    pub(super) direct: bool,
}

const DURABILITIES: &[Durability] = &[Durability::Process, Durability::Host];
const INTEGRITIES: &[Integrity] = &[Integrity::Size, Integrity::Checksum];

impl FileOptions {
    /// Objects in `dir`, with the defaults: durability `process`, integrity `checksum`, nothing cleared. A relative path
    /// is taken from the working directory now.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        let dir = std::path::absolute(&dir).unwrap_or_else(|_| dir.as_ref().to_owned());
        Self { not_utf8: dir.to_str().is_none(), ..Self::at(Reference::literal(&dir.to_string_lossy())) }
    }

    /// Objects in a directory whose path may contain references such as `${env:SCRATCH}`.
    #[must_use]
    pub fn at(dir: Reference) -> Self {
        Self {
            dir,
            clear: false,
            durability: Durability::Process,
            integrity: Integrity::Checksum,
            allow_foreign_owner: false,
            make_dir: true,
            write_once: true,
            max_total_bytes: None,
            not_utf8: false,
            direct: false,
        }
    }

    /// The directory, with its references unresolved.
    #[must_use]
    pub fn dir(&self) -> &str {
        self.dir.as_str()
    }

    /// Whether `close` removes all objects, and the directory if nothing else is in it. Counts only in the process that
    /// asked for it, and is no part of the config.
    #[must_use]
    pub fn clear(mut self, clear: bool) -> Self {
        self.clear = clear;
        self
    }

    /// The durability of puts that name none.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What keys carry, and what is checked of copies.
    #[must_use]
    pub fn integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = integrity;
        self
    }

    /// Whether the directory and the files in it may belong to another user, who could change them.
    #[must_use]
    pub fn allow_foreign_owner(mut self, allow: bool) -> Self {
        self.allow_foreign_owner = allow;
        self
    }

    /// Whether a put makes the directory, with its ancestors, where it is missing. Without, such a put is `Unavailable`:
    /// for directories on file systems that may not be mounted. Default: it does.
    #[must_use]
    pub fn make_dir(mut self, make: bool) -> Self {
        self.make_dir = make;
        self
    }

    /// Whether an object is written once. Without, a `set` with other bytes replaces the object, whole, as ProxyStore's
    /// does; keys then say nothing of the bytes, so that these are not checked. Default: it is.
    #[must_use]
    pub fn write_once(mut self, write_once: bool) -> Self {
        self.write_once = write_once;
        self
    }

    /// The most bytes that all objects in the directory may take together, whoever put them. What is over is
    /// [`Full`](crate::ErrorKind::Full), or [`TooLarge`](crate::ErrorKind::TooLarge) where it alone is more. Default: no bound.
    ///
    /// Every connector that writes to the directory should have the same bound. They count in a file beside the objects,
    /// `.crossdock-usage`, whose locks keep them within it together. What others put or remove (ProxyStore, connectors
    /// without a bound) is seen before a put is refused (among more than 5,000 objects: unless they were looked through
    /// just now, so that it takes no more than a tenth of the time), and otherwise after 5 s, or after 100 times what
    /// looking through them takes.
    ///
    /// Markers, directory entries and what killed writers left are not counted. On a file system without locks, writers
    /// that put at the same moment may pass the bound for that time.
    #[must_use]
    pub fn max_total_bytes(mut self, bytes: u64) -> Self {
        self.max_total_bytes = Some(bytes);
        self
    }

    /// The fields of this connector in a config.
    pub const FIELDS: &'static [FieldSpec] = &[
        FieldSpec::new(
            "dir",
            FieldKind::Text,
            "The directory of the objects; made with mode 0700 where it is missing. Required.",
        )
        .alias("store_dir")
        .required(),
        FieldSpec::new(
            "durability",
            FieldKind::Choice(&["process", "host"]),
            "What an object survives once put has returned: the end of the process, or a power cut of the host. \
                  Default \"process\".",
        ),
        FieldSpec::new(
            "integrity",
            FieldKind::Choice(&["size", "checksum"]),
            "What keys carry and what is checked of an object when it is read. Default \"checksum\".",
        ),
        FieldSpec::new(
            "allow_foreign_owner",
            FieldKind::Bool,
            "Whether the directory and its files may belong to another user, who could change them. Default false.",
        ),
        FieldSpec::new(
            "make_dir",
            FieldKind::Bool,
            "Whether a put makes the directory where it is missing. With false such a put is refused, or falls back: for \
             file systems that may not be mounted. Default true.",
        ),
        FieldSpec::new(
            "write_once",
            FieldKind::Bool,
            "Whether an object is written once. With false, setting a key again replaces its object, and keys carry no size \
             and no checksum: for ProxyStore's ref.update(). Default true.",
        ),
        FieldSpec::new(
            "max_total_bytes",
            FieldKind::Size,
            "The most bytes that all objects in the directory may take together, whoever put them. Default: no bound.",
        ),
        FieldSpec::new(
            "clear",
            FieldKind::Bool,
            "Read because ProxyStore writes it; without effect: a connector built from a config never clears.",
        ),
        FieldSpec::new(
            "buffering",
            FieldKind::Integer,
            "Read because ProxyStore writes it; without effect: objects are written in one piece.",
        ),
    ];

    /// Reads the options from a config.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self> {
        fields.boolean("clear")?;
        fields.integer("buffering")?;
        let dir = fields.directory("dir")?.ok_or_else(|| {
            fields.wrong("dir", "the directory is missing; add a line such as dir = \"/scratch/my-run\"")
        })?;
        let mut options = Self::at(dir);
        if let Some(word) = fields.choice("durability")? {
            options.durability = by_word(DURABILITIES, Durability::as_str, word).unwrap_or(options.durability);
        }
        if let Some(word) = fields.choice("integrity")? {
            options.integrity = by_word(INTEGRITIES, Integrity::as_str, word).unwrap_or(options.integrity);
        }
        options.allow_foreign_owner = fields.boolean("allow_foreign_owner")?.unwrap_or(false);
        options.make_dir = fields.boolean("make_dir")?.unwrap_or(true);
        options.write_once = fields.boolean("write_once")?.unwrap_or(true);
        options.max_total_bytes = fields.size("max_total_bytes")?;
        Ok(options)
    }

    pub(super) fn resolve_dir(&self) -> Result<PathBuf> {
        resolve_directory(&self.dir, "dir", self.not_utf8)
    }
}

fn by_word<T: Copy>(all: &[T], word_of: impl Fn(T) -> &'static str, word: &str) -> Option<T> {
    all.iter().copied().find(|each| word_of(*each) == word)
}

impl Opener for FileOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(FileConnector::attach(self)?))
    }

    fn config(&self) -> ConnectorConfig {
        let mut options = Table::new().with("dir", self.dir.as_str());
        let plain = Self::at(self.dir.clone());
        if self.durability != plain.durability {
            options.set("durability", self.durability.as_str());
        }
        if self.integrity != plain.integrity {
            options.set("integrity", self.integrity.as_str());
        }
        if self.allow_foreign_owner {
            options.set("allow_foreign_owner", true);
        }
        if !self.make_dir {
            options.set("make_dir", false);
        }
        if !self.write_once {
            options.set("write_once", false);
        }
        if let Some(bytes) = self.max_total_bytes {
            options.set("max_total_bytes", bytes);
        }
        ConnectorConfig { type_name: "file".to_owned(), options }
    }

    fn properties(&self) -> Properties {
        Properties { durability: Some(Durability::Host), remote: false, shared: true }
    }
}
