//! The contract of a connector as tests: one function a rule, called by [`conformance!`](crate::conformance).
//!
//! Rules that need something a connector does not offer (keys before their objects, other processes) assert that it
//! says so, so no rule is ever skipped.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::config::ConnectorConfig;
use crate::connector::{Connector, ConnectorExt, Deferrable, Properties};
use crate::error::{ErrorKind, Result};
use crate::key::{Key, MultiKey, ObjectKey};
use crate::options::{CloseOptions, Durability, GcOptions, GetOptions, Integrity, KeyHint, PutOptions};

/// Builds a connector from a config, as another process would.
type Rebuild = dyn Fn(&ConnectorConfig) -> Result<Arc<dyn Connector>> + Send + Sync;

/// A fresh connector under test.
pub struct Subject {
    connector: Arc<dyn Connector>,
    rebuild: Box<Rebuild>,
    /// Kept until the test is over.
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// A connector and what builds it again from its config.
    pub fn new(
        connector: impl Connector + 'static,
        rebuild: impl Fn(&ConnectorConfig) -> Result<Arc<dyn Connector>> + Send + Sync + 'static,
    ) -> Self {
        Self { connector: Arc::new(connector), rebuild: Box::new(rebuild), _guard: Box::new(()) }
    }

    /// The same subject, with something that must live as long, such as a temporary directory or a server.
    #[must_use]
    pub fn keeping(self, guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Box::new((self._guard, guard)), ..self }
    }

    fn rebuilt(&self) -> Arc<dyn Connector> {
        (self.rebuild)(&self.connector.config()).expect("a connector can be built again from its config")
    }
}

impl std::ops::Deref for Subject {
    type Target = dyn Connector;

    fn deref(&self) -> &Self::Target {
        &*self.connector
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connector.fmt(f)
    }
}

/// Generates a module with one `#[test]` for each rule of the contract.
///
/// The first argument names the module, the second is an expression that makes a fresh [`Subject`] each time.
///
/// ```
/// # // The attribute of the generated tests needs a test harness; here it is enough that this compiles.
/// use std::sync::Arc;
/// use crossdock::connectors::LocalConnector;
/// use crossdock::testing::Subject;
///
/// fn subject() -> Subject {
///     Subject::new(LocalConnector::new(), |_| Ok(Arc::new(LocalConnector::new())))
/// }
/// crossdock::conformance!(local, subject());
/// ```
#[macro_export]
macro_rules! conformance {
    ($name:ident, $subject:expr) => {
        $crate::conformance! { @all (tests $name, $subject) }
    };
    (@all ($($what:tt)*)) => {
        $crate::conformance! { @$($what)*;
            what_was_put_is_got, the_empty_object, a_large_object, missing_is_none, evicting_what_is_missing,
            evicted_is_gone, bytes_outlive_their_object, keys_are_unique, keys_survive_text_and_json,
            batches_keep_order, empty_batches, batches_with_missing_objects, deferred_objects_come_later,
            the_same_bytes_may_be_set_again, other_bytes_may_not, one_of_many_writers_wins, a_wrong_size_is_corrupt,
            a_wrong_checksum_is_corrupt, bare_keys_work, keys_of_another_kind_are_refused, hostile_keys_reach_nothing,
            views_are_the_same_bytes, durability_is_met_or_refused, a_rebuilt_connector_is_the_same,
            closing_a_rebuilt_connector_deletes_nothing, closing_twice, nothing_works_after_closing,
            threads_never_see_wrong_bytes, gets_race_evicts, gc_leaves_objects_alone, it_checks_itself,
            its_debug_form_is_short
        }
    };
    (@tests $name:ident, $subject:expr; $($rule:ident),*) => {
        mod $name {
            #[expect(clippy::allow_attributes, reason = "whether the expression needs the imports is not known here")]
            #[allow(unused_imports)]
            use super::*;

            $(#[test]
            fn $rule() {
                $crate::testing::conformance::$rule(&$subject);
            })*
        }
    };
    (@table; $($rule:ident),*) => {
        &[$((stringify!($rule), $rule)),*]
    };
}

/// A rule of the contract: its name, and the test of it, which panics where a subject breaks it.
pub type Rule = (&'static str, fn(&Subject));

/// All rules: for tests that choose when to run, as those that need a server do. [`conformance!`](crate::conformance) makes a
/// `#[test]` of each.
pub const RULES: &[Rule] = conformance!(@all (table));

fn deferrable(subject: &Subject) -> Option<&dyn Deferrable> {
    let deferrable = subject.deferrable();
    assert_eq!(deferrable.is_none(), subject.require_deferrable().is_err());
    deferrable
}

/// The key with its innermost object key changed.
fn with_leaf(key: &Key, change: &dyn Fn(&mut ObjectKey)) -> Key {
    match key {
        Key::Object(object) => {
            let mut object = object.clone();
            change(&mut object);
            object.into()
        }
        Key::Multi(multi) => {
            MultiKey::new(multi.connector_name.clone(), with_leaf(&multi.connector_key, change)).into()
        }
    }
}

fn leaf(key: &Key) -> &ObjectKey {
    match key {
        Key::Object(object) => object,
        Key::Multi(multi) => leaf(&multi.connector_key),
    }
}

fn pattern(seed: usize, size: usize) -> Bytes {
    (0..size).map(|n| (n.wrapping_mul(31).wrapping_add(seed.wrapping_mul(17)) >> 2) as u8).collect::<Vec<u8>>().into()
}

fn kind_of<T: fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    outcome.expect_err("the call fails").kind()
}

#[expect(missing_docs, reason = "the names say which rule they test")]
mod rules {
    use super::*;

    pub fn what_was_put_is_got(subject: &Subject) {
        for size in [1, 10, 4095, 4096, 100_000] {
            let object = pattern(size, size);
            let key = subject.put_bytes(object.clone()).unwrap();
            assert!(subject.exists(&key).unwrap());
            assert_eq!(subject.get_bytes(&key).unwrap(), Some(object.clone()));
            assert_eq!(subject.get_bytes(&key).unwrap(), Some(object), "objects can be read many times");
        }
    }

    pub fn the_empty_object(subject: &Subject) {
        let key = subject.put_bytes(Bytes::new()).unwrap();
        assert!(subject.exists(&key).unwrap());
        assert_eq!(subject.get_bytes(&key).unwrap(), Some(Bytes::new()));
        assert_eq!(subject.get(&key, &GetOptions::view()).unwrap(), Some(Bytes::new()));
    }

    pub fn a_large_object(subject: &Subject) {
        let object = pattern(1, 9_000_001);
        let key = subject.put_bytes(object.clone()).unwrap();
        assert!(subject.get_bytes(&key).unwrap() == Some(object), "9 MB come back unchanged");
    }

    pub fn missing_is_none(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        subject.evict(&key).unwrap();
        assert_eq!(subject.get_bytes(&key).unwrap(), None);
        assert_eq!(subject.get(&key, &GetOptions::view()).unwrap(), None);
        assert!(!subject.exists(&key).unwrap());
    }

    pub fn evicting_what_is_missing(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        subject.evict(&key).unwrap();
        subject.evict(&key).unwrap();
    }

    pub fn evicted_is_gone(subject: &Subject) {
        let (gone, stays) = (subject.put_bytes("gone").unwrap(), subject.put_bytes("stays").unwrap());
        subject.evict(&gone).unwrap();
        assert_eq!(subject.get_bytes(&gone).unwrap(), None);
        assert_eq!(subject.get_bytes(&stays).unwrap().as_deref(), Some(&b"stays"[..]));
    }

    pub fn bytes_outlive_their_object(subject: &Subject) {
        let object = pattern(3, 100_000);
        for options in [GetOptions::default(), GetOptions::view()] {
            let key = subject.put_bytes(object.clone()).unwrap();
            let bytes = subject.get(&key, &options).unwrap().unwrap();
            subject.evict(&key).unwrap();
            let later = subject.put_bytes(pattern(4, 100_000)).unwrap();
            assert!(bytes == object, "bytes that were handed out stay what they are");
            subject.evict(&later).unwrap();
        }
    }

    pub fn keys_are_unique(subject: &Subject) {
        let put = || (0..250).map(|_| subject.put_bytes("same").unwrap().to_string()).collect::<Vec<_>>();
        let keys: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(put)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 1000);
    }

    pub fn keys_survive_text_and_json(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        let from_text: Key = key.to_string().parse().unwrap();
        let from_json: Key = serde_json::from_str(&serde_json::to_string(&key).unwrap()).unwrap();
        assert_eq!((&from_text, &from_json), (&key, &key));
        assert_eq!(subject.get_bytes(&from_text).unwrap().as_deref(), Some(&b"object"[..]));
    }

    pub fn batches_keep_order(subject: &Subject) {
        let objects: Vec<Bytes> = (0..200).map(|n| pattern(n, n * 7 % 300)).collect();
        let keys = subject.put_batch(&objects, &PutOptions::new()).unwrap();
        let found = subject.get_batch(&keys, &GetOptions::default()).unwrap();
        assert_eq!(found.into_iter().collect::<Option<Vec<_>>>(), Some(objects.clone()));
        let backwards: Vec<Key> = keys.into_iter().rev().collect();
        let found = subject.get_batch(&backwards, &GetOptions::default()).unwrap();
        assert!(found.iter().rev().eq(objects.into_iter().map(Some).collect::<Vec<_>>().iter()));
    }

    pub fn empty_batches(subject: &Subject) {
        assert_eq!(subject.put_batch(&[], &PutOptions::new()).unwrap(), []);
        assert_eq!(subject.get_batch(&[], &GetOptions::default()).unwrap(), []);
    }

    pub fn batches_with_missing_objects(subject: &Subject) {
        let objects = ["a", "b", "c"].map(Bytes::from);
        let keys = subject.put_batch(&objects, &PutOptions::new()).unwrap();
        subject.evict(&keys[1]).unwrap();
        let found = subject.get_batch(&keys, &GetOptions::default()).unwrap();
        assert_eq!(found, [Some(objects[0].clone()), None, Some(objects[2].clone())]);
    }

    pub fn deferred_objects_come_later(subject: &Subject) {
        let Some(deferrable) = deferrable(subject) else { return };
        let key = deferrable.new_key(&KeyHint::default()).unwrap();
        assert_ne!(key, deferrable.new_key(&KeyHint::default()).unwrap());
        assert!(!subject.exists(&key).unwrap());
        assert_eq!(subject.get_bytes(&key).unwrap(), None);
        deferrable.set(&key, "later".into(), &PutOptions::new()).unwrap();
        assert!(subject.exists(&key).unwrap());
        assert_eq!(subject.get_bytes(&key).unwrap().as_deref(), Some(&b"later"[..]));
    }

    pub fn the_same_bytes_may_be_set_again(subject: &Subject) {
        let Some(deferrable) = deferrable(subject) else { return };
        let key = deferrable.new_key(&KeyHint::default()).unwrap();
        deferrable.set(&key, "object".into(), &PutOptions::new()).unwrap();
        deferrable.set(&key, "object".into(), &PutOptions::new()).unwrap();
        assert_eq!(subject.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
    }

    pub fn other_bytes_may_not(subject: &Subject) {
        let Some(deferrable) = deferrable(subject) else { return };
        let key = deferrable.new_key(&KeyHint::default()).unwrap();
        deferrable.set(&key, "object".into(), &PutOptions::new()).unwrap();
        for other in ["tcejbo", "longer than the object", ""] {
            // A connector that cannot tell cheaply may take either, but whole.
            if let Err(error) = deferrable.set(&key, other.into(), &PutOptions::new()) {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                assert_eq!(subject.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
            }
        }
    }

    pub fn one_of_many_writers_wins(subject: &Subject) {
        let Some(deferrable) = deferrable(subject) else { return };
        for round in 0..20 {
            let key = deferrable.new_key(&KeyHint::default()).unwrap();
            let barrier = Barrier::new(8);
            let write = |writer| {
                barrier.wait();
                deferrable.set(&key, pattern(writer, 20_000 + writer), &PutOptions::new()).is_ok()
            };
            let won: Vec<bool> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|writer| scope.spawn(move || write(writer))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let found = subject.get_bytes(&key).unwrap().expect("one writer wins");
            let winner = found.len() - 20_000;
            assert!(found == pattern(winner, 20_000 + winner), "round {round}: the object is whole");
            assert!(won[winner], "round {round}: whose bytes are there was told so");
        }
    }

    pub fn a_wrong_size_is_corrupt(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        for wrong in [0, 5, 7, u64::MAX] {
            let key = with_leaf(&key, &|leaf| leaf.size = Some(wrong));
            assert_eq!(kind_of(subject.get_bytes(&key)), ErrorKind::Corrupt);
            assert_eq!(kind_of(subject.get(&key, &GetOptions::view())), ErrorKind::Corrupt);
        }
    }

    pub fn a_wrong_checksum_is_corrupt(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        let Some(checksum) = leaf(&key).checksum else {
            let Properties { shared, remote, durability } = subject.properties();
            let crosses = remote || durability > Some(Durability::Process);
            assert!(!(shared && crosses), "what crosses a machine or a power cut carries a checksum");
            return;
        };
        let key = with_leaf(&key, &|leaf| leaf.checksum = Some(checksum ^ 1));
        assert_eq!(kind_of(subject.get_bytes(&key)), ErrorKind::Corrupt);
        let checked = GetOptions::view().integrity(Integrity::Checksum);
        assert_eq!(kind_of(subject.get(&key, &checked)), ErrorKind::Corrupt);
    }

    pub fn bare_keys_work(subject: &Subject) {
        let key = with_leaf(&subject.put_bytes("object").unwrap(), &|leaf| (leaf.size, leaf.checksum) = (None, None));
        assert_eq!(subject.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
        subject.evict(&key).unwrap();
        assert!(!subject.exists(&key).unwrap());
    }

    pub fn keys_of_another_kind_are_refused(subject: &Subject) {
        let other: Key = match subject.put_bytes("object").unwrap() {
            Key::Object(key) => MultiKey::new("name", key).into(),
            Key::Multi(_) => ObjectKey::bare("id").into(),
        };
        assert_eq!(kind_of(subject.get_bytes(&other)), ErrorKind::InvalidKey);
        assert_eq!(kind_of(subject.exists(&other)), ErrorKind::InvalidKey);
        assert_eq!(kind_of(subject.evict(&other)), ErrorKind::InvalidKey);
        assert_eq!(kind_of(subject.get_batch(&[other], &GetOptions::default())), ErrorKind::InvalidKey);
    }

    pub fn hostile_keys_reach_nothing(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        let long = "x".repeat(100_000);
        for id in ["..", ".", "../x", "/etc/passwd", "a/../b", "\0", "a\0b", "\u{202e}", "*", "${env:HOME}", &long] {
            let hostile = with_leaf(&key, &|leaf| leaf.id = id.into());
            let refused = |kind| assert_eq!(kind, ErrorKind::InvalidKey, "{id:.20?}");
            match subject.get_bytes(&hostile) {
                Ok(found) => assert_eq!(found, None),
                Err(error) => refused(error.kind()),
            }
            if let Err(error) = subject.evict(&hostile) {
                refused(error.kind());
            }
        }
        assert_eq!(subject.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
    }

    pub fn views_are_the_same_bytes(subject: &Subject) {
        let object = pattern(5, 1_000_000);
        let key = subject.put_bytes(object.clone()).unwrap();
        for options in [GetOptions::view(), GetOptions::view().integrity(Integrity::Checksum)] {
            assert!(subject.get(&key, &options).unwrap() == Some(object.clone()));
        }
    }

    pub fn durability_is_met_or_refused(subject: &Subject) {
        let most = subject.properties().durability;
        for level in [Durability::Process, Durability::Host, Durability::Backend] {
            let options = PutOptions::new().durability(level);
            let put = subject.put("object".into(), &options);
            if Some(level) <= most {
                // A multi-connector may pick one of its connectors that refuses.
                match put {
                    Ok(key) => assert_eq!(subject.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..])),
                    Err(error) => assert!(error.connector().is_some() && error.kind() == ErrorKind::Unsupported),
                }
            } else {
                assert_eq!(kind_of(put), ErrorKind::Unsupported, "{level:?}");
                assert_eq!(kind_of(subject.put_batch(&["o".into()], &options)), ErrorKind::Unsupported);
            }
        }
    }

    pub fn a_rebuilt_connector_is_the_same(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        let rebuilt = subject.rebuilt();
        assert_eq!(rebuilt.config(), subject.config());
        let found = rebuilt.get_bytes(&key);
        assert_eq!(rebuilt.properties(), subject.properties());
        match found.unwrap() {
            Some(object) => assert_eq!(object, "object"),
            None => assert!(!subject.properties().shared, "a shared connector is the same everywhere"),
        }
    }

    pub fn closing_a_rebuilt_connector_deletes_nothing(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        let rebuilt = subject.rebuilt();
        rebuilt.check().unwrap();
        rebuilt.close(&CloseOptions::default()).unwrap();
        assert_eq!(subject.get_bytes(&key).unwrap().as_deref(), Some(&b"object"[..]));
    }

    pub fn closing_twice(subject: &Subject) {
        subject.put_bytes("object").unwrap();
        subject.close(&CloseOptions::default()).unwrap();
        subject.close(&CloseOptions::default()).unwrap();
    }

    pub fn nothing_works_after_closing(subject: &Subject) {
        let key = subject.put_bytes("object").unwrap();
        let config = subject.config();
        subject.close(&CloseOptions::default()).unwrap();
        assert_eq!(kind_of(subject.put_bytes("object")), ErrorKind::Closed);
        assert_eq!(kind_of(subject.put_batch(&["object".into()], &PutOptions::new())), ErrorKind::Closed);
        assert_eq!(kind_of(subject.put_batch(&[], &PutOptions::new())), ErrorKind::Closed);
        assert_eq!(kind_of(subject.get_batch(&[], &GetOptions::default())), ErrorKind::Closed);
        assert_eq!(kind_of(subject.get_bytes(&key)), ErrorKind::Closed);
        assert_eq!(kind_of(subject.get_batch(std::slice::from_ref(&key), &GetOptions::default())), ErrorKind::Closed);
        assert_eq!(kind_of(subject.exists(&key)), ErrorKind::Closed);
        assert_eq!(kind_of(subject.evict(&key)), ErrorKind::Closed);
        assert_eq!(kind_of(subject.check()), ErrorKind::Closed);
        assert_eq!(kind_of(subject.gc(&GcOptions::default())), ErrorKind::Closed);
        if let Some(deferrable) = subject.deferrable() {
            assert_eq!(kind_of(deferrable.new_key(&KeyHint::default())), ErrorKind::Closed);
            assert_eq!(kind_of(deferrable.set(&key, "object".into(), &PutOptions::new())), ErrorKind::Closed);
        }
        assert_eq!(subject.config(), config, "a closed connector can still be rebuilt elsewhere");
    }

    pub fn threads_never_see_wrong_bytes(subject: &Subject) {
        let work = |thread: usize| {
            for round in 0..50 {
                let object = pattern(thread * 1000 + round, 1 + thread * 500 + round);
                let key = subject.put_bytes(object.clone()).unwrap();
                assert!(subject.get_bytes(&key).unwrap() == Some(object.clone()));
                assert!(subject.get(&key, &GetOptions::view()).unwrap() == Some(object));
                subject.evict(&key).unwrap();
                assert_eq!(subject.get_bytes(&key).unwrap(), None);
            }
        };
        thread::scope(|scope| (0..8).for_each(|n| drop(scope.spawn(move || work(n)))));
    }

    pub fn gets_race_evicts(subject: &Subject) {
        for round in 0..100 {
            let object = pattern(round, 5000);
            let key = subject.put_bytes(object.clone()).unwrap();
            let barrier = Barrier::new(3);
            let read = |options| {
                barrier.wait();
                let found = subject.get(&key, &options).unwrap();
                assert!(found.is_none_or(|found| found == object), "bytes or None");
            };
            thread::scope(|scope| {
                scope.spawn(|| read(GetOptions::default()));
                scope.spawn(|| read(GetOptions::view()));
                barrier.wait();
                subject.evict(&key).unwrap();
            });
            assert!(!subject.exists(&key).unwrap());
        }
    }

    pub fn gc_leaves_objects_alone(subject: &Subject) {
        let objects: Vec<Bytes> = (0..20).map(|n| pattern(n, n)).collect();
        let keys = subject.put_batch(&objects, &PutOptions::new()).unwrap();
        let report = subject.gc(&GcOptions { min_age: Duration::ZERO, dry_run: false }).unwrap();
        assert_eq!((report.removed, report.bytes), (0, 0));
        let found = subject.get_batch(&keys, &GetOptions::default()).unwrap();
        assert_eq!(found.into_iter().collect::<Option<Vec<_>>>(), Some(objects));
    }

    pub fn it_checks_itself(subject: &Subject) {
        subject.check().unwrap();
    }

    pub fn its_debug_form_is_short(subject: &Subject) {
        subject.put_bytes(pattern(6, 100_000)).unwrap();
        assert!(format!("{:?}", &**subject).len() < 2000, "no object's bytes are in it");
    }
}

pub use rules::*;
