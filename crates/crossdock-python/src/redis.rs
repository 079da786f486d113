//! `RedisConnector`: objects in Redis or Valkey.

use crossdock::config::Fields;
use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock::{Bytes, GetOptions, Key, ObjectKey, Opener, PutOptions, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::raise;
use crate::keys::REDIS_KEYS;
use crate::object::NewMemory;
use crate::stored::{Native, Stored, StoredBase};
use crate::table;

impl Native for RedisConnector {
    fn require_open(&self) -> Result<()> {
        self.require_open()
    }

    fn put_batch_while(
        &self,
        objects: &[Bytes],
        options: &PutOptions,
        meanwhile: &mut dyn FnMut(&[ObjectKey]),
    ) -> Result<Vec<Key>> {
        self.put_batch_while(objects, options, meanwhile)
    }

    fn get_into(&self, key: &Key, allocate: &mut dyn FnMut(usize) -> Result<NewMemory>) -> Result<bool> {
        self.get_into(key, &GetOptions::default(), allocate).map(|filled| filled.is_some())
    }

    fn get_batch_into(
        &self,
        keys: &[Key],
        allocate: &mut (dyn FnMut(usize, usize) -> Result<NewMemory> + Send),
    ) -> Result<Vec<bool>> {
        let filled = self.get_batch_into(keys, &GetOptions::default(), allocate)?;
        Ok(filled.iter().map(Option::is_some).collect())
    }
}

/// Opens the connector of a `RedisConnector`, without connecting, and says its options as the config has them.
#[pyfunction]
pub(crate) fn open_redis<'py>(
    py: Python<'py>,
    base: &StoredBase,
    options: &Bound<'py, PyDict>,
    clear: bool,
    zero_copy: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let given = table::from_python(options)?;
    let open = || {
        let options = RedisOptions::from_fields(&Fields::new(&given, "RedisConnector", RedisOptions::FIELDS)?)?;
        Ok((RedisConnector::attach(&options.clone().clear(clear))?, options.config()))
    };
    let (connector, config) = open().map_err(|error: crossdock::Error| raise(py, &error))?;
    base.fill(Stored { connector: Box::new(connector), keys: &REDIS_KEYS, zero_copy })?;
    table::to_python(py, &config.options)
}
