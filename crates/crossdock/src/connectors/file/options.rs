//! The options of a file connector.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileConnector;
use crate::config::{ConnectorConfig, FieldKind, FieldSpec, Fields, Reference, Table};
use crate::connector::{Connector, Opener, Properties};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Durability, Integrity};

/// How a [`FileConnector`] is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    pub(super) dir: Reference,
    pub(super) clear: bool,
    pub(super) durability: Durability,
    pub(super) integrity: Integrity,
    pub(super) allow_foreign_owner: bool,
    /// Write under the final name even where unnamed files could be had: for tests of the way without them.
    pub(super) direct: bool,
}

const DURABILITIES: &[Durability] = &[Durability::Process, Durability::Host];
const INTEGRITIES: &[Integrity] = &[Integrity::Size, Integrity::Checksum];

impl FileOptions {
    /// Objects in `dir`, with the defaults: durability `process`, integrity `checksum`, nothing cleared.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self::at(Reference::literal(&dir.as_ref().to_string_lossy()))
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

    /// The fields of this connector in a config.
    pub const FIELDS: &'static [FieldSpec] = &[
        FieldSpec {
            name: "dir",
            alias: Some("store_dir"),
            kind: FieldKind::Text,
            doc: "The directory of the objects; made with mode 0700 where it is missing. Required.",
        },
        FieldSpec {
            name: "durability",
            alias: None,
            kind: FieldKind::Choice(&["process", "host"]),
            doc: "What an object survives once put has returned: the end of the process, or a power cut of the host. \
                  Default \"process\".",
        },
        FieldSpec {
            name: "integrity",
            alias: None,
            kind: FieldKind::Choice(&["size", "checksum"]),
            doc: "What keys carry and what is checked of an object when it is read. Default \"checksum\".",
        },
        FieldSpec {
            name: "allow_foreign_owner",
            alias: None,
            kind: FieldKind::Bool,
            doc: "Whether the directory and its files may belong to another user, who could change them. Default false.",
        },
        FieldSpec {
            name: "clear",
            alias: None,
            kind: FieldKind::Bool,
            doc: "Read because ProxyStore writes it; without effect: a connector built from a config never clears.",
        },
        FieldSpec {
            name: "buffering",
            alias: None,
            kind: FieldKind::Integer,
            doc: "Read because ProxyStore writes it; without effect: objects are written in one piece.",
        },
    ];

    /// Reads the options from a config.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self> {
        fields.boolean("clear")?;
        fields.integer("buffering")?;
        let dir = fields.text("dir")?.filter(|dir| !dir.as_str().is_empty()).ok_or_else(|| {
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
        Ok(options)
    }

    pub(super) fn resolve_dir(&self) -> Result<PathBuf> {
        let dir = self.dir.resolve()?;
        std::path::absolute(&dir).map_err(|cause| {
            let message = format!("{dir:?} is not a path: {cause}; name the directory of the objects");
            Error::new(ErrorKind::InvalidConfig, message).with_source(cause)
        })
    }

    /// The directory for a config: its references, which each host resolves anew, or else the absolute path.
    pub(super) fn travelling_dir(&self, absolute: &Path) -> Reference {
        match self.dir.resolve() {
            Ok(resolved) if self.dir == Reference::literal(&resolved) => {
                Reference::literal(&absolute.to_string_lossy())
            }
            _ => self.dir.clone(),
        }
    }
}

fn by_word<T: Copy>(all: &[T], word_of: impl Fn(T) -> &'static str, word: &str) -> Option<T> {
    all.iter().copied().find(|each| word_of(*each) == word)
}

impl Opener for FileOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(FileConnector::open(self)?))
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
        ConnectorConfig { type_name: "file".to_owned(), options }
    }

    fn properties(&self) -> Properties {
        Properties { durability: Some(Durability::Host), remote: false, shared: true }
    }
}
