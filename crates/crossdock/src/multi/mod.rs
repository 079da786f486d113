//! The multi-connector: one `put` over several connectors, by policy.

mod batch;
mod builder;
mod slot;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{Config, ConnectorConfig, Entry};
use crate::connector::{Checkup, Connector, ConnectorExt, Deferrable, Properties};
use crate::dispatch::{Dispatcher, also_failed};
use crate::error::{Error, Result};
use crate::health::Health;
use crate::key::{Key, MultiKey};
use crate::options::{CloseOptions, GcOptions, GcReport, GetOptions, KeyHint, PutOptions};
use crate::policy::{Reason, Request};
use crate::router::{Explanation, Lane};

pub use builder::MultiConnectorBuilder;
use slot::Slot;

/// Routes each object to the first connector whose policy takes it; keys remember which one that was.
///
/// - `put` asks the policies from the highest priority down, ties in the order in which the connectors were given. None
///   valid: [`NoRoute`](crate::ErrorKind::NoRoute), with every verdict in the message.
/// - `get`, `exists`, `evict` go to the connector that the key names; no policy is evaluated. A name that the config
///   does not have is [`UnknownConnector`](crate::ErrorKind::UnknownConnector), one whose host pattern did not match this host
///   when the connector was built is [`Dormant`](crate::ErrorKind::Dormant).
/// - A connector that cannot be opened takes none of the others down: it is `Unavailable`, with its reason, whenever it
///   is needed, and opening it is tried anew each time.
/// - Where a policy says `fallback = true`, a put that failed there without having written anything goes on to the next
///   valid connector.
/// - A connector in which too many puts in a row have failed ([`max_failures`](crate::PolicyBuilder::max_failures)) is
///   skipped for a while: where its policy says `fallback = true`, puts go to the next valid connector at once, and come
///   back to it only if no other has taken the object; where not, they fail at once. Reads go there all the same.
///   [`health`](Self::health) and [`explain`](Self::explain) show it.
///
/// It is itself a [`Connector`], and can be nested; nested ones get the tags. The methods here speak of [`MultiKey`] and
/// [`Config`], those of the trait of [`Key`] and [`ConnectorConfig`]: `Key::from(multi_key)` and `MultiKey::try_from(key)`
/// lead from the one to the other.
///
/// ```
/// use crossdock::connectors::LocalConnector;
/// use crossdock::{MultiConnector, Policy, PutOptions};
///
/// let multi = MultiConnector::builder()
///     .connector("small", LocalConnector::new(), Policy::builder().max_size_bytes(3).build()?)
///     .connector("rest", LocalConnector::new(), Policy::any())
///     .build()?;
/// let key = multi.put("four", &PutOptions::new())?;
/// assert_eq!(&*key.connector_name, "rest");
/// assert_eq!(multi.get(&key)?.as_deref(), Some(&b"four"[..]));
/// # Ok::<(), crossdock::Error>(())
/// ```
pub struct MultiConnector {
    dispatcher: Dispatcher,
    /// In the order of the dispatcher's lanes.
    slots: Vec<Slot>,
}

impl MultiConnector {
    /// Starts a multi-connector without connectors.
    pub fn builder() -> MultiConnectorBuilder {
        MultiConnectorBuilder::default()
    }

    /// Stores `object` in the first connector whose policy takes it. Vectors, strings and [`Bytes`] are taken without a
    /// copy; for borrowed bytes that do not live for ever, `Bytes::copy_from_slice`.
    ///
    /// # Errors
    /// `NoRoute`, or what the connector says.
    pub fn put(&self, object: impl Into<Bytes>, options: &PutOptions) -> Result<MultiKey> {
        self.put_object(object.into(), options).map_err(|error| error.during("put"))
    }

    /// Stores several objects. All are routed before any is written; then each connector gets its share as one batch.
    ///
    /// # Errors
    /// `NoRoute` before anything is written, or what a connector says; what was written then is evicted, and keys
    /// that could not be are in the error.
    ///
    /// ```
    /// # use crossdock::connectors::LocalConnector;
    /// # use crossdock::{Bytes, GetOptions, MultiConnector, Policy, PutOptions};
    /// # let multi = MultiConnector::builder().connector("memory", LocalConnector::new(), Policy::any()).build()?;
    /// let objects = ["one", "two"].map(Bytes::from);
    /// let keys = multi.put_batch(&objects, &PutOptions::new())?;
    /// assert_eq!(multi.get_batch(&keys, &GetOptions::default())?, objects.map(Some));
    /// # Ok::<(), crossdock::Error>(())
    /// ```
    pub fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<MultiKey>> {
        self.put_objects(objects, options).map_err(|error| error.during("put_batch"))
    }

    /// The object, or `None` if there is none.
    ///
    /// # Errors
    /// `UnknownConnector`, `Dormant`, or what the connector says.
    pub fn get(&self, key: &MultiKey) -> Result<Option<Bytes>> {
        self.get_with(key, &GetOptions::default())
    }

    /// The object, checked and handed out as `options` say.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_with(&self, key: &MultiKey, options: &GetOptions) -> Result<Option<Bytes>> {
        self.at(key, "get", |connector| connector.get(&key.connector_key, options))
    }

    /// Several objects in the order of their keys; each connector gets its share as one batch.
    ///
    /// # Errors
    /// As [`get`](Self::get). Unknown and dormant connectors are found before anything is read.
    pub fn get_batch(&self, keys: &[MultiKey], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        self.get_objects(keys.iter(), options).map_err(|error| error.during("get_batch"))
    }

    /// Whether the object is there.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn exists(&self, key: &MultiKey) -> Result<bool> {
        self.at(key, "exists", |connector| connector.exists(&key.connector_key))
    }

    /// Removes the object. It is no error if there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn evict(&self, key: &MultiKey) -> Result<()> {
        self.at(key, "evict", |connector| connector.evict(&key.connector_key))
    }

    /// A key whose object does not exist yet, from the first connector whose policy takes what `hint` says and which can
    /// make such keys. Where the size is not known, connectors that take every size come before those that do not.
    ///
    /// # Errors
    /// `NoRoute`, or what the connector says.
    pub fn new_key(&self, hint: &KeyHint) -> Result<MultiKey> {
        self.defer_key(hint).map_err(|error| error.during("new_key"))
    }

    /// Stores `object` under a key of [`new_key`](Self::new_key). No policy is evaluated: the key decides.
    ///
    /// # Errors
    /// `AlreadyExists` if the key holds other bytes; `Unsupported` if the connector cannot; otherwise as
    /// [`put`](Self::put).
    pub fn set(&self, key: &MultiKey, object: impl Into<Bytes>, options: &PutOptions) -> Result<()> {
        let place = self.find(key, "set")?;
        let set = || {
            let connector = self.slots[place].connector()?;
            connector.require_deferrable()?.set(&key.connector_key, object.into(), options)
        };
        self.dispatcher.set(place, set).map_err(|error| error.during("set"))
    }

    /// Where an object of that size (`None`: any) would go on this host now, and what every policy says.
    #[must_use]
    pub fn explain(&self, size: Option<u64>, options: &PutOptions) -> Explanation {
        self.dispatcher.explain(&Request::for_put(size, options))
    }

    /// How each connector fares with puts, in the order in which they were given: how many in a row have failed there, and
    /// whether it is skipped for that.
    ///
    /// ```
    /// # use crossdock::connectors::LocalConnector;
    /// # use crossdock::{HealthState, MultiConnector, Policy};
    /// # let multi = MultiConnector::builder().connector("memory", LocalConnector::new(), Policy::any()).build()?;
    /// let [(name, health)] = &multi.health()[..] else { panic!("one connector") };
    /// assert_eq!((&**name, health.state, health.failures), ("memory", HealthState::Closed, 0));
    /// # Ok::<(), crossdock::Error>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Vec<(Arc<str>, Health)> {
        self.named_slots().map(|(name, _)| name.clone()).zip(self.dispatcher.health()).collect()
    }

    /// The config that builds this connector again elsewhere: all entries, dormant ones too, in their order.
    #[must_use]
    pub fn config(&self) -> Config {
        let entry = |(lane, slot): (&Lane, &Slot)| Entry::new(lane.name.clone(), slot.config(), lane.policy.clone());
        Config::new(self.dispatcher.lanes().iter().zip(&self.slots).map(entry))
    }

    /// Opens every connector that is active here and tests it.
    ///
    /// # Errors
    /// All connectors are visited first; then what they said. [`check_each`](Self::check_each) tells them apart.
    pub fn check(&self) -> Result<Checkup> {
        let mut sum = Checkup { durability: self.properties().durability, ..Checkup::default() };
        let checked = self.check_each();
        let names: Vec<_> = checked.iter().map(|(name, _)| name.clone()).collect();
        for (name, one) in names.iter().zip(all_of(checked)?) {
            sum.put += one.put;
            sum.get += one.get;
            sum.evict += one.evict;
            sum.warnings.extend(one.warnings.into_iter().map(|warning| format!("{name}: {warning}")));
        }
        Ok(sum)
    }

    /// Collects garbage in every connector that is active here.
    ///
    /// # Errors
    /// All connectors are visited first; then what they said. [`gc_each`](Self::gc_each) tells them apart.
    pub fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        let mut sum = GcReport::default();
        all_of(self.gc_each(options))?.into_iter().for_each(|report| sum += report);
        Ok(sum)
    }

    /// Opens every connector that is active here and tests it, in the order of the config; those that wait for other
    /// machines wait at the same time.
    #[must_use]
    pub fn check_each(&self) -> Vec<(Arc<str>, Result<Checkup>)> {
        self.each_active("check", |connector| connector.check())
    }

    /// Collects garbage in every connector that is active here, in the order of the config.
    #[must_use]
    pub fn gc_each(&self, options: &GcOptions) -> Vec<(Arc<str>, Result<GcReport>)> {
        self.each_active("gc", |connector| connector.gc(options))
    }

    fn each_active<T: Send>(
        &self,
        operation: &'static str,
        call: impl Fn(&dyn Connector) -> Result<T> + Sync,
    ) -> Vec<(Arc<str>, Result<T>)> {
        let active: Vec<usize> = (0..self.slots.len()).filter(|place| !self.slots[*place].is_dormant()).collect();
        self.at_the_same_time(&active, |turn| {
            let (name, slot) = (self.name(active[turn]), &self.slots[active[turn]]);
            let done = self.dispatcher.require_open().and_then(|()| call(slot.connector()?));
            (name.clone(), done.map_err(|error| error.in_connector(name.clone()).during(operation)))
        })
    }

    /// Closes every connector. Objects stay, unless `options` or a connector's own setting ask to clear.
    ///
    /// # Errors
    /// All connectors are visited first; then what they said.
    pub fn close(&self, options: &CloseOptions) -> Result<()> {
        if !self.dispatcher.close() {
            return Ok(());
        }
        let active = self.named_slots().filter(|(_, slot)| !slot.is_dormant());
        let close = |slot: &Slot| match slot.opened() {
            Some(connector) => connector.close(options),
            // Clearing means the objects of this connector as well, though nobody needed it so far.
            None if options.clear == Some(true) => slot.connector()?.close(options),
            None => Ok(()),
        };
        let one = |(name, slot): (&Arc<str>, &Slot)| {
            let closed = close(slot).map_err(|error| error.in_connector(name.clone()).during("close"));
            (name.clone(), closed)
        };
        all_of(active.map(one).collect::<Vec<_>>()).map(drop)
    }

    /// The names of the connectors that are active here, in the order in which they were given.
    pub fn connector_names(&self) -> impl Iterator<Item = &str> {
        self.named_slots().filter(|(_, slot)| !slot.is_dormant()).map(|(name, _)| &**name)
    }

    /// The names of the dormant connectors, in the order in which they were given.
    pub fn dormant_names(&self) -> impl Iterator<Item = &str> {
        self.named_slots().filter(|(_, slot)| slot.is_dormant()).map(|(name, _)| &**name)
    }

    fn put_object(&self, mut object: Bytes, options: &PutOptions) -> Result<MultiKey> {
        let request = Request::for_put(Some(object.len() as u64), options);
        let put = self.dispatcher.put(
            &request,
            #[inline(always)]
            |place, may_go_on| {
                let given = if may_go_on { object.clone() } else { std::mem::take(&mut object) };
                Some(self.slots[place].connector().and_then(|connector| connector.put(given, options)))
            },
        );
        put.map(|(place, key)| MultiKey::new(self.name(place).clone(), key))
    }

    fn defer_key(&self, hint: &KeyHint) -> Result<MultiKey> {
        let mut not_deferrable = Vec::new();
        let request = Request::for_put(hint.size, &hint.options);
        let made = self.dispatcher.new_key(&request, |place, _| match self.slots[place].connector() {
            Ok(connector) if connector.deferrable().is_none() => {
                not_deferrable.push(self.name(place).clone());
                None
            }
            Ok(connector) => Some(connector.require_deferrable().and_then(|deferrable| deferrable.new_key(hint))),
            Err(error) => Some(Err(error)),
        });
        let add = |error: Error, name| error.context(format_args!("{name}: {}", Reason::NotDeferrable));
        made.map(|(place, key)| MultiKey::new(self.name(place).clone(), key))
            .map_err(|error| not_deferrable.into_iter().fold(error, add))
    }

    fn name(&self, place: usize) -> &Arc<str> {
        &self.dispatcher.lanes()[place].name
    }

    /// The connectors with their names.
    fn named_slots(&self) -> impl Iterator<Item = (&Arc<str>, &Slot)> {
        self.dispatcher.lanes().iter().map(|lane| &lane.name).zip(&self.slots)
    }

    fn find(&self, key: &MultiKey, operation: &'static str) -> Result<usize> {
        self.dispatcher.find(&key.connector_name).map_err(|error| error.during(operation))
    }

    fn at<T>(
        &self,
        key: &MultiKey,
        operation: &'static str,
        call: impl FnOnce(&dyn Connector) -> Result<T>,
    ) -> Result<T> {
        let place = self.find(key, operation)?;
        let done = self.slots[place].connector().and_then(call);
        done.map_err(|error| error.in_connector(self.name(place).clone()).during(operation))
    }
}

/// Every connector was visited; what they said is raised now.
fn all_of<T>(outcomes: impl IntoIterator<Item = (Arc<str>, Result<T>)>) -> Result<Vec<T>> {
    let mut failed = None;
    let mut done = Vec::new();
    for (_, outcome) in outcomes {
        match outcome {
            Ok(value) => done.push(value),
            Err(error) => failed = Some(also_failed(failed, error)),
        }
    }
    failed.map_or(Ok(done), Err)
}

impl fmt::Debug for MultiConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.named_slots()).finish()
    }
}

impl Connector for MultiConnector {
    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        Ok(self.put_object(object, options)?.into())
    }

    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        Ok(self.put_objects(objects, options)?.into_iter().map(Key::from).collect())
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        self.get_with(key.as_multi()?, options)
    }

    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        let keys: Vec<&MultiKey> = keys.iter().map(Key::as_multi).collect::<Result<_>>()?;
        self.get_objects(keys.into_iter(), options)
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        Self::exists(self, key.as_multi()?)
    }

    fn evict(&self, key: &Key) -> Result<()> {
        Self::evict(self, key.as_multi()?)
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        Some(self)
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig { type_name: "multi".to_owned(), options: Self::config(self).to_table() }
    }

    /// Remote if one of the active connectors is, shared if all are; as durable as the most durable one, though an
    /// object may land in another, which then refuses.
    fn properties(&self) -> Properties {
        let each = || self.slots.iter().filter_map(Slot::properties);
        Properties {
            durability: each().filter_map(|one| one.durability).max(),
            remote: each().any(|one| one.remote),
            shared: each().next().is_some() && each().all(|one| one.shared),
        }
    }

    /// What the connectors need together, and what they warn of.
    fn check(&self) -> Result<Checkup> {
        self.dispatcher.require_open()?;
        Self::check(self)
    }

    fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        self.dispatcher.require_open()?;
        Self::gc(self, options)
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        Self::close(self, options)
    }
}

impl Deferrable for MultiConnector {
    fn new_key(&self, hint: &KeyHint) -> Result<Key> {
        Ok(Self::new_key(self, hint)?.into())
    }

    fn set(&self, key: &Key, object: Bytes, options: &PutOptions) -> Result<()> {
        Self::set(self, key.as_multi()?, object, options)
    }
}
