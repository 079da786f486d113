//! Connectors that are written in Python: called by their methods, with their own keys and their own exceptions.

use crossdock::{Checkup, Error, ErrorKind, PutOptions, Result};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyType};

use crate::channel::{Channel, undo};
use crate::checkup;
use crate::errors::{from_python, pass, type_error, type_name};
use crate::multi::MultiBase;
use crate::object::{Object, view_of};
use crate::stored::StoredBase;

/// The methods without which nothing is a connector.
const METHODS: [&str; 6] = ["put", "get", "exists", "evict", "config", "close"];

pub(crate) struct Foreign {
    connector: Py<PyAny>,
    put: Keywords,
    put_batch: Keywords,
    new_key: Keywords,
    set: Keywords,
    can_defer: bool,
}

/// Which of our keywords a method takes, as those of ProxyStore's multi-connector and of our own do.
#[derive(Clone, Copy)]
struct Keywords {
    subset_tags: bool,
    superset_tags: bool,
    durability: bool,
}

impl Keywords {
    const NONE: Self = Self { subset_tags: false, superset_tags: false, durability: false };

    fn of(connector: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let inspect = connector.py().import("inspect")?;
        let Some(method) = connector.getattr_opt(name)? else { return Ok(Self::NONE) };
        let (method_takes_tags, method_takes_durability) = (name != "set", name != "new_key");
        // Some callables have no signature to be looked at.
        let Ok(signature) = inspect.call_method1("signature", (method,)) else { return Ok(Self::NONE) };
        let parameters = signature.getattr("parameters")?;
        // What a class derived from ours takes as `**kwargs`, it hands on to ours.
        let is_any = |parameter: PyResult<Bound<'_, PyAny>>| {
            let kind = parameter?.getattr("kind")?;
            kind.eq(kind.get_type().getattr("VAR_KEYWORD")?)
        };
        let any =
            parameters.call_method0("values")?.try_iter()?.map(is_any).collect::<PyResult<Vec<_>>>()?.contains(&true);
        let tags = any && connector.is_instance_of::<MultiBase>();
        let durability = tags || any && connector.is_instance_of::<StoredBase>();
        let takes = |name: &str, by_any: bool| parameters.contains(name).map(|named| named || by_any);
        Ok(Self {
            subset_tags: takes("subset_tags", tags && method_takes_tags)?,
            superset_tags: takes("superset_tags", tags && method_takes_tags)?,
            durability: takes("durability", durability && method_takes_durability)?,
        })
    }

    /// What is asked for, as far as the method takes it.
    ///
    /// # Errors
    /// `Unsupported` for a durability that it does not take: it would not be reached.
    fn arguments<'py>(self, py: Python<'py>, options: &PutOptions) -> Result<Bound<'py, PyDict>> {
        let arguments = PyDict::new(py);
        match options.durability {
            Some(level) if self.durability => arguments.set_item("durability", level.as_str()).map_err(pass)?,
            Some(level) => {
                let message = format!(
                    "durability \"{}\" is asked for, which this connector of Python does not take; put without",
                    level.as_str()
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            None => {}
        }
        if self.subset_tags {
            arguments.set_item("subset_tags", &options.subset_tags).map_err(pass)?;
        }
        if self.superset_tags {
            arguments.set_item("superset_tags", &options.superset_tags).map_err(pass)?;
        }
        Ok(arguments)
    }
}

impl Foreign {
    pub(crate) fn new(connector: &Bound<'_, PyAny>) -> PyResult<Self> {
        let has = |name: &str| connector.getattr_opt(name).map(|found| found.is_some());
        let class = type_name(connector);
        if connector.is_instance_of::<PyType>() {
            return Err(type_error(format!(
                "a connector is wanted, not a class; call it: {}(...)",
                class_name(connector)
            )));
        }
        for name in METHODS {
            if !has(name)? {
                return Err(type_error(format!("{class} is no connector: it has no method {name}()")));
            }
        }
        Ok(Self {
            connector: connector.clone().unbind(),
            put: Keywords::of(connector, "put")?,
            put_batch: Keywords::of(connector, "put_batch")?,
            new_key: Keywords::of(connector, "new_key")?,
            set: Keywords::of(connector, "set")?,
            can_defer: has("new_key")? && has("set")?,
        })
    }

    pub(crate) fn connector(&self) -> &Py<PyAny> {
        &self.connector
    }

    /// A method, if the connector has it.
    fn method<'py>(&self, py: Python<'py>, name: &str) -> Result<Option<Bound<'py, PyAny>>> {
        self.connector.bind(py).getattr_opt(name).map_err(|raised| from_python(py, raised))
    }
}

fn class_name(class: &Bound<'_, PyAny>) -> String {
    class.getattr("__name__").map_or_else(|_| String::new(), |name| name.to_string())
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
        let arguments = self.put.arguments(py, options)?;
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
            let arguments = self.put_batch.arguments(py, options)?;
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
        let arguments = self.new_key.arguments(py, options)?;
        let given: Vec<_> = object.iter().map(|object| &object.given).collect();
        let given = pyo3::types::PyTuple::new(py, given).map_err(pass)?;
        let key = connector.call_method(intern!(py, "new_key"), given, Some(&arguments));
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
            return Err(Error::not_deferrable());
        }
        let arguments = self.set.arguments(py, options)?;
        let set = self.connector.bind(py).call_method(intern!(py, "set"), (key, &object.given), Some(&arguments));
        set.map(drop).map_err(|raised| from_python(py, raised))
    }

    fn check(&self, py: Python<'_>) -> Result<Checkup> {
        checkup::of(self, py)
    }
}
