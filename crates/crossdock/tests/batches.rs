//! Batches and fallback: routed first, one call a connector, order kept, undone when an item fails.

use std::sync::{Arc, Barrier};

use bytes::Bytes;
use crossdock::connectors::{LocalConnector, LocalOptions};
use crossdock::testing::{Effect, FaultyConnector, Operation};
use crossdock::{
    CloseOptions, Connector, ConnectorConfig, Deferrable, ErrorKind, GcOptions, GcReport, GetOptions, Key,
    MultiConnector, Policy, Properties, PutOptions, Result,
};

type Faulty = Arc<FaultyConnector>;

fn faulty() -> Faulty {
    Arc::new(FaultyConnector::new(LocalConnector::new()))
}

fn small() -> Policy {
    Policy::builder().max_size_bytes(3).priority(1).build().unwrap()
}

fn falls_back(policy: Policy) -> Policy {
    let builder = Policy::builder().max_size_bytes(policy.max_size_bytes()).priority(policy.priority());
    builder.fallback(true).build().unwrap()
}

/// `small` takes up to 3 bytes, `rest` everything.
fn two(small_policy: Policy) -> (Faulty, Faulty, MultiConnector) {
    let (first, second) = (faulty(), faulty());
    let multi = MultiConnector::builder()
        .connector("small", first.clone(), small_policy)
        .connector("rest", second.clone(), Policy::any())
        .build()
        .unwrap();
    (first, second, multi)
}

fn objects(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

fn used(connector: &Faulty) -> String {
    format!("{:?}", connector.inner())
}

const EMPTY: &str = "LocalConnector(used_bytes=0)";

#[test]
fn a_batch_costs_one_call_a_connector_and_keeps_its_order() {
    let (first, second, multi) = two(small());
    let batch = objects(&["a", "long one", "b", "long two", "c"]);
    let keys = multi.put_batch(&batch, &PutOptions::new()).unwrap();
    let names: Vec<&str> = keys.iter().map(|key| &*key.connector_name).collect();
    assert_eq!(names, ["small", "rest", "small", "rest", "small"]);
    let found = multi.get_batch(&keys, &GetOptions::default()).unwrap();
    assert_eq!(found, batch.into_iter().map(Some).collect::<Vec<_>>());
    for connector in [&first, &second] {
        assert_eq!((connector.calls(Operation::PutBatch), connector.calls(Operation::Put)), (1, 0));
        assert_eq!((connector.calls(Operation::GetBatch), connector.calls(Operation::Get)), (1, 0));
    }
}

#[test]
fn every_item_is_routed_before_anything_is_written() {
    let (only, _, _) = two(small());
    let multi = MultiConnector::builder().connector("small", only.clone(), small()).build().unwrap();
    let error = multi.put_batch(&objects(&["a", "b", "too long", "c"]), &PutOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRoute);
    assert!(error.message().contains("object 2 of 4"), "{error}");
    assert_eq!(only.calls(Operation::PutBatch), 0);
}

#[test]
fn a_share_that_fails_undoes_what_the_others_wrote() {
    let (first, second, multi) = two(small());
    second.inject(Operation::PutBatch, Effect::Fail(ErrorKind::Unavailable));
    let error = multi.put_batch(&objects(&["a", "long one", "b"]), &PutOptions::new()).unwrap_err();
    assert_eq!((error.kind(), error.connector()), (ErrorKind::Unavailable, Some("rest")));
    assert!(error.keys().is_empty());
    assert_eq!([used(&first), used(&second)], [EMPTY, EMPTY]);
}

#[test]
fn what_cannot_be_undone_is_listed_by_its_keys() {
    let (first, second, multi) = two(small());
    second.inject(Operation::PutBatch, Effect::Fail(ErrorKind::Full));
    first.inject(Operation::Evict, Effect::Fail(ErrorKind::Unavailable));
    let error = multi.put_batch(&objects(&["a", "long one", "b"]), &PutOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(error.keys().len(), 2);
    assert!(error.message().contains("2 objects"), "{error}");
    first.heal();
    for key in error.keys() {
        Connector::evict(&multi, key).unwrap();
    }
    assert_eq!(used(&first), EMPTY);
}

#[test]
fn a_share_that_stopped_half_way_lists_what_it_wrote() {
    let (first, second, multi) = two(small());
    second.inject(Operation::PutBatch, Effect::HalfDone(ErrorKind::Ambiguous));
    let error = multi.put_batch(&objects(&["a", "long one", "long two"]), &PutOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous);
    assert_eq!(used(&first), EMPTY);
    let [key] = error.keys() else { panic!("one key, not {:?}", error.keys()) };
    assert!(key.to_string().starts_with("rest/"), "{key}");
    Connector::evict(&multi, key).unwrap();
    assert_eq!(used(&second), EMPTY);
}

#[test]
fn a_put_falls_back_only_where_the_policy_says_so() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Full, ErrorKind::Timeout, ErrorKind::TooLarge] {
        let (first, _, strict) = two(small());
        first.inject(Operation::Put, Effect::Fail(kind));
        let error = strict.put("a", &PutOptions::new()).unwrap_err();
        assert_eq!((error.kind(), error.connector()), (kind, Some("small")));

        let (first, _, lenient) = two(falls_back(small()));
        first.inject(Operation::Put, Effect::Fail(kind));
        let key = lenient.put("a", &PutOptions::new()).unwrap();
        assert_eq!(&*key.connector_name, "rest", "the key names where it landed");
        assert_eq!(lenient.get(&key).unwrap().as_deref(), Some(&b"a"[..]));
    }
}

#[test]
fn a_put_never_falls_back_after_an_unknown_outcome() {
    let (first, second, multi) = two(falls_back(small()));
    first.inject(Operation::Put, Effect::HalfDone(ErrorKind::Ambiguous));
    let error = multi.put("a", &PutOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous);
    assert_eq!(second.calls(Operation::Put), 0);
    let [key] = error.keys() else { panic!("the error carries the key") };
    assert_eq!(Connector::get(&multi, key, &GetOptions::default()).unwrap().as_deref(), Some(&b"a"[..]));
}

#[test]
fn when_every_fallback_fails_the_error_tells_of_each() {
    let (first, second, multi) = two(falls_back(small()));
    first.inject(Operation::Put, Effect::Fail(ErrorKind::Full));
    second.inject(Operation::Put, Effect::Fail(ErrorKind::Unavailable));
    let error = multi.put("a", &PutOptions::new()).unwrap_err();
    assert_eq!((error.kind(), error.connector()), (ErrorKind::Full, Some("small")));
    assert!(error.message().contains("rest"), "{error}");
}

#[test]
fn a_connector_that_cannot_be_opened_is_fallen_back_from() {
    let blocked = tempfile::NamedTempFile::new().unwrap();
    let broken = crossdock::connectors::FileOptions::new(blocked.path().join("below"));
    let multi = MultiConnector::builder()
        .lazy("broken", Arc::new(broken), falls_back(Policy::any()))
        .lazy("works", Arc::new(LocalOptions::default()), Policy::any())
        .build()
        .unwrap();
    assert_eq!(&*multi.put("a", &PutOptions::new()).unwrap().connector_name, "works");
    let keys = multi.put_batch(&objects(&["a", "b"]), &PutOptions::new()).unwrap();
    assert!(keys.iter().all(|key| &*key.connector_name == "works"));
}

#[test]
fn a_batch_falls_back_share_by_share() {
    let (first, second, multi) = two(falls_back(small()));
    first.inject(Operation::PutBatch, Effect::Fail(ErrorKind::Unavailable));
    let batch = objects(&["a", "long one", "b"]);
    let keys = multi.put_batch(&batch, &PutOptions::new()).unwrap();
    assert!(keys.iter().all(|key| &*key.connector_name == "rest"));
    let found = multi.get_batch(&keys, &GetOptions::default()).unwrap();
    assert_eq!(found, batch.into_iter().map(Some).collect::<Vec<_>>());
    assert_eq!((used(&first).as_str(), second.calls(Operation::PutBatch)), (EMPTY, 2));
}

#[test]
fn a_batch_whose_fallback_fails_leaves_nothing() {
    let first = faulty();
    first.inject(Operation::PutBatch, Effect::Fail(ErrorKind::Unavailable));
    // Takes its own share, but not the one of the first.
    let second = FaultyConnector::new(LocalConnector::new());
    let second = Arc::new(second.on_nth(Operation::PutBatch, 2, Effect::Fail(ErrorKind::Full)));
    let multi = MultiConnector::builder()
        .connector("small", first.clone(), falls_back(small()))
        .connector("rest", second.clone(), Policy::any())
        .build()
        .unwrap();
    let error = multi.put_batch(&objects(&["a", "long one"]), &PutOptions::new()).unwrap_err();
    assert!(error.keys().is_empty(), "{error}");
    assert_eq!(second.calls(Operation::PutBatch), 2);
    assert_eq!([used(&first), used(&second)], [EMPTY, EMPTY]);
}

#[test]
fn shares_of_remote_connectors_run_at_the_same_time() {
    // Each waits until both have begun; one after the other, neither would come back.
    let both_began = Arc::new(Barrier::new(2));
    let remote = || Meeting { inner: LocalConnector::new(), both_began: both_began.clone() };
    let multi = MultiConnector::builder()
        .connector("small", remote(), small())
        .connector("rest", remote(), Policy::any())
        .build()
        .unwrap();
    let batch = objects(&["a", "long one", "b"]);
    let keys = multi.put_batch(&batch, &PutOptions::new()).unwrap();
    let found = multi.get_batch(&keys, &GetOptions::default()).unwrap();
    assert_eq!(found, batch.into_iter().map(Some).collect::<Vec<_>>());
}

#[test]
fn reads_never_search() {
    let (first, second, multi) = two(falls_back(small()));
    let key = multi.put("a", &PutOptions::new()).unwrap();
    first.inject(Operation::Get, Effect::Fail(ErrorKind::Unavailable));
    assert_eq!(multi.get(&key).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(second.calls(Operation::Get), 0);
}

/// Claims to be remote; its batches wait for each other.
#[derive(Debug)]
struct Meeting {
    inner: LocalConnector,
    both_began: Arc<Barrier>,
}

impl Connector for Meeting {
    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        self.both_began.wait();
        self.inner.put_batch(objects, options)
    }

    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        self.both_began.wait();
        self.inner.get_batch(keys, options)
    }

    fn properties(&self) -> Properties {
        self.inner.properties().remote()
    }

    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        self.inner.put(object, options)
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        self.inner.get(key, options)
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        self.inner.exists(key)
    }

    fn evict(&self, key: &Key) -> Result<()> {
        self.inner.evict(key)
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        self.inner.deferrable()
    }

    fn config(&self) -> ConnectorConfig {
        self.inner.config()
    }

    fn check(&self) -> Result<()> {
        self.inner.check()
    }

    fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        self.inner.gc(options)
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        self.inner.close(options)
    }
}
