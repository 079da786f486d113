//! Batches and fallback: routed first, one call a connector, order kept, undone when an item fails.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::connectors::{LocalConnector, LocalOptions};
use crossdock::testing::{Effect, FaultyConnector, Operation};
use crossdock::{
    Checkup, CloseOptions, Connector, ConnectorConfig, Deferrable, Durability, ErrorKind, GcOptions, GcReport,
    GetOptions, Key, KeyHint, MultiConnector, Policy, Properties, PutOptions, Result, interrupt,
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
fn a_batch_falls_back_only_after_what_wrote_nothing() {
    use ErrorKind::{AlreadyExists, Ambiguous, Corrupt, InvalidConfig, InvalidKey};
    for kind in [Ambiguous, Corrupt, InvalidKey, InvalidConfig, AlreadyExists] {
        let (first, second, multi) = two(falls_back(small()));
        first.inject(Operation::PutBatch, Effect::Fail(kind));
        first.inject(Operation::Put, Effect::Fail(kind));
        let error = multi.put_batch(&objects(&["a", "b"]), &PutOptions::new()).unwrap_err();
        assert_eq!((error.kind(), error.connector()), (kind, Some("small")));
        assert_eq!(multi.put("a", &PutOptions::new()).unwrap_err().kind(), kind);
        assert_eq!((second.calls(Operation::PutBatch), second.calls(Operation::Put)), (0, 0));
    }
}

#[test]
fn an_error_that_carries_keys_is_not_fallen_back_from() {
    let (first, second, multi) = two(falls_back(small()));
    first.inject(Operation::PutBatch, Effect::HalfDone(ErrorKind::Unavailable));
    first.inject(Operation::Put, Effect::HalfDone(ErrorKind::Full));
    for error in [
        multi.put_batch(&objects(&["a", "b"]), &PutOptions::new()).unwrap_err(),
        multi.put("a", &PutOptions::new()).unwrap_err(),
    ] {
        let [key] = error.keys() else { panic!("one key, not {:?}", error.keys()) };
        assert!(Connector::exists(&multi, key).unwrap());
        Connector::evict(&multi, key).unwrap();
    }
    assert_eq!((second.calls(Operation::PutBatch), second.calls(Operation::Put)), (0, 0));
    assert_eq!(used(&first), EMPTY);
}

#[test]
fn an_unknown_outcome_is_not_hidden_by_another_error() {
    for [one, other] in [[ErrorKind::Full, ErrorKind::Ambiguous], [ErrorKind::Ambiguous, ErrorKind::Full]] {
        let (first, second, multi) = two(small());
        first.inject(Operation::PutBatch, Effect::HalfDone(one));
        second.inject(Operation::PutBatch, Effect::HalfDone(other));
        let batch = objects(&["a", "long one", "b", "long two"]);
        let error = multi.put_batch(&batch, &PutOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ambiguous);
        assert!(["small", "rest"].iter().all(|name| error.to_string().contains(name)), "{error}");
        let mut names: Vec<String> =
            error.keys().iter().map(|key| key.to_string().split('/').next().unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["rest", "small"]);
        error.keys().iter().for_each(|key| Connector::evict(&multi, key).unwrap());
        assert_eq!([used(&first), used(&second)], [EMPTY, EMPTY]);
    }
}

#[test]
fn items_are_not_mixed_up_where_a_connector_answers_too_few() {
    let forgetful = Contrary { forgets: true, ..Contrary::default() };
    let first = faulty();
    let multi = MultiConnector::builder()
        .connector("small", first.clone(), small())
        .connector("rest", forgetful, falls_back(Policy::any()))
        .connector("last", LocalConnector::new(), Policy::any())
        .build()
        .unwrap();
    let error = multi.put_batch(&objects(&["a", "long one", "long two"]), &PutOptions::new()).unwrap_err();
    assert_eq!((error.kind(), error.connector()), (ErrorKind::Ambiguous, Some("rest")));
    assert!(error.message().contains("1 items to a batch of 2"), "{error}");
    assert_eq!(used(&first), EMPTY);
    let keys = ["one two", "three"].map(|object| multi.put(object, &PutOptions::new()).unwrap());
    assert!(keys.iter().all(|key| &*key.connector_name == "rest"));
    let error = multi.get_batch(&keys, &GetOptions::default()).unwrap_err();
    assert!(error.message().contains("1 items to a batch of 2"), "{error}");
}

#[test]
fn a_nested_multi_connector_without_a_route_is_fallen_back_from() {
    let nested = || MultiConnector::builder().connector("inner", LocalConnector::new(), small()).build().unwrap();
    let around = |policy| {
        let builder = MultiConnector::builder().connector("nested", nested(), policy);
        builder.connector("rest", LocalConnector::new(), Policy::any()).build().unwrap()
    };
    let lenient = around(falls_back(Policy::any()));
    assert_eq!(&*lenient.put("long one", &PutOptions::new()).unwrap().connector_name, "rest");
    assert!(lenient.put("a", &PutOptions::new()).unwrap().to_string().starts_with("nested/inner/"));
    let keys = lenient.put_batch(&objects(&["a", "long one"]), &PutOptions::new()).unwrap();
    assert!(keys.iter().all(|key| &*key.connector_name == "rest"), "a share goes on as a whole");
    assert_eq!(&*lenient.new_key(&KeyHint::new().size(8)).unwrap().connector_name, "rest");

    let strict = around(Policy::any());
    for error in [
        strict.put("long one", &PutOptions::new()).unwrap_err(),
        strict.put_batch(&objects(&["a", "long one"]), &PutOptions::new()).unwrap_err(),
        strict.new_key(&KeyHint::new().size(8)).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.connector()), (ErrorKind::NoRoute, Some("nested")));
    }
}

#[test]
fn a_key_for_an_object_of_unknown_size_comes_from_who_takes_every_size() {
    let multi = MultiConnector::builder()
        .connector("small", LocalConnector::new(), Policy::builder().max_size_bytes(5).priority(2).build().unwrap())
        .connector("rest", LocalConnector::new(), Policy::any())
        .build()
        .unwrap();
    let name = |hint: &KeyHint| multi.new_key(hint).unwrap().connector_name.to_string();
    assert_eq!(name(&KeyHint::new()), "rest");
    assert_eq!(name(&KeyHint::new().size(5)), "small");
    let only = MultiConnector::builder()
        .connector("small", LocalConnector::new(), Policy::builder().max_size_bytes(5).build().unwrap())
        .build()
        .unwrap();
    assert_eq!(&*only.new_key(&KeyHint::new()).unwrap().connector_name, "small");
}

#[test]
fn a_new_key_falls_back_only_where_the_policy_says_so() {
    let blocked = tempfile::NamedTempFile::new().unwrap();
    let around = |policy| {
        let broken = crossdock::connectors::FileOptions::new(blocked.path().join("below"));
        let builder = MultiConnector::builder().lazy("broken", Arc::new(broken), policy);
        builder.connector("works", LocalConnector::new(), Policy::any()).build().unwrap()
    };
    let lenient = around(falls_back(Policy::any()));
    assert_eq!(&*lenient.new_key(&KeyHint::new()).unwrap().connector_name, "works");
    let error = around(Policy::any()).new_key(&KeyHint::new()).unwrap_err();
    assert_eq!((error.kind(), error.connector()), (ErrorKind::Unavailable, Some("broken")));

    let (first, second, multi) = two(falls_back(small()));
    first.inject(Operation::NewKey, Effect::Fail(ErrorKind::Ambiguous));
    assert_eq!(multi.new_key(&KeyHint::new().size(1)).unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(second.calls(Operation::NewKey), 0);
}

#[test]
fn a_new_key_comes_from_a_connector_that_reaches_its_durability() {
    let dir = tempfile::tempdir().unwrap();
    let around = |policy| {
        let files = crossdock::connectors::FileOptions::new(dir.path());
        let builder = MultiConnector::builder().connector("memory", LocalConnector::new(), policy);
        builder.lazy("disk", Arc::new(files), Policy::any()).build().unwrap()
    };
    let hint = |durability| KeyHint::new().options(PutOptions::new().durability(durability));
    let lenient = around(falls_back(Policy::any()));
    assert_eq!(&*lenient.new_key(&KeyHint::new()).unwrap().connector_name, "memory");
    assert_eq!(&*lenient.new_key(&hint(Durability::Host)).unwrap().connector_name, "disk");
    let error = lenient.new_key(&hint(Durability::Backend)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("disk"), "{error}");
    let error = around(Policy::any()).new_key(&hint(Durability::Process)).unwrap_err();
    assert_eq!((error.kind(), error.connector()), (ErrorKind::Unsupported, Some("memory")));
}

#[test]
fn a_set_counts_towards_the_quota() {
    let local = LocalConnector::with_options(&LocalOptions::new().max_total_bytes(4));
    let [first, second] = [(); 2].map(|()| local.new_key(&KeyHint::new()).unwrap());
    local.set(&first, "123".into(), &PutOptions::new()).unwrap();
    local.set(&first, "123".into(), &PutOptions::new()).unwrap();
    assert_eq!(local.used_bytes(), 3, "the same object counts once");
    let refused = |object: &'static str| local.set(&second, object.into(), &PutOptions::new()).unwrap_err().kind();
    assert_eq!([refused("12"), refused("12345")], [ErrorKind::Full, ErrorKind::TooLarge]);
    assert!(!local.exists(&second).unwrap());
    local.set(&second, "1".into(), &PutOptions::new()).unwrap();
    local.evict(&first).unwrap();
    assert_eq!(local.used_bytes(), 1);
}

#[test]
fn shares_of_remote_connectors_run_at_the_same_time() {
    // Each waits until both have begun; one after the other, neither would come back.
    let both_began = Arc::new(AtomicUsize::new(0));
    let remote = || Contrary { both_began: Some(both_began.clone()), ..Contrary::default() };
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
fn checks_of_remote_connectors_run_at_the_same_time() {
    let both_began = Arc::new(AtomicUsize::new(0));
    let remote = || Contrary { both_began: Some(both_began.clone()), ..Contrary::default() };
    let broken = faulty();
    broken.inject(Operation::Check, Effect::Fail(ErrorKind::Unavailable));
    let multi = MultiConnector::builder()
        .connector("one", remote(), Policy::any())
        .connector("broken", broken, Policy::any())
        .connector("two", remote(), Policy::any())
        .build()
        .unwrap();
    let found: Vec<_> = multi.check_each().iter().map(|(name, found)| (name.to_string(), found.is_ok())).collect();
    assert_eq!(found, [("one".to_owned(), true), ("broken".to_owned(), false), ("two".to_owned(), true)]);
}

#[test]
fn a_check_tells_of_what_it_had_to_leave_behind() {
    let check = |faults: &[(Operation, Effect)]| {
        let connector = faulty();
        faults.iter().for_each(|(operation, effect)| connector.inject(*operation, *effect));
        (Checkup::of(&*connector).unwrap_err(), used(&connector) != EMPTY)
    };
    let (unavailable, corrupt) = (Effect::Fail(ErrorKind::Unavailable), Effect::Fail(ErrorKind::Corrupt));
    let (error, is_left) = check(&[(Operation::Evict, unavailable)]);
    assert_eq!((error.kind(), error.keys().len(), is_left), (ErrorKind::Unavailable, 1, true));
    assert!(error.message().contains("the object of the check is left"), "{error}");
    let (error, is_left) = check(&[(Operation::Get, corrupt), (Operation::Evict, unavailable)]);
    assert_eq!(
        (error.kind(), error.keys().len(), is_left),
        (ErrorKind::Corrupt, 1, true),
        "the first that failed leads"
    );
    let (error, is_left) = check(&[(Operation::Put, Effect::HalfDone(ErrorKind::Ambiguous))]);
    assert_eq!((error.kind(), error.keys().len(), is_left), (ErrorKind::Ambiguous, 1, true));
    let (error, is_left) = check(&[(Operation::Get, corrupt)]);
    assert_eq!((error.kind(), error.keys().len(), is_left), (ErrorKind::Corrupt, 0, false));
}

#[test]
fn a_check_that_nobody_wants_any_more_leaves_nothing() {
    let connector = Contrary::default();
    let error = interrupt::scope(|| true, || Checkup::of(&connector)).unwrap_err();
    assert_eq!((error.kind(), error.keys().len()), (ErrorKind::Interrupted, 0));
    assert_eq!(format!("{:?}", connector.inner), EMPTY);
}

#[test]
fn undoing_waits_once_for_a_connector_that_cannot_be_reached() {
    let (first, second, multi) = two(small());
    second.inject(Operation::PutBatch, Effect::Fail(ErrorKind::Full));
    first.inject(Operation::Evict, Effect::Fail(ErrorKind::Timeout));
    let error = multi.put_batch(&objects(&["a", "b", "c", "long one"]), &PutOptions::new()).unwrap_err();
    assert_eq!((error.keys().len(), first.calls(Operation::Evict)), (3, 1));
}

#[test]
fn undoing_is_not_interrupted() {
    let (first, second) = (Arc::new(Contrary::default()), faulty());
    let multi = MultiConnector::builder()
        .connector("small", first.clone(), small())
        .connector("rest", second.clone(), Policy::any())
        .build()
        .unwrap();
    second.inject(Operation::PutBatch, Effect::Fail(ErrorKind::Interrupted));
    let put = || multi.put_batch(&objects(&["a", "long one"]), &PutOptions::new());
    let error = interrupt::scope(|| true, put).unwrap_err();
    assert_eq!((error.kind(), error.keys().len()), (ErrorKind::Interrupted, 0));
    assert_eq!(format!("{:?}", first.inner), EMPTY);
}

thread_local! {
    static IS_THE_CALLER: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn a_caller_who_has_enough_is_heard_in_every_thread() {
    let endless = || Contrary { is_endless: true, ..Contrary::default() };
    let (local, multi) = (faulty(), MultiConnector::builder());
    let multi = multi
        .connector("small", endless(), small())
        .connector("rest", endless(), Policy::builder().max_size_bytes(10).build().unwrap())
        .connector("local", local.clone(), Policy::any())
        .build()
        .unwrap();
    IS_THE_CALLER.set(true);
    // Who asks in another thread than the caller's gets no answer.
    let has_enough = || IS_THE_CALLER.get();
    let put = || multi.put_batch(&objects(&["a", "long one", "a really long one"]), &PutOptions::new());
    let error = interrupt::scope(has_enough, put).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!((local.calls(Operation::PutBatch), used(&local).as_str()), (1, EMPTY), "undone");
}

#[test]
fn reads_never_search() {
    let (first, second, multi) = two(falls_back(small()));
    let key = multi.put("a", &PutOptions::new()).unwrap();
    first.inject(Operation::Get, Effect::Fail(ErrorKind::Unavailable));
    assert_eq!(multi.get(&key).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(second.calls(Operation::Get), 0);
}

/// Claims to be remote; its batches and checks wait for each other, or its batches forget their last item.
#[derive(Debug, Default)]
struct Contrary {
    inner: LocalConnector,
    /// How many calls of two such connectors have begun: each waits for its partner.
    both_began: Option<Arc<AtomicUsize>>,
    forgets: bool,
    /// A batch ends only when its caller wants it to.
    is_endless: bool,
}

impl Contrary {
    fn answer<T>(&self, mut items: Vec<T>) -> Vec<T> {
        items.truncate(items.len() - usize::from(self.forgets));
        items
    }

    fn meet(&self) {
        let Some(begun) = &self.both_began else { return };
        let partners = (begun.fetch_add(1, Ordering::SeqCst) / 2 + 1) * 2;
        let start = Instant::now();
        while begun.load(Ordering::SeqCst) < partners {
            assert!(start.elapsed() < Duration::from_secs(60), "one waits for the other to end");
            thread::yield_now();
        }
    }
}

impl Connector for Contrary {
    fn put_batch(&self, objects: &[Bytes], options: &PutOptions) -> Result<Vec<Key>> {
        self.meet();
        if self.is_endless {
            loop {
                interrupt::check()?;
                thread::yield_now();
            }
        }
        self.inner.put_batch(objects, options).map(|keys| self.answer(keys))
    }

    fn get_batch(&self, keys: &[Key], options: &GetOptions) -> Result<Vec<Option<Bytes>>> {
        self.meet();
        self.inner.get_batch(keys, options).map(|found| self.answer(found))
    }

    fn properties(&self) -> Properties {
        self.inner.properties().remote()
    }

    fn put(&self, object: Bytes, options: &PutOptions) -> Result<Key> {
        self.inner.put(object, options)
    }

    fn get(&self, key: &Key, options: &GetOptions) -> Result<Option<Bytes>> {
        interrupt::check()?;
        self.inner.get(key, options)
    }

    fn exists(&self, key: &Key) -> Result<bool> {
        self.inner.exists(key)
    }

    fn evict(&self, key: &Key) -> Result<()> {
        interrupt::check()?;
        self.inner.evict(key)
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        self.inner.deferrable()
    }

    fn config(&self) -> ConnectorConfig {
        self.inner.config()
    }

    fn check(&self) -> Result<Checkup> {
        self.meet();
        self.inner.check()
    }

    fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        self.inner.gc(options)
    }

    fn close(&self, options: &CloseOptions) -> Result<()> {
        self.inner.close(options)
    }
}
