//! `MultiConnector`: the dispatcher of the library over connectors of Python.

use std::cell::RefCell;
use std::sync::OnceLock;

use crossdock::dispatch::{Dispatcher, Share};
use crossdock::router::Lane;
use crossdock::{Checkup, Error, ErrorKind, Hostname, Key, PutOptions, Reason, Request, Result, interrupt};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::channel::{Channel, evict_all};
use crate::checkup;
use crate::errors::{is_final, pass, raise, raise_in};
use crate::object::Object;
use crate::options::{put_options, tags};
use crate::policy::{CompiledPolicy, parse_size};
use crate::shares::{self, Batch};
use crate::signals::blocking;
use crate::slot::{Slot, amount_of};
use crate::stats::{Operation, health_to_python};
use crate::stored::{GetShare, PutShare, Stored};
use crate::{batch, keys, signals};

/// The native part of `crossdock.connectors.multi.MultiConnector`.
#[pyclass(frozen, subclass, module = "crossdock._crossdock")]
pub(crate) struct MultiBase(OnceLock<Multi>);

struct Multi {
    dispatcher: Dispatcher,
    /// In the order of the dispatcher's lanes.
    slots: Vec<Slot>,
    /// How many multi-connectors stand in each other, this one included.
    depth: usize,
}

/// As in configs and keys: far more than anybody needs, far less than a stack has room for.
const MAX_DEPTH: usize = 16;

/// A key taken apart: the place of its connector, and that connector's own key.
type Located<'py> = (usize, Bound<'py, PyAny>);

impl MultiBase {
    fn multi(&self) -> Result<&Multi> {
        self.0.get().ok_or_else(|| Error::new(ErrorKind::Closed, "the multi-connector was never built"))
    }

    /// How many multi-connectors stand in each other, this one included; `None` if it was not built.
    pub(crate) fn depth(&self) -> Option<usize> {
        self.0.get().map(|multi| multi.depth)
    }

    fn built(&self, py: Python<'_>) -> PyResult<&Multi> {
        self.multi().map_err(|error| raise(py, &error))
    }
}

impl Multi {
    /// A slot by a number that comes from Python.
    fn slot(&self, place: usize) -> PyResult<&Slot> {
        self.slots.get(place).ok_or_else(|| PyIndexError::new_err(format!("there is no connector number {place}")))
    }

    fn locate<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> Result<Located<'py>> {
        let wrong = || keys::invalid(key, "MultiKey(connector_name, connector_key)");
        let items = keys::tuple(key).filter(|items| items.len() == 2).ok_or_else(wrong)?;
        let name = items.get_borrowed_item(0).map_err(pass)?;
        let own = items.get_item(1).map_err(pass)?;
        // The name in a key that was made here is the very string of its slot.
        let known = self.slots.iter().position(|slot| name.is(&slot.name));
        if let Some(place) = known.filter(|place| !self.dispatcher.lanes()[*place].dormant) {
            self.dispatcher.require_open()?;
            return Ok((place, own));
        }
        if !key.get_type().is(keys::multi_key(py).map_err(pass)?) && keys::is_foreign(key, "connector_name") {
            return Err(wrong());
        }
        let name = name.cast::<PyString>().map_err(|_| wrong())?;
        Ok((self.dispatcher.find(name.to_str().map_err(|_| wrong())?)?, own))
    }

    /// Does something with the connector that a key names.
    fn at<'py, T>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        call: impl FnOnce(&Slot, &Bound<'py, PyAny>) -> Result<T>,
    ) -> Result<T> {
        let (place, own) = self.locate(py, key)?;
        call(&self.slots[place], &own).map_err(|error| error.in_connector(self.dispatcher.lanes()[place].name.clone()))
    }

    fn key<'py>(&self, py: Python<'py>, place: usize, own: Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        let name = self.slots[place].name.bind(py).clone().into_any();
        keys::multi_key(py).and_then(|class| keys::new_tuple(class, [name, own])).map_err(pass)
    }

    /// Evicts what a batch has written, whatever signals say meanwhile; what resists is in the error. A connector that cannot
    /// be reached for one object is not waited for again with the next.
    fn undo<'py>(&self, py: Python<'py>, written: Vec<(usize, Bound<'py, PyAny>)>, error: Error) -> Error {
        let keys: Result<Vec<_>> = written.into_iter().map(|(place, own)| self.key(py, place, own)).collect();
        let gone = RefCell::new(Vec::new());
        let evict = |key: &Bound<'py, PyAny>| {
            let (place, own) = self.locate(py, key)?;
            if gone.borrow().contains(&place) {
                return Err(Error::new(ErrorKind::Unavailable, "the connector cannot be reached"));
            }
            let is_gone = |error: &Error| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
            let evicted = self.slots[place].evict(py, &own);
            if evicted.as_ref().is_err_and(is_gone) {
                gone.borrow_mut().push(place);
            }
            evicted
        };
        keys.map_or_else(|failed| failed, |keys| signals::cleaning_up(|| evict_all(py, keys, error, evict)))
    }

    /// Opens every connector that is active here and tests it, in their order: those that wait for other machines at the same
    /// time, after the others.
    fn check_each(&self, py: Python<'_>) -> Result<Vec<(usize, Result<Checkup>)>> {
        self.dispatcher.require_open()?;
        let lanes = self.dispatcher.lanes();
        let active = || (0..self.slots.len()).filter(|place| !lanes[*place].dormant);
        let remote: Vec<(usize, &Stored)> =
            active().filter_map(|place| Some((place, self.slots[place].remote(py)?))).collect();
        let is_remote = |place: &usize| remote.iter().any(|(one, _)| one == place);
        let here = active().filter(|place| !is_remote(place)).map(|place| (place, self.slots[place].check(py)));
        let mut found: Vec<(usize, Result<Checkup>)> = here.collect();
        let works = remote.iter().map(|(place, stored)| move || (*place, stored.connector.check()));
        found.extend(blocking(py, || interrupt::together(works, || ()).0));
        signals::require_none_raised()?;
        found.sort_by_key(|(place, _)| *place);
        let named = |(place, one): (usize, Result<Checkup>)| {
            (place, one.map_err(|error| error.in_connector(lanes[place].name.clone())))
        };
        Ok(found.into_iter().map(named).collect())
    }

    /// The hostname, where somebody has put another function in place of `crossdock.utils.hostname`.
    fn replaced_hostname(&self, py: Python<'_>) -> Result<Option<String>> {
        static UTILS: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
        if !self.dispatcher.needs_host() {
            return Ok(None);
        }
        let load = || {
            let own = py.import("crossdock._crossdock")?.getattr("hostname")?.unbind();
            Ok((py.import("crossdock.utils")?.into_any().unbind(), own))
        };
        let (utils, own) = UTILS.get_or_try_init(py, load).map_err(pass)?;
        let function = utils.bind(py).getattr(intern!(py, "hostname")).map_err(pass)?;
        if function.is(own) {
            return Ok(None);
        }
        function.call0().and_then(|name| name.extract()).map(Some).map_err(pass)
    }
}

fn request<'a>(size: Option<u64>, options: &'a PutOptions, hostname: Option<&'a str>) -> Request<'a> {
    let request = Request::for_put(size, options);
    hostname.map_or(request, |hostname| request.hostname(hostname))
}

fn size(object: &Object<'_>) -> u64 {
    object.size() as u64
}

impl Channel for MultiBase {
    fn put<'py>(&self, py: Python<'py>, object: &Object<'py>, options: &PutOptions) -> Result<Bound<'py, PyAny>> {
        let multi = self.multi()?;
        let hostname = multi.replaced_hostname(py)?;
        let request = request(Some(size(object)), options, hostname.as_deref());
        let (place, own) =
            multi.dispatcher.put(&request, |place, _| Some(multi.slots[place].put(py, object, options)))?;
        multi.key(py, place, own)
    }

    fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objects: &[&Object<'py>],
        options: &PutOptions,
    ) -> Result<Vec<Bound<'py, PyAny>>> {
        let multi = self.multi()?;
        let hostname = multi.replaced_hostname(py)?;
        let sizes: Vec<u64> = objects.iter().map(|object| size(object)).collect();
        let of = |share: &Share| share.items.iter().map(|item| objects[*item]).collect::<Vec<_>>();
        let batch = Batch {
            operation: Operation::PutBatch,
            alone: |slot: &Slot, share: &Share| slot.put_batch(py, &of(share), options),
            prepare: |stored, share: &Share| PutShare::prepare(stored, &of(share), options),
            amount: |share: &Share, _: &[Bound<'py, PyAny>]| {
                (share.items.len() as u64, share.items.iter().map(|item| sizes[*item]).sum())
            },
        };
        let write = |shares: &[Share]| shares::together(py, &multi.slots, shares, &batch);
        let undo = |written, error| multi.undo(py, written, error);
        let written = multi.dispatcher.put_batch(&sizes, options, hostname.as_deref(), write, undo)?;
        match signals::require_none_raised() {
            Ok(()) => written.into_iter().map(|(place, own)| multi.key(py, place, own)).collect(),
            Err(interrupted) => Err(multi.undo(py, written, interrupted)),
        }
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        view: Option<bool>,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        self.multi()?.at(py, key, |slot, own| slot.get(py, own, view))
    }

    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &[Bound<'py, PyAny>],
        view: Option<bool>,
    ) -> Result<Vec<Option<Bound<'py, PyAny>>>> {
        let multi = self.multi()?;
        multi.dispatcher.require_open()?;
        let located: Vec<Located<'py>> = keys.iter().map(|key| multi.locate(py, key)).collect::<Result<_>>()?;
        let of = |share: &Share| share.items.iter().map(|item| located[*item].1.clone()).collect::<Vec<_>>();
        let batch = Batch {
            operation: Operation::GetBatch,
            alone: |slot: &Slot, share: &Share| slot.get_batch(py, &of(share), view),
            prepare: |stored, share: &Share| GetShare::prepare(stored, &of(share), view),
            amount: |_: &Share, found: &[Option<Bound<'py, PyAny>>]| amount_of(found),
        };
        let read = |shares: &[Share]| shares::together(py, &multi.slots, shares, &batch);
        let found = multi.dispatcher.get_batch(located.iter().map(|(place, _)| *place), read)?;
        signals::require_none_raised().map(|()| found)
    }

    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<bool> {
        self.multi()?.at(py, key, |slot, own| slot.exists(py, own))
    }

    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> Result<()> {
        self.multi()?.at(py, key, |slot, own| slot.evict(py, own))
    }

    fn new_key<'py>(
        &self,
        py: Python<'py>,
        object: Option<&Object<'py>>,
        options: &PutOptions,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let multi = self.multi()?;
        let hostname = multi.replaced_hostname(py)?;
        let request = request(object.map(size), options, hostname.as_deref());
        let mut cannot = Vec::new();
        let made = multi.dispatcher.new_key(&request, |place, _| {
            let made = multi.slots[place].new_key(py, object, options).transpose();
            if made.is_none() {
                cannot.push(multi.dispatcher.lanes()[place].name.clone());
            }
            made
        });
        let explain = |error: Error, name| error.context(format_args!("{name}: {}", Reason::NotDeferrable));
        let (place, own) = made.map_err(|error| cannot.into_iter().fold(error, explain))?;
        multi.key(py, place, own).map(Some)
    }

    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        object: &Object<'py>,
        options: &PutOptions,
    ) -> Result<()> {
        let multi = self.multi()?;
        let (place, own) = multi.locate(py, key)?;
        multi.dispatcher.set(place, || multi.slots[place].set(py, &own, object, options))
    }

    /// What the connectors need together, and what they warn of.
    fn check(&self, py: Python<'_>) -> Result<Checkup> {
        let multi = self.multi()?;
        let name = |place: usize| multi.dispatcher.lanes()[place].name.to_string();
        checkup::sum(multi.check_each(py)?.into_iter().map(|(place, one)| (name(place), one)))
    }

    fn shown_key<'py>(&self, py: Python<'py>, key: &Key) -> PyResult<Bound<'py, PyAny>> {
        let multi = self.built(py)?;
        let named = |name: &str| multi.dispatcher.lanes().iter().position(|lane| &*lane.name == name);
        let (place, own) = match key {
            Key::Multi(key) => (named(&key.connector_name), &key.connector_key),
            _ => return Err(keys::no_form(key)),
        };
        let place = place.ok_or_else(|| keys::no_form(key))?;
        multi.key(py, place, multi.slots[place].shown_key(py, own)?).map_err(|error| raise(py, &error))
    }
}

/// What `_setup` is told of one connector: its name, its policy, and the connector, or what opens it, or neither.
type Entry<'py> =
    (Bound<'py, PyString>, PyRef<'py, CompiledPolicy>, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

#[pymethods]
impl MultiBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self(OnceLock::new())
    }

    fn _setup(&self, py: Python<'_>, entries: &Bound<'_, PyList>) -> PyResult<()> {
        let mut lanes = Vec::with_capacity(entries.len());
        let mut slots = Vec::with_capacity(entries.len());
        for entry in entries {
            let (name, policy, connector, opener): Entry<'_> = entry.extract()?;
            let lane = Lane::new(name.to_str()?, policy.0.clone());
            lanes.push(lane.dormant(connector.is_none() && opener.is_none()));
            let name = PyString::intern(py, name.to_str()?);
            slots.push(match connector {
                Some(connector) => Slot::open(name, &connector).map_err(|raised| {
                    PyTypeError::new_err(format!("connectors[{:?}]: {}", entry_name(&entry), raised.value(py)))
                })?,
                None => Slot::lazy(name, opener),
            });
        }
        let dispatcher = Dispatcher::new(lanes, Hostname::from_environment()).map_err(|error| raise(py, &error))?;
        let depth = 1 + slots.iter().map(Slot::depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} multi-connectors stand in each other; flatten some");
            return Err(raise(py, &Error::new(ErrorKind::InvalidConfig, message)));
        }
        self.0
            .set(Multi { dispatcher, slots, depth })
            .map_err(|_| crate::errors::type_error("the connector was built already"))
    }

    fn _is_closed(&self) -> bool {
        self.0.get().is_none_or(|multi| multi.dispatcher.require_open().is_err())
    }

    fn _close(&self) {
        if let Some(multi) = self.0.get() {
            multi.dispatcher.close();
        }
    }

    /// The names of all connectors, in the order in which they are asked.
    fn _order<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyString>>> {
        let multi = self.built(py)?;
        Ok(multi.dispatcher.order().map(|place| multi.slots[place].name.bind(py).clone()).collect())
    }

    /// The connector at that place, opened now if need be.
    fn _connector<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Bound<'py, PyAny>> {
        let multi = self.built(py)?;
        multi.dispatcher.require_open().map_err(|error| raise(py, &error))?;
        multi.slot(place)?.connector(py)
    }

    /// The connector at that place, if it is open.
    fn _opened<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.built(py)?.slot(place)?.opened(py))
    }

    /// `(route, [(connector, accepts, [reason], skipped)])`.
    #[expect(clippy::type_complexity, reason = "taken apart at once, in Python")]
    fn _explain(
        &self,
        py: Python<'_>,
        size_bytes: Option<&Bound<'_, PyAny>>,
        subset_tags: &Bound<'_, PyAny>,
        superset_tags: &Bound<'_, PyAny>,
    ) -> PyResult<(Option<String>, Vec<(String, bool, Vec<String>, Option<String>)>)> {
        let multi = self.built(py)?;
        let mut options = PutOptions::new();
        // One frame of our own Python code is in between.
        options.subset_tags = tags("subset_tags", Some(subset_tags), 2)?;
        options.superset_tags = tags("superset_tags", Some(superset_tags), 2)?;
        let size_bytes = size_bytes.map(|size| parse_size("size_bytes", size)).transpose()?;
        let hostname = multi.replaced_hostname(py).map_err(|error| raise(py, &error))?;
        let explanation = multi.dispatcher.explain(&request(size_bytes, &options, hostname.as_deref()));
        let verdicts = explanation.verdicts.into_iter().map(|verdict| {
            let reasons = verdict.reasons.iter().map(ToString::to_string).collect();
            (
                verdict.connector.to_string(),
                verdict.accepts,
                reasons,
                verdict.skipped.map(|skipped| skipped.to_string()),
            )
        });
        Ok((explanation.route.map(|route| route.to_string()), verdicts.collect()))
    }

    /// From each name to a `Checkup`, or to the exception that says what is wrong.
    fn _check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        let found = self.multi().and_then(|multi| Ok((multi, multi.check_each(py)?)));
        let (multi, found) = found.map_err(|error| raise_in(py, self, error, "check"))?;
        for (place, one) in found {
            let shown = match one {
                Ok(one) => checkup::to_python(py, &one)?,
                Err(error) => match raise_in(py, self, error, "check") {
                    raised if is_final(py, &raised) => return Err(raised),
                    raised => raised.into_value(py).into_bound(py).into_any(),
                },
            };
            all.set_item(&multi.slots[place].name, shown)?;
        }
        Ok(all)
    }

    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let multi = self.built(py)?;
        let all = PyDict::new(py);
        for (slot, health) in multi.slots.iter().zip(multi.dispatcher.health()) {
            let stats = slot.stats.to_python(py)?;
            stats.set_item(intern!(py, "health"), health_to_python(py, &health)?)?;
            all.set_item(&slot.name, stats)?;
        }
        Ok(all)
    }

    /// Store an object under a new key.
    ///
    /// Args:
    ///     obj: `bytes` or another contiguous buffer; its size is that of its memory, in bytes.
    ///     subset_tags: Tags that must all be among a policy's `subset_tags`. A string counts as its letters, with a warning.
    ///     superset_tags: Tags among which all of a policy's `superset_tags` must be.
    ///     durability: `'process'`, `'host'` or `'backend'`: what the object survives once this returns. Default: the connector's.
    ///
    /// Returns:
    ///     The key: the name of the connector that took the object, and that connector's key.
    ///
    /// Raises:
    ///     TypeError: The object is no buffer.
    ///     ValueError: It is not contiguous in memory.
    ///     NoRouteError: No policy accepts the object; the message says why, connector by connector.
    ///     Others: What the connector raises.
    ///     ClosedError: The connector is closed.
    ///
    /// Example:
    ///     >>> from crossdock.connectors.local import LocalConnector
    ///     >>> from crossdock.connectors.multi import MultiConnector, Policy
    ///     >>> connector = MultiConnector({'memory': (LocalConnector(), Policy())})
    ///     >>> key = connector.put(b'object')
    ///     >>> connector.get(key)
    ///     b'object'
    #[pyo3(signature = (obj, subset_tags=None, superset_tags=None, *, durability=None))]
    fn put<'py>(
        &self,
        py: Python<'py>,
        obj: &Bound<'py, PyAny>,
        subset_tags: Option<&Bound<'py, PyAny>>,
        superset_tags: Option<&Bound<'py, PyAny>>,
        durability: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = put_options(subset_tags, superset_tags, durability)?;
        let put = Channel::put(self, py, &Object::new(obj)?, &options);
        put.map_err(|error| raise_in(py, self, error, "put"))
    }

    /// Store several objects: all of them or none.
    ///
    /// All are routed before any is written; each connector gets its share in one call. When one fails, those already written are evicted again.
    ///
    /// Args:
    ///     objs: The objects, each as for `put`.
    ///     subset_tags: Tags that must all be among a policy's `subset_tags`. A string counts as its letters, with a warning.
    ///     superset_tags: Tags among which all of a policy's `superset_tags` must be.
    ///     durability: `'process'`, `'host'` or `'backend'`: what the object survives once this returns. Default: the connector's.
    ///
    /// Returns:
    ///     Their keys, in their order.
    ///
    /// Raises:
    ///     As `put`.
    #[pyo3(signature = (objs, subset_tags=None, superset_tags=None, *, durability=None))]
    fn put_batch<'py>(
        &self,
        py: Python<'py>,
        objs: &Bound<'py, PyAny>,
        subset_tags: Option<&Bound<'py, PyAny>>,
        superset_tags: Option<&Bound<'py, PyAny>>,
        durability: Option<&str>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let options = put_options(subset_tags, superset_tags, durability)?;
        let objects = batch::objects(objs)?;
        let put = Channel::put_batch(self, py, &batch::all(&objects), &options);
        put.map_err(|error| raise_in(py, self, error, "put_batch"))
    }

    /// The object of a key.
    ///
    /// Args:
    ///     key: The key, as `put` returned it; a tuple or list of the same items will do.
    ///     zero_copy: A read-only memoryview that keeps its memory alive, instead of `bytes`. Default: what the connector
    ///         was built with.
    ///
    /// Returns:
    ///     The object, or `None` if there is none.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's.
    ///     UnknownConnectorError, DormantError: The connector that the key names is not known, or not active here.
    ///     CorruptError: The bytes found are not those that the key speaks of.
    ///     ClosedError: The connector is closed.
    #[pyo3(signature = (key, *, zero_copy=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        zero_copy: Option<bool>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Channel::get(self, py, key, zero_copy).map_err(|error| raise_in(py, self, error, "get"))
    }

    /// Several objects.
    ///
    /// Args:
    ///     keys: Their keys.
    ///     zero_copy: As for `get`.
    ///
    /// Returns:
    ///     The objects in the order of their keys, `None` where there is none.
    ///
    /// Raises:
    ///     As `get`, for the first key that fails.
    #[pyo3(signature = (keys, *, zero_copy=None))]
    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        zero_copy: Option<bool>,
    ) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
        let got = Channel::get_batch(self, py, &batch::keys(keys)?, zero_copy);
        got.map_err(|error| raise_in(py, self, error, "get_batch"))
    }

    /// Whether the object is there.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's.
    ///     UnknownConnectorError, DormantError: The connector that the key names is not known, or not active here.
    ///     ClosedError: The connector is closed.
    fn exists(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Channel::exists(self, py, key).map_err(|error| raise_in(py, self, error, "exists"))
    }

    /// Remove the object. It is no error if there is none; what was handed out stays valid.
    ///
    /// Raises:
    ///     InvalidKeyError: The key is none of this connector's.
    ///     UnknownConnectorError, DormantError: The connector that the key names is not known, or not active here.
    ///     ClosedError: The connector is closed.
    fn evict(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        Channel::evict(self, py, key).map_err(|error| raise_in(py, self, error, "evict"))
    }

    /// A key whose object does not exist yet: `exists` is false and `get` is `None` until `set`.
    ///
    /// It comes from the first connector that can make such keys and whose policy takes what is known of the object.
    ///
    /// Args:
    ///     obj: The object to come, of which only the size counts. Default: no size is checked.
    ///     subset_tags: As for `put`.
    ///     superset_tags: As for `put`.
    ///
    /// Raises:
    ///     NoRouteError: No policy accepts it, or no such connector can make keys.
    ///     ClosedError: The connector is closed.
    #[pyo3(signature = (obj=None, subset_tags=None, superset_tags=None))]
    fn new_key<'py>(
        &self,
        py: Python<'py>,
        obj: Option<&Bound<'py, PyAny>>,
        subset_tags: Option<&Bound<'py, PyAny>>,
        superset_tags: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let object = obj.map(Object::new).transpose()?;
        let options = put_options(subset_tags, superset_tags, None)?;
        let key = Channel::new_key(self, py, object.as_ref(), &options);
        key.map_err(|error| raise_in(py, self, error, "new_key"))
    }

    /// Store the object of a key that `new_key` made. Setting the same bytes again is fine.
    ///
    /// Args:
    ///     key: The key.
    ///     obj: The object, as for `put`.
    ///     durability: As for `put`.
    ///
    /// Raises:
    ///     AlreadyExistsError: The key holds other bytes; objects are written once.
    ///     Others: As `put`.
    #[pyo3(signature = (key, obj, *, durability=None))]
    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        obj: &Bound<'py, PyAny>,
        durability: Option<&str>,
    ) -> PyResult<()> {
        let set = Channel::set(self, py, key, &Object::new(obj)?, &put_options(None, None, durability)?);
        set.map_err(|error| raise_in(py, self, error, "set"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(multi) = self.0.get() else { return Ok(()) };
        multi.slots.iter().try_for_each(|slot| slot.traverse(&visit))
    }
}

fn entry_name(entry: &Bound<'_, PyAny>) -> String {
    entry.get_item(0).map_or_else(|_| String::new(), |name| name.to_string())
}

/// The tags as a list of strings, once and for all.
#[pyfunction]
pub(crate) fn read_tags(argument: &str, given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    tags(argument, Some(given), 2)
}
