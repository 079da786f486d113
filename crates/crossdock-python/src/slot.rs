//! One connector of a multi-connector: open, to be opened at first use, or dormant.

use crossdock::{Checkup, Error, ErrorKind, Key, PutOptions, Result};
use once_cell::race::OnceBox;
use pyo3::exceptions::{PyAttributeError, PyImportError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{PyTraverseError, PyVisit};

use crate::channel::Channel;
use crate::errors::{because, in_slot, is_final, pass, raise, type_error};
use crate::foreign::Foreign;
use crate::keys::no_form;
use crate::local::LocalBase;
use crate::multi::MultiBase;
use crate::object::{Object, size_of};
use crate::stats::{Operation, Stats};
use crate::stored::{Stored, StoredBase};

pub(crate) struct Slot {
    pub(crate) name: Py<PyString>,
    /// Called without arguments for the connector, where it is not open yet.
    opener: Option<Py<PyAny>>,
    /// `OnceBox` has no lock that a fork could leave locked.
    child: OnceBox<Child>,
    pub(crate) stats: Stats,
}

/// The classes over `StoredBase` that are ours.
const STORED: [(&str, &str); 4] = [
    ("crossdock.connectors.file", "FileConnector"),
    ("crossdock.connectors.redis", "RedisConnector"),
    ("crossdock.connectors.object_store", "ObjectStoreConnector"),
    ("crossdock.connectors.shm", "SharedMemoryConnector"),
];

/// A connector that is open.
enum Child {
    Local(Py<LocalBase>),
    Stored(Py<StoredBase>),
    Multi(Py<MultiBase>),
    Foreign(Foreign),
}

impl Child {
    /// Ours are called directly, unless somebody has derived a class of his own and may have changed what it does.
    fn new(connector: &Bound<'_, PyAny>) -> PyResult<Self> {
        let is = |module: &str, class: &str| -> PyResult<bool> {
            let kind = connector.get_type();
            Ok(kind.module()?.to_cow()? == module && kind.qualname()?.to_cow()? == class)
        };
        if let Ok(local) = connector.cast::<LocalBase>()
            && is("crossdock.connectors.local", "LocalConnector")?
        {
            return Ok(Self::Local(local.clone().unbind()));
        }
        if let Ok(stored) = connector.cast::<StoredBase>() {
            for (module, class) in STORED {
                if is(module, class)? {
                    return Ok(Self::Stored(stored.clone().unbind()));
                }
            }
        }
        if let Ok(multi) = connector.cast::<MultiBase>()
            && is("crossdock.connectors.multi", "MultiConnector")?
        {
            if multi.get().depth().is_none() {
                return Err(type_error("the MultiConnector was never built"));
            }
            return Ok(Self::Multi(multi.clone().unbind()));
        }
        Foreign::new(connector).map(Self::Foreign)
    }

    fn channel(&self) -> &dyn Channel {
        match self {
            Self::Local(local) => local.get(),
            Self::Stored(stored) => stored.get(),
            Self::Multi(multi) => multi.get(),
            Self::Foreign(foreign) => foreign,
        }
    }

    /// How many multi-connectors stand in each other from here on.
    fn depth(&self) -> usize {
        match self {
            Self::Multi(multi) => multi.get().depth().unwrap_or(0),
            _ => 0,
        }
    }

    fn connector(&self) -> &Py<PyAny> {
        match self {
            Self::Local(local) => local.as_any(),
            Self::Stored(stored) => stored.as_any(),
            Self::Multi(multi) => multi.as_any(),
            Self::Foreign(foreign) => foreign.connector(),
        }
    }
}

/// How many objects were found, and how many bytes they have.
pub(crate) fn amount_of(found: &[Option<Bound<'_, PyAny>>]) -> (u64, u64) {
    let objects = || found.iter().flatten();
    (objects().count() as u64, objects().map(size_of).sum())
}

impl Slot {
    /// A connector that is open.
    ///
    /// # Errors
    /// `TypeError` for what is no connector.
    pub(crate) fn open(name: Bound<'_, PyString>, connector: &Bound<'_, PyAny>) -> PyResult<Self> {
        let child = OnceBox::with_value(Box::new(Child::new(connector)?));
        Ok(Self { name: name.unbind(), opener: None, child, stats: Stats::default() })
    }

    /// A connector that `opener` opens; a dormant one has none.
    pub(crate) fn lazy(name: Bound<'_, PyString>, opener: Option<Bound<'_, PyAny>>) -> Self {
        let opener = opener.map(Bound::unbind);
        Self { name: name.unbind(), opener, child: OnceBox::new(), stats: Stats::default() }
    }

    fn child(&self, py: Python<'_>) -> Result<&Child> {
        match self.child.get() {
            Some(child) => Ok(child),
            None => self.child.get_or_try_init(|| self.open_now(py).map(Box::new)),
        }
    }

    #[cold]
    fn open_now(&self, py: Python<'_>) -> Result<Child> {
        let Some(opener) = &self.opener else {
            return Err(Error::new(ErrorKind::Dormant, "the connector is dormant on this host"));
        };
        opener.bind(py).call0().and_then(|connector| Child::new(&connector)).map_err(|raised| {
            if is_final(py, &raised) {
                return pass(raised);
            }
            let error = Error::new(ErrorKind::Unavailable, format!("the connector cannot be opened: {raised}"));
            // What is wrong in the code or in the config heals by no retry.
            let is_mistake = raised.is_instance_of::<PyImportError>(py)
                || raised.is_instance_of::<PyAttributeError>(py)
                || raised.is_instance_of::<PyTypeError>(py);
            because(if is_mistake { error.permanent() } else { error }, raised)
        })
    }

    /// The connector, opened now if need be.
    pub(crate) fn connector<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let child = self.child(py).map_err(|error| raise(py, &error.in_connector(&*self.name(py)).during("open")))?;
        Ok(child.connector().bind(py).clone())
    }

    /// The connector, if it is open already.
    pub(crate) fn opened<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.child.get().map(|child| child.connector().bind(py).clone())
    }

    pub(crate) fn depth(&self) -> usize {
        self.child.get().map_or(0, Child::depth)
    }

    /// The connector of the library behind it, if its calls wait for another machine.
    pub(crate) fn remote(&self, py: Python<'_>) -> Option<&Stored> {
        match self.child(py).ok()? {
            Child::Stored(stored) => stored.get().stored().ok().filter(|stored| stored.is_remote()),
            _ => None,
        }
    }

    /// Whether the connector works now, and how. It is opened for that, and nothing is counted.
    pub(crate) fn check(&self, py: Python<'_>) -> Result<Checkup> {
        self.child(py)?.channel().check(py)
    }

    /// A key that an error of this connector names.
    pub(crate) fn shown_key<'py>(&self, py: Python<'py>, key: &Key) -> PyResult<Bound<'py, PyAny>> {
        self.child.get().map_or_else(|| Err(no_form(key)), |child| child.channel().shown_key(py, key))
    }

    pub(crate) fn name(&self, py: Python<'_>) -> String {
        self.name.bind(py).to_string_lossy().into_owned()
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.opener)?;
        self.child.get().map_or(Ok(()), |child| visit.call(child.connector()))
    }

    fn call<'py, T>(
        &self,
        py: Python<'py>,
        operation: Operation,
        call: impl FnOnce(&dyn Channel) -> Result<T>,
        amount: impl FnOnce(&T) -> (u64, u64),
    ) -> Result<T> {
        let channel = self.child(py)?.channel();
        self.stats.count(py, operation, channel.is_instant(), || call(channel), amount)
    }

    pub(crate) fn put<'py>(
        &self,
        py: Python<'py>,
        object: &Object<'py>,
        options: &PutOptions,
    ) -> Result<Bound<'py, PyAny>> {
        let size = object.size() as u64;
        self.call(py, Operation::Put, |channel| channel.put(py, object, options), |_| (1, size))
    }

    pub(crate) fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objects: &[&Object<'py>],
        options: &PutOptions,
    ) -> Result<Vec<Bound<'py, PyAny>>> {
        let size = objects.iter().map(|object| object.size() as u64).sum();
        let put = |channel: &dyn Channel| channel.put_batch(py, objects, options);
        let keys = self.call(py, Operation::PutBatch, put, |keys| (keys.len() as u64, size));
        keys.map_err(|error| in_slot(py, error, self.name.bind(py)))
    }

    pub(crate) fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        view: Option<bool>,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let amount = |found: &Option<Bound<'py, PyAny>>| found.as_ref().map_or((0, 0), |object| (1, size_of(object)));
        self.call(py, Operation::Get, |channel| channel.get(py, key, view), amount)
    }

    pub(crate) fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &[Bound<'py, PyAny>],
        view: Option<bool>,
    ) -> Result<Vec<Option<Bound<'py, PyAny>>>> {
        self.call(py, Operation::GetBatch, |channel| channel.get_batch(py, keys, view), |found| amount_of(found))
    }

    pub(crate) fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<bool> {
        self.call(py, Operation::Exists, |channel| channel.exists(py, key), |found| (u64::from(*found), 0))
    }

    pub(crate) fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<()> {
        self.call(py, Operation::Evict, |channel| channel.evict(py, key), |()| (1, 0))
    }

    pub(crate) fn new_key<'py>(
        &self,
        py: Python<'py>,
        object: Option<&Object<'py>>,
        options: &PutOptions,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        self.call(py, Operation::NewKey, |channel| channel.new_key(py, object, options), |_| (0, 0))
    }

    pub(crate) fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        object: &Object<'py>,
        options: &PutOptions,
    ) -> Result<()> {
        let size = object.size() as u64;
        self.call(py, Operation::Set, |channel| channel.set(py, key, object, options), |()| (1, size))
    }
}
