//! `ObjectStoreConnector`: objects in S3 and its like.

use crossdock::config::Fields;
use crossdock::connectors::{ObjectStoreConnector, ObjectStoreOptions};
use crossdock::{Bytes, Connector, GetOptions, Key, Opener, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::raise;
use crate::keys::OBJECT_STORE_KEYS;
use crate::object::NewMemory;
use crate::signals::blocking;
use crate::stored::{Native, Stored, StoredBase};
use crate::table;

impl Native for ObjectStoreConnector {
    fn require_open(&self) -> Result<()> {
        self.require_open()
    }

    fn get_into(&self, key: &Key, allocate: &mut dyn FnMut(usize) -> Result<NewMemory>) -> Result<bool> {
        self.get_into(key, &GetOptions::default(), allocate).map(|filled| filled.is_some())
    }

    /// Through buffers of the library: what takes the time is the way to the store.
    fn get_batch_into(
        &self,
        keys: &[Key],
        allocate: &mut (dyn FnMut(usize, usize) -> Result<NewMemory> + Send),
    ) -> Result<Vec<bool>> {
        let found = self.get_batch(keys, &GetOptions::default())?;
        let copy = |(place, object): (usize, Option<Bytes>)| {
            let Some(object) = object else { return Ok(false) };
            allocate(place, object.len())?.as_mut()[..object.len()].write_copy_of_slice(&object);
            Ok(true)
        };
        found.into_iter().enumerate().map(copy).collect()
    }
}

/// Opens the connector of an `ObjectStoreConnector`, without connecting, and says its options as the config has them.
#[pyfunction]
pub(crate) fn open_object_store<'py>(
    py: Python<'py>,
    base: &StoredBase,
    options: &Bound<'py, PyDict>,
    clear: bool,
    zero_copy: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let given = table::from_python(options)?;
    let open = || {
        let fields = Fields::new(&given, "ObjectStoreConnector", ObjectStoreOptions::FIELDS)?;
        let options = ObjectStoreOptions::from_fields(&fields)?;
        Ok((ObjectStoreConnector::open(&options.clone().clear(clear))?, options.config()))
    };
    let (connector, config) = blocking(py, open).map_err(|error| raise(py, &error))?;
    base.fill(Stored { connector: Box::new(connector), keys: &OBJECT_STORE_KEYS, zero_copy })?;
    table::to_python(py, &config.options)
}
