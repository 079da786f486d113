//! `FileConnector`: objects as files.

use crossdock::config::Reference;
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{GetOptions, Key, Result};
use pyo3::prelude::*;

use crate::errors::raise;
use crate::keys::FILE_KEYS;
use crate::object::NewMemory;
use crate::options::{parse_durability, parse_integrity};
use crate::signals::blocking;
use crate::stored::{Native, Stored, StoredBase};

impl Native for FileConnector {
    fn require_open(&self) -> Result<()> {
        self.require_open()
    }

    fn get_into(&self, key: &Key, allocate: &mut dyn FnMut(usize) -> Result<NewMemory>) -> Result<bool> {
        self.get_into(key, &GetOptions::default(), allocate).map(|filled| filled.is_some())
    }
}

/// Opens the connector of a `FileConnector`, and says its directory as the config has it.
///
/// `dir` may hold references; without any it is taken from the working directory now. `clear`: `None` where the connector
/// comes from a config, whose directory only a put makes.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one for each option of the constructor")]
pub(crate) fn open_file(
    py: Python<'_>,
    base: &StoredBase,
    dir: &str,
    clear: Option<bool>,
    durability: &str,
    integrity: &str,
    allow_foreign_owner: bool,
    make_dir: bool,
    write_once: bool,
    max_total_bytes: Option<u64>,
    zero_copy: bool,
) -> PyResult<String> {
    let options = if dir.contains("${") {
        FileOptions::at(Reference::new(dir).map_err(|error| raise(py, &error))?)
    } else {
        FileOptions::new(dir)
    };
    let options = options
        .clear(clear.unwrap_or(false))
        .durability(parse_durability(durability)?)
        .integrity(parse_integrity(integrity)?)
        .allow_foreign_owner(allow_foreign_owner)
        .make_dir(make_dir)
        .write_once(write_once);
    let options = match max_total_bytes {
        Some(bytes) => options.max_total_bytes(bytes),
        None => options,
    };
    let open = || match clear {
        Some(_) if make_dir => FileConnector::open(&options),
        _ => FileConnector::attach(&options),
    };
    let connector = blocking(py, open).map_err(|error| raise(py, &error.during("open")))?;
    base.fill(Stored { connector: Box::new(connector), keys: &FILE_KEYS, zero_copy })?;
    Ok(options.dir().to_owned())
}
