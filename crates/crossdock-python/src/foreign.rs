//! Connectors that are written in Python: called by their methods, with their own keys and their own exceptions.

use crossdock::{Error, ErrorKind, PutOptions, Result};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList};

use crate::channel::{Channel, undo};
use crate::errors::{from_python, pass, type_error, type_name};
use crate::file::FileBase;
use crate::multi::MultiBase;
use crate::object::{Object, view_of};

/// The methods without which nothing is a connector.
const METHODS: [&str; 6] = ["put", "get", "exists", "evict", "config", "close"];

pub(crate) struct Foreign {
    connector: Py<PyAny>,
    takes_tags: bool,
    takes_durability: bool,
    can_defer: bool,
}

impl Foreign {
    pub(crate) fn new(connector: &Bound<'_, PyAny>) -> PyResult<Self> {
        let has = |name: &str| connector.getattr_opt(name).map(|found| found.is_some());
        for name in METHODS {
            if !has(name)? {
                let class = type_name(connector);
                return Err(type_error(format!("{class} is no connector: it has no method {name}()")));
            }
        }
        let is_multi = connector.is_instance_of::<MultiBase>();
        Ok(Self {
            connector: connector.clone().unbind(),
            takes_tags: is_multi || takes(connector, "subset_tags")?,
            takes_durability: is_multi || connector.is_instance_of::<FileBase>(),
            can_defer: has("new_key")? && has("set")?,
        })
    }

    pub(crate) fn connector(&self) -> &Py<PyAny> {
        &self.connector
    }

    fn arguments<'py>(&self, py: Python<'py>, options: &PutOptions, with_tags: bool) -> Result<Bound<'py, PyDict>> {
        let arguments = PyDict::new(py);
        if let Some(level) = options.durability {
            if !self.takes_durability {
                let message = format!(
                    "durability \"{}\" is asked for, which a connector of Python cannot be asked for; put without",
                    level.as_str()
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            arguments.set_item(intern!(py, "durability"), level.as_str()).map_err(pass)?;
        }
        if with_tags && self.takes_tags {
            arguments.set_item(intern!(py, "subset_tags"), &options.subset_tags).map_err(pass)?;
            arguments.set_item(intern!(py, "superset_tags"), &options.superset_tags).map_err(pass)?;
        }
        Ok(arguments)
    }

    /// A method, if the connector has it.
    fn method<'py>(&self, py: Python<'py>, name: &str) -> Result<Option<Bound<'py, PyAny>>> {
        self.connector.bind(py).getattr_opt(name).map_err(|raised| from_python(py, raised))
    }
}

/// Whether the connector's `put` takes an argument of that name, as ProxyStore's multi-connector does.
fn takes(connector: &Bound<'_, PyAny>, argument: &str) -> PyResult<bool> {
    let inspect = connector.py().import("inspect")?;
    match inspect.call_method1("signature", (connector.getattr("put")?,)) {
        Ok(signature) => signature.getattr("parameters")?.contains(argument),
        // Some callables have no signature to be looked at.
        Err(_) => Ok(false),
    }
}

fn handed_out<'py>(object: Bound<'py, PyAny>, view: Option<bool>) -> Result<Option<Bound<'py, PyAny>>> {
    match view {
        _ if object.is_none() => Ok(None),
        Some(true) => view_of(&object).map(Some),
        _ => Ok(Some(object)),
    }
}

impl Channel for Foreign {
    fn put<'py>(&self, py: Python<'py>, object: &Object<'py>, options: &PutOptions) -> Result<Bound<'py, PyAny>> {
        let arguments = self.arguments(py, options, true)?;
        let connector = self.connector.bind(py);
        let key = connector.call_method(intern!(py, "put"), (&object.given,), Some(&arguments));
        key.map_err(|raised| from_python(py, raised))
    }

    fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objects: &[&Object<'py>],
        options: &PutOptions,
    ) -> Result<Vec<Bound<'py, PyAny>>> {
        if let Some(method) = self.method(py, "put_batch")? {
            let arguments = self.arguments(py, options, true)?;
            let objects = PyList::new(py, objects.iter().map(|object| &object.given)).map_err(pass)?;
            let keys = method.call((objects,), Some(&arguments)).and_then(|keys| keys.try_iter()?.collect());
            return keys.map_err(|raised| from_python(py, raised));
        }
        let mut written = Vec::with_capacity(objects.len());
        for object in objects {
            match self.put(py, object, options) {
                Ok(key) => written.push(key),
                Err(error) => return Err(undo(self, py, written, error)),
            }
        }
        Ok(written)
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        view: Option<bool>,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let object = self.connector.bind(py).call_method1(intern!(py, "get"), (key,));
        handed_out(object.map_err(|raised| from_python(py, raised))?, view)
    }

    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &[Bound<'py, PyAny>],
        view: Option<bool>,
    ) -> Result<Vec<Option<Bound<'py, PyAny>>>> {
        let Some(method) = self.method(py, "get_batch")? else {
            return keys.iter().map(|key| self.get(py, key, view)).collect();
        };
        let keys = PyList::new(py, keys).map_err(pass)?;
        let found = method.call1((keys,)).and_then(|found| found.try_iter()?.collect::<PyResult<Vec<_>>>());
        let found = found.map_err(|raised| from_python(py, raised))?;
        found.into_iter().map(|object| handed_out(object, view)).collect()
    }

    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<bool> {
        let exists = self.connector.bind(py).call_method1(intern!(py, "exists"), (key,));
        let exists = exists.and_then(|exists| match exists.cast::<PyBool>() {
            Ok(exists) => Ok(exists.is_true()),
            Err(_) => exists.is_truthy(),
        });
        exists.map_err(|raised| from_python(py, raised))
    }

    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<()> {
        let evicted = self.connector.bind(py).call_method1(intern!(py, "evict"), (key,));
        evicted.map(drop).map_err(|raised| from_python(py, raised))
    }

    fn new_key<'py>(
        &self,
        py: Python<'py>,
        object: Option<&Object<'py>>,
        options: &PutOptions,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        if !self.can_defer {
            return Ok(None);
        }
        let connector = self.connector.bind(py);
        let arguments = if self.takes_tags { Some(self.arguments(py, options, true)?) } else { None };
        let given: Vec<_> = object.iter().map(|object| &object.given).collect();
        let given = pyo3::types::PyTuple::new(py, given).map_err(pass)?;
        let key = connector.call_method(intern!(py, "new_key"), given, arguments.as_ref());
        key.map(Some).map_err(|raised| from_python(py, raised))
    }

    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        object: &Object<'py>,
        options: &PutOptions,
    ) -> Result<()> {
        if !self.can_defer {
            let message = "this connector cannot make a key before its object; use put";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let arguments = self.arguments(py, options, false)?;
        let set = self.connector.bind(py).call_method(intern!(py, "set"), (key, &object.given), Some(&arguments));
        set.map(drop).map_err(|raised| from_python(py, raised))
    }
}
