//! `SharedMemoryConnector`: objects in shared memory.

use crossdock::config::Reference;
use crossdock::connectors::{ShmConnector, ShmOptions};
use crossdock::{GetOptions, Key, Result};
use pyo3::prelude::*;

use crate::errors::raise;
use crate::keys::SHM_KEYS;
use crate::object::NewMemory;
use crate::options::parse_integrity;
use crate::signals::blocking;
use crate::stored::{Native, Stored, StoredBase};

impl Native for ShmConnector {
    fn require_open(&self) -> Result<()> {
        self.require_open()
    }

    fn get_into(&self, key: &Key, allocate: &mut dyn FnMut(usize) -> Result<NewMemory>) -> Result<bool> {
        self.get_into(key, &GetOptions::default(), allocate).map(|filled| filled.is_some())
    }
}

/// Opens the connector of a `SharedMemoryConnector`, and says its directory as the config has it; `None` for the default one.
///
/// `dir` may hold references; without any it is taken from the working directory now. `clear`: `None` where the connector
/// comes from a config, whose directory only a put makes.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one for each option of the constructor")]
pub(crate) fn open_shm(
    py: Python<'_>,
    base: &StoredBase,
    dir: Option<&str>,
    clear: Option<bool>,
    integrity: &str,
    max_total_bytes: Option<u64>,
    recycle_bytes: Option<u64>,
    zero_copy: bool,
) -> PyResult<Option<String>> {
    let options = match dir {
        None => ShmOptions::new(),
        Some(dir) if dir.contains("${") => ShmOptions::at(Reference::new(dir).map_err(|error| raise(py, &error))?),
        Some(dir) => ShmOptions::in_dir(dir),
    };
    let mut options = options.clear(clear.unwrap_or(false)).integrity(parse_integrity(integrity)?);
    if let Some(bytes) = max_total_bytes {
        options = options.max_total_bytes(bytes);
    }
    if let Some(bytes) = recycle_bytes {
        options = options.recycle_bytes(bytes);
    }
    let open = || match clear {
        Some(_) => ShmConnector::open(&options),
        None => ShmConnector::attach(&options),
    };
    let connector = blocking(py, open).map_err(|error| raise(py, &error.during("open")))?;
    base.fill(Stored { connector: Box::new(connector), keys: &SHM_KEYS, zero_copy })?;
    Ok(options.dir().map(str::to_owned))
}
