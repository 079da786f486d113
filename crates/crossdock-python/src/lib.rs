//! The native module of crossdock's Python package: what has to be fast, and what has to be the same as in the library.
//!
//! The classes that people use are in `python/crossdock`; they derive from the ones here. Each function has one shape:
//! take the arguments apart, call, wrap the answer. Who does I/O or copies much lets go of the interpreter lock for that.

#![expect(clippy::doc_markdown, reason = "what Python shows as help is written as Python writes it")]

mod batch;
mod channel;
mod checkup;
mod errors;
mod file;
mod foreign;
mod keys;
mod local;
mod multi;
mod object;
mod object_store;
mod options;
mod policy;
mod redis;
mod shares;
mod shm;
mod signals;
mod slot;
mod stats;
mod store;
mod stored;
mod table;
mod text;

use pyo3::prelude::*;

/// The name of this host, as policies see it: `$CROSSDOCK_HOSTNAME` if that is set, else what the system says.
#[pyfunction]
fn hostname() -> String {
    crossdock::Hostname::from_environment().get()
}

#[pymodule]
fn _crossdock(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<local::LocalBase>()?;
    module.add_class::<multi::MultiBase>()?;
    module.add_class::<policy::CompiledPolicy>()?;
    module.add_class::<object::View>()?;
    module.add_class::<stored::StoredBase>()?;
    module.add_function(wrap_pyfunction!(hostname, module)?)?;
    module.add_function(wrap_pyfunction!(object::join, module)?)?;
    module.add_function(wrap_pyfunction!(file::open_file, module)?)?;
    module.add_function(wrap_pyfunction!(object_store::open_object_store, module)?)?;
    module.add_function(wrap_pyfunction!(redis::open_redis, module)?)?;
    module.add_function(wrap_pyfunction!(shm::open_shm, module)?)?;
    module.add_function(wrap_pyfunction!(multi::read_tags, module)?)?;
    module.add_function(wrap_pyfunction!(text::read_config, module)?)?;
    Ok(())
}
