//! What becomes of puts where a connector fails again and again: it is skipped, tried again, and shown.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::connectors::LocalConnector;
use crossdock::dispatch::{Clock, Dispatcher};
use crossdock::router::Lane;
use crossdock::testing::{Effect, FaultyConnector, Operation};
use crossdock::{
    Error, ErrorKind, GetOptions, HealthState, Hostname, KeyHint, MultiConnector, MultiKey, Policy, PolicyBuilder,
    PutOptions, Request, Result,
};

type Faulty = Arc<FaultyConnector>;

/// A clock that goes when it is told to.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let hand = self.clone();
        Arc::new(move || Duration::from_secs(hand.0.load(Ordering::SeqCst)))
    }
}

fn faulty() -> Faulty {
    Arc::new(FaultyConnector::new(LocalConnector::new()))
}

/// Skipped after 3 failures in a row, for 10 seconds.
fn touchy() -> PolicyBuilder {
    Policy::builder().max_failures(3).cooldown(Duration::from_secs(10))
}

fn falls_back() -> Policy {
    touchy().fallback(true).build().unwrap()
}

/// `first` with that policy, `second` with `Policy::any`.
fn two(policy: Policy) -> (Faulty, Faulty, MultiConnector, Hand) {
    let (first, second, hand) = (faulty(), faulty(), Hand::default());
    let multi = MultiConnector::builder()
        .connector("first", first.clone(), policy)
        .connector("second", second.clone(), Policy::any())
        .clock(hand.clock())
        .build()
        .unwrap();
    (first, second, multi, hand)
}

fn put(multi: &MultiConnector) -> Result<MultiKey> {
    multi.put("object", &PutOptions::new())
}

fn lands_in(multi: &MultiConnector) -> String {
    put(multi).unwrap().connector_name.to_string()
}

fn state(multi: &MultiConnector, place: usize) -> HealthState {
    multi.health()[place].1.state
}

fn break_down(connector: &Faulty, kind: ErrorKind) {
    for operation in [Operation::Put, Operation::PutBatch, Operation::NewKey] {
        connector.inject(operation, Effect::Fail(kind));
    }
}

/// `first` has failed as often as it may.
fn open(policy: Policy) -> (Faulty, Faulty, MultiConnector, Hand) {
    let (first, second, multi, hand) = two(policy);
    break_down(&first, ErrorKind::Unavailable);
    (0..3).for_each(|_| drop(put(&multi)));
    assert_eq!(state(&multi, 0), HealthState::Open);
    (first, second, multi, hand)
}

fn objects(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

#[test]
fn a_connector_that_fails_is_skipped_then_tried_once_then_used() {
    let (first, _, multi, hand) = two(falls_back());
    break_down(&first, ErrorKind::Unavailable);
    for calls in 1..=3 {
        assert_eq!((lands_in(&multi).as_str(), first.calls(Operation::Put)), ("second", calls));
    }
    for _ in 0..5 {
        assert_eq!((lands_in(&multi).as_str(), first.calls(Operation::Put)), ("second", 3), "skipped");
    }
    hand.advance(9);
    assert_eq!((lands_in(&multi).as_str(), first.calls(Operation::Put)), ("second", 3));
    hand.advance(1);
    assert_eq!(state(&multi, 0), HealthState::HalfOpen);
    assert_eq!((lands_in(&multi).as_str(), first.calls(Operation::Put)), ("second", 4), "one probe");
    assert_eq!((lands_in(&multi).as_str(), first.calls(Operation::Put)), ("second", 4), "open again");
    first.heal();
    hand.advance(9);
    assert_eq!(lands_in(&multi), "second");
    hand.advance(1);
    assert_eq!([lands_in(&multi), lands_in(&multi)], ["first", "first"]);
    assert_eq!((state(&multi, 0), multi.health()[0].1.failures), (HealthState::Closed, 0));
}

#[test]
fn without_fallback_puts_fail_at_once_and_say_why() {
    let (first, second, multi, hand) = open(touchy().build().unwrap());
    hand.advance(3);
    for error in [
        put(&multi).unwrap_err(),
        multi.put_batch(&objects(&["a", "b"]), &PutOptions::new()).unwrap_err(),
        multi.new_key(&KeyHint::new().size(1)).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.connector()), (ErrorKind::Unavailable, Some("first")));
        assert!(error.is_retryable());
        for words in ["it was not tried", "failed 3 times in a row", "an injected fault", "in 7 s", "fallback = true"] {
            assert!(error.message().contains(words), "{words:?} in {error}");
        }
    }
    assert_eq!((first.calls(Operation::Put), first.calls(Operation::PutBatch)), (3, 0));
    assert_eq!((second.calls(Operation::Put), second.calls(Operation::PutBatch)), (0, 0));
    first.heal();
    hand.advance(7);
    assert_eq!([lands_in(&multi), lands_in(&multi)], ["first", "first"]);
}

#[test]
fn only_failures_of_the_channel_count_and_only_in_a_row() {
    use ErrorKind::{
        AlreadyExists, Ambiguous, Closed, Corrupt, Full, Interrupted, InvalidConfig, InvalidKey, NoRoute, Timeout,
        TooLarge, Unavailable, Unsupported,
    };
    let failures_after = |kind| {
        let (first, _, multi, _) = two(touchy().build().unwrap());
        first.inject(Operation::Put, Effect::Fail(kind));
        (0..4).for_each(|_| drop(put(&multi)));
        multi.health()[0].1.failures
    };
    for kind in [Unavailable, Timeout, Ambiguous] {
        assert_eq!(failures_after(kind), 3, "{kind:?}");
    }
    for kind in
        [Full, TooLarge, NoRoute, Unsupported, Closed, Corrupt, Interrupted, InvalidConfig, InvalidKey, AlreadyExists]
    {
        assert_eq!(failures_after(kind), 0, "{kind:?}");
    }

    let (first, _, multi, _) = two(falls_back());
    for _ in 0..3 {
        first.inject(Operation::Put, Effect::Fail(Unavailable));
        (0..2).for_each(|_| drop(put(&multi)));
        first.heal();
        assert_eq!(lands_in(&multi), "first", "two are not three");
    }
}

#[test]
fn a_full_connector_is_asked_each_time_and_counts_as_one_that_answers() {
    let (first, _, multi, hand) = open(falls_back());
    first.heal();
    first.inject(Operation::Put, Effect::Fail(ErrorKind::Full));
    hand.advance(10);
    for calls in 4..9 {
        assert_eq!((lands_in(&multi).as_str(), first.calls(Operation::Put)), ("second", calls));
    }
    assert_eq!(state(&multi, 0), HealthState::Closed);
}

#[test]
fn zero_failures_mean_never_skipped() {
    let (first, _, multi, _) = two(Policy::builder().max_failures(0).fallback(true).build().unwrap());
    break_down(&first, ErrorKind::Unavailable);
    (0..20).for_each(|_| drop(put(&multi)));
    assert_eq!(first.calls(Operation::Put), 20);
    assert_eq!((state(&multi, 0), multi.health()[0].1.failures), (HealthState::Closed, 20));
}

#[test]
fn what_was_skipped_is_tried_after_all_before_a_put_fails() {
    for kind in [ErrorKind::Full, ErrorKind::TooLarge, ErrorKind::Unavailable, ErrorKind::Closed] {
        let (first, second, multi, _) = open(falls_back());
        first.heal();
        break_down(&second, kind);
        assert_eq!(lands_in(&multi), "first", "after {kind:?}");
        assert_eq!(state(&multi, 0), HealthState::Closed, "it works");
        assert_eq!(multi.get(&put(&multi).unwrap()).unwrap().as_deref(), Some(&b"object"[..]));
    }
}

#[test]
fn an_object_that_comes_back_to_a_skipped_connector_is_still_whole() {
    let (first, second, multi, _) = open(falls_back());
    first.heal();
    second.inject(Operation::Put, Effect::Fail(ErrorKind::Full));
    let key = multi.put(vec![7; 1_000], &PutOptions::new()).unwrap();
    assert_eq!(&*key.connector_name, "first");
    assert_eq!(multi.get(&key).unwrap().as_deref(), Some(&[7; 1_000][..]));
}

#[test]
fn the_only_connector_that_takes_an_object_is_tried_each_time_where_it_says_fallback() {
    let (only, hand) = (faulty(), Hand::default());
    let builder = MultiConnector::builder().connector("only", only.clone(), falls_back());
    let multi = builder.clock(hand.clock()).build().unwrap();
    break_down(&only, ErrorKind::Timeout);
    for calls in 1..6 {
        assert_eq!(put(&multi).unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(only.calls(Operation::Put), calls);
    }
    only.heal();
    assert_eq!(lands_in(&multi), "only", "the clock stands still");
}

#[test]
fn an_error_tells_of_every_connector() {
    let connectors = [faulty(), faulty(), faulty()];
    let hand = Hand::default();
    let mut builder = MultiConnector::builder().clock(hand.clock());
    for (connector, name) in connectors.iter().zip(["one", "two", "three"]) {
        builder = builder.connector(name, connector.clone(), falls_back());
    }
    let multi = builder.build().unwrap();
    connectors.iter().for_each(|connector| break_down(connector, ErrorKind::Unavailable));
    (0..3).for_each(|_| drop(put(&multi).unwrap_err()));
    connectors[1].heal();
    connectors[1].inject(Operation::Put, Effect::Fail(ErrorKind::Full));

    // All are skipped, so each is tried after all.
    let error = put(&multi).unwrap_err();
    let text = error.to_string();
    assert_eq!((error.kind(), error.connector()), (ErrorKind::Unavailable, Some("one")));
    assert!(["two", "three"].iter().all(|name| text.contains(&format!("connector \"{name}\""))), "{text}");

    // What ends the way leaves those out that were to be tried after all, and says so.
    connectors[1].heal();
    connectors[1].inject(Operation::Put, Effect::Fail(ErrorKind::Ambiguous));
    let error = put(&multi).unwrap_err();
    assert_eq!((error.kind(), error.connector()), (ErrorKind::Ambiguous, Some("two")));
    let text = error.to_string();
    let words = "one was not tried: it failed 4 times in a row (last: an injected fault); tried again in 10 s";
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_skipped_connector_without_fallback_is_the_end_of_the_way_but_tried_before_the_put_fails() {
    let connectors = [faulty(), faulty(), faulty()];
    let policies = [falls_back(), touchy().build().unwrap(), Policy::any()];
    let mut builder = MultiConnector::builder().clock(Hand::default().clock());
    for ((connector, name), policy) in connectors.iter().zip(["one", "two", "three"]).zip(policies) {
        builder = builder.connector(name, connector.clone(), policy);
    }
    let multi = builder.build().unwrap();
    let [one, two, three] = &connectors;
    break_down(one, ErrorKind::Unavailable);
    break_down(two, ErrorKind::Unavailable);
    (0..3).for_each(|_| drop(put(&multi).unwrap_err()));
    assert_eq!([state(&multi, 0), state(&multi, 1)], [HealthState::Open; 2]);

    let error = put(&multi).unwrap_err();
    assert!(error.to_string().contains("connector \"two\""), "{error}");
    assert_eq!([one, two, three].map(|connector| connector.calls(Operation::Put)), [4, 4, 0]);
    two.heal();
    assert_eq!(lands_in(&multi), "two");
}

#[test]
fn an_unknown_outcome_never_goes_on_also_not_to_what_was_skipped() {
    let (first, second, multi, _) = open(falls_back());
    first.heal();
    second.inject(Operation::Put, Effect::HalfDone(ErrorKind::Ambiguous));
    second.inject(Operation::PutBatch, Effect::HalfDone(ErrorKind::Ambiguous));
    let error = put(&multi).unwrap_err();
    assert_eq!((error.kind(), error.keys().len()), (ErrorKind::Ambiguous, 1));
    assert!(error.message().contains("first was not tried: it failed 3 times"), "{error}");
    let error = multi.put_batch(&objects(&["a", "b"]), &PutOptions::new()).unwrap_err();
    assert_eq!((error.kind(), error.keys().len()), (ErrorKind::Ambiguous, 1));
    assert_eq!((first.calls(Operation::Put), first.calls(Operation::PutBatch)), (3, 0));
}

#[test]
fn reads_go_where_the_key_says() {
    let (first, _, multi, _) = two(falls_back());
    let key = put(&multi).unwrap();
    assert_eq!(&*key.connector_name, "first");
    break_down(&first, ErrorKind::Unavailable);
    (0..3).for_each(|_| drop(put(&multi)));
    assert_eq!(state(&multi, 0), HealthState::Open);
    assert_eq!(multi.get(&key).unwrap().as_deref(), Some(&b"object"[..]));
    assert_eq!(multi.get_batch(std::slice::from_ref(&key), &GetOptions::default()).unwrap().len(), 1);
    assert!(multi.exists(&key).unwrap());
    multi.evict(&key).unwrap();
    assert_eq!(state(&multi, 0), HealthState::Open, "a read says nothing of puts");
}

#[test]
fn a_batch_passes_a_skipped_connector_as_a_put_does() {
    let (first, second, hand) = (faulty(), faulty(), Hand::default());
    let small = touchy().max_size_bytes(3).fallback(true).build().unwrap();
    let multi = MultiConnector::builder()
        .connector("small", first.clone(), small)
        .connector("rest", second.clone(), Policy::any())
        .clock(hand.clock())
        .build()
        .unwrap();
    let batch = objects(&["a", "long one", "b"]);
    let put = || multi.put_batch(&batch, &PutOptions::new());
    let names = || put().unwrap().iter().map(|key| key.connector_name.to_string()).collect::<Vec<_>>();
    break_down(&first, ErrorKind::Unavailable);
    (0..3).for_each(|_| assert_eq!(names(), ["rest"; 3]));
    assert_eq!((first.calls(Operation::PutBatch), second.calls(Operation::PutBatch)), (3, 6));
    assert_eq!(names(), ["rest"; 3]);
    assert_eq!((first.calls(Operation::PutBatch), second.calls(Operation::PutBatch)), (3, 7), "one call for all");

    // A whole share is one probe.
    hand.advance(10);
    assert_eq!(names(), ["rest"; 3]);
    assert_eq!(first.calls(Operation::PutBatch), 4);
    assert_eq!(names(), ["rest"; 3]);
    assert_eq!(first.calls(Operation::PutBatch), 4);

    // A batch that has no other way comes back to it.
    second.inject(Operation::PutBatch, Effect::Fail(ErrorKind::Full));
    let short = objects(&["a", "b"]);
    assert_eq!(multi.put_batch(&short, &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
    first.heal();
    let keys = multi.put_batch(&short, &PutOptions::new()).unwrap();
    assert!(keys.iter().all(|key| &*key.connector_name == "small"));
    let found = multi.get_batch(&keys, &GetOptions::default()).unwrap();
    assert_eq!(found, short.into_iter().map(Some).collect::<Vec<_>>());
    assert_eq!(multi.health()[0].1.state, HealthState::Closed);
}

#[test]
fn a_share_that_probes_goes_there_whole() {
    let (first, _, multi, hand) = open(falls_back());
    first.heal();
    hand.advance(10);
    let keys = multi.put_batch(&objects(&["a", "b", "c"]), &PutOptions::new()).unwrap();
    assert!(keys.iter().all(|key| &*key.connector_name == "first"), "{keys:?}");
    assert_eq!((first.calls(Operation::PutBatch), state(&multi, 0)), (1, HealthState::Closed));
}

#[test]
fn a_batch_without_a_route_is_no_probe() {
    let (only, hand) = (faulty(), Hand::default());
    let small = touchy().max_size_bytes(3).build().unwrap();
    let builder = MultiConnector::builder().connector("small", only.clone(), small).clock(hand.clock());
    let multi = builder.build().unwrap();
    break_down(&only, ErrorKind::Unavailable);
    (0..3).for_each(|_| drop(multi.put("a", &PutOptions::new())));
    only.heal();
    hand.advance(10);
    let error = multi.put_batch(&objects(&["a", "too long"]), &PutOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRoute);
    multi.put("a", &PutOptions::new()).unwrap();
}

#[test]
fn a_batch_that_is_refused_says_that_nothing_was_written() {
    let (only, second, hand) = (faulty(), faulty(), Hand::default());
    let small = touchy().max_size_bytes(3).priority(1).build().unwrap();
    let multi = MultiConnector::builder()
        .connector("small", only.clone(), small)
        .connector("rest", second.clone(), Policy::any())
        .clock(hand.clock())
        .build()
        .unwrap();
    break_down(&only, ErrorKind::Unavailable);
    (0..3).for_each(|_| drop(multi.put("a", &PutOptions::new())));
    let error = multi.put_batch(&objects(&["long one", "a"]), &PutOptions::new()).unwrap_err();
    assert_eq!((error.kind(), error.connector()), (ErrorKind::Unavailable, Some("small")));
    assert!(error.message().contains("object 1 of 2, nothing was written"), "{error}");
    assert_eq!(second.calls(Operation::PutBatch), 0);
}

#[test]
fn a_key_without_its_object_neither_opens_nor_closes_for_puts() {
    let (first, _, multi, hand) = open(falls_back());
    first.heal();
    hand.advance(10);
    // Making a key may not touch the backend at all, so that it is no probe.
    assert_eq!(&*multi.new_key(&KeyHint::new().size(1)).unwrap().connector_name, "second");
    assert_eq!(state(&multi, 0), HealthState::HalfOpen);
    assert_eq!(lands_in(&multi), "first");
    assert_eq!(&*multi.new_key(&KeyHint::new().size(1)).unwrap().connector_name, "first");

    // Keys that cannot be made count, and are tried again.
    break_down(&first, ErrorKind::Unavailable);
    (0..4).for_each(|_| drop(multi.new_key(&KeyHint::new().size(1)).unwrap()));
    assert_eq!((state(&multi, 0), first.calls(Operation::NewKey)), (HealthState::Open, 4));
    first.heal();
    hand.advance(10);
    assert_eq!(&*multi.new_key(&KeyHint::new().size(1)).unwrap().connector_name, "first");
    assert_eq!(state(&multi, 0), HealthState::Closed);
}

#[test]
fn a_key_of_unknown_size_falls_back_to_a_connector_for_some_sizes() {
    let connectors = [faulty(), faulty()];
    let multi = MultiConnector::builder()
        .connector("small", connectors[0].clone(), Policy::builder().max_size_bytes(5).priority(2).build().unwrap())
        .connector("all", connectors[1].clone(), falls_back())
        .build()
        .unwrap();
    assert_eq!(&*multi.new_key(&KeyHint::new()).unwrap().connector_name, "all");
    break_down(&connectors[1], ErrorKind::Unavailable);
    for _ in 0..5 {
        assert_eq!(&*multi.new_key(&KeyHint::new()).unwrap().connector_name, "small");
    }
    assert_eq!(connectors[1].calls(Operation::NewKey), 4, "one before it broke down, then three");
}

#[test]
fn a_nested_multi_connector_judges_its_own() {
    let (inner_first, inner_second) = (faulty(), faulty());
    let inner = MultiConnector::builder()
        .connector("a", inner_first.clone(), touchy().max_size_bytes(3).priority(1).build().unwrap())
        .connector("b", inner_second.clone(), Policy::any())
        .build()
        .unwrap();
    let outer = MultiConnector::builder().connector("nested", inner, touchy().build().unwrap()).build().unwrap();
    break_down(&inner_first, ErrorKind::Unavailable);
    for _ in 0..9 {
        let error = outer.put("abc", &PutOptions::new()).unwrap_err();
        assert_eq!(error.connector(), Some("nested/a"));
    }
    assert_eq!(inner_first.calls(Operation::Put), 3);
    assert_eq!((state(&outer, 0), outer.health()[0].1.failures), (HealthState::Closed, 0));
    assert!(outer.put("the other works", &PutOptions::new()).unwrap().to_string().starts_with("nested/b/"));
}

#[test]
fn a_nested_multi_connector_in_which_everything_fails_is_skipped_where_another_takes_over() {
    let inner_connectors = [faulty(), faulty()];
    let mut inner = MultiConnector::builder();
    for (connector, name) in inner_connectors.iter().zip(["a", "b"]) {
        inner = inner.connector(name, connector.clone(), falls_back());
        break_down(connector, ErrorKind::Timeout);
    }
    let hand = Hand::default();
    let outer = MultiConnector::builder()
        .connector("nested", inner.build().unwrap(), falls_back())
        .connector("second", LocalConnector::new(), Policy::any())
        .clock(hand.clock())
        .build()
        .unwrap();
    (0..9).for_each(|_| assert_eq!(lands_in(&outer), "second"));
    // As each of them would be, were it not nested: puts do not wait for all of them again and again.
    assert_eq!(inner_connectors.each_ref().map(|connector| connector.calls(Operation::Put)), [3, 3]);
    assert_eq!(state(&outer, 0), HealthState::Open);
    inner_connectors.iter().for_each(|connector| connector.heal());
    hand.advance(10);
    assert_eq!([lands_in(&outer), lands_in(&outer)], ["nested", "nested"]);
}

#[test]
fn a_set_that_fails_counts_as_a_put() {
    let (first, second, multi, hand) = two(falls_back());
    let future = || multi.new_key(&KeyHint::new().size(6)).unwrap();
    let set = |key: &MultiKey| multi.set(key, "object", &PutOptions::new());
    first.inject(Operation::Set, Effect::Fail(ErrorKind::Unavailable));
    for _ in 0..3 {
        let key = future();
        assert_eq!(&*key.connector_name, "first", "naming an object proves nothing");
        let error = set(&key).unwrap_err();
        assert_eq!((error.connector(), error.operation()), (Some("first"), Some("set")));
    }
    assert_eq!((state(&multi, 0), multi.health()[0].1.failures), (HealthState::Open, 3));
    let key = future();
    assert_eq!(&*key.connector_name, "second", "a key that could not be set");
    set(&key).unwrap();
    assert_eq!((lands_in(&multi).as_str(), second.calls(Operation::Put)), ("second", 1));

    // Who only makes keys and sets them finds out, too, that it works again.
    hand.advance(10);
    let (probe, next) = (future(), future());
    assert_eq!([&*probe.connector_name, &*next.connector_name], ["first", "second"], "one at a time");
    set(&probe).unwrap_err();
    assert_eq!(state(&multi, 0), HealthState::Open);
    first.heal();
    hand.advance(10);
    set(&future()).unwrap();
    assert_eq!((state(&multi, 0), &*future().connector_name), (HealthState::Closed, "first"));
}

#[test]
fn a_batch_that_is_refused_leaves_the_probe_to_the_next_put() {
    let (first, second, hand) = (faulty(), faulty(), Hand::default());
    let small = touchy().max_size_bytes(3).priority(1).build().unwrap();
    let multi = MultiConnector::builder()
        .connector("small", first.clone(), small)
        .connector("rest", second.clone(), touchy().build().unwrap())
        .clock(hand.clock())
        .build()
        .unwrap();
    break_down(&first, ErrorKind::Unavailable);
    break_down(&second, ErrorKind::Unavailable);
    (0..3).for_each(|_| drop(multi.put("a", &PutOptions::new())));
    hand.advance(5);
    (0..3).for_each(|_| drop(multi.put("long one", &PutOptions::new())));
    first.heal();
    hand.advance(5);
    let error = multi.put_batch(&objects(&["a", "long one"]), &PutOptions::new()).unwrap_err();
    assert_eq!((error.connector(), first.calls(Operation::PutBatch)), (Some("rest"), 0));
    assert_eq!(multi.health()[0].1.retry_in, Some(Duration::ZERO), "nobody is trying it");
    multi.put("a", &PutOptions::new()).unwrap();
}

#[test]
fn a_connector_that_cannot_be_opened_is_skipped_too() {
    let blocked = tempfile::NamedTempFile::new().unwrap();
    let broken = crossdock::connectors::FileOptions::new(blocked.path().join("below"));
    let multi = MultiConnector::builder()
        .lazy("broken", Arc::new(broken), falls_back())
        .connector("works", LocalConnector::new(), Policy::any())
        .build()
        .unwrap();
    (0..4).for_each(|_| assert_eq!(lands_in(&multi), "works"));
    let (name, health) = &multi.health()[0];
    assert_eq!((&**name, health.state, health.failures), ("broken", HealthState::Open, 3));
    assert!(health.last_error.as_ref().is_some_and(|error| error.contains("below")), "{health:?}");
}

#[test]
fn what_is_skipped_shows() {
    let (_, _, multi, hand) = open(falls_back());
    hand.advance(3);
    let explain = || multi.explain(Some(6), &PutOptions::new());
    let explanation = explain();
    assert_eq!(explanation.route.as_deref(), Some("second"), "where it would really go");
    assert!(explanation.verdicts[0].accepts);
    assert_eq!(
        explanation.to_string(),
        "first: accepts, but is being skipped: it failed 3 times in a row (last: an injected fault); tried again in 7 s; \
         second: accepts"
    );
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        json["verdicts"][0]["skipped"],
        serde_json::json!({"failures": 3, "last_error": "an injected fault", "retry_in_seconds": 7.0})
    );
    assert!(json["verdicts"][1].get("skipped").is_none());

    let health = multi.health();
    let first = &health[0].1;
    assert_eq!((first.state.as_str(), first.failures, first.retry_in), ("open", 3, Some(Duration::from_secs(7))));
    assert_eq!(first.last_error.as_deref(), Some("an injected fault"));
    assert_eq!((&*health[1].0, health[1].1.state.as_str(), health[1].1.retry_in), ("second", "closed", None));

    hand.advance(7);
    assert_eq!((explain().route.as_deref(), explain().verdicts[0].skipped.clone()), (Some("first"), None), "the probe");
}

#[test]
fn the_route_is_where_a_put_would_go() {
    for policies in [[true, true], [true, false], [false, true], [false, false]] {
        for broken in [[true, true], [true, false], [false, true], [false, false]] {
            let connectors = [faulty(), faulty()];
            let mut builder = MultiConnector::builder().clock(Hand::default().clock());
            for (place, connector) in connectors.iter().enumerate() {
                let policy = touchy().fallback(policies[place]).build().unwrap();
                builder = builder.connector(["one", "two"][place], connector.clone(), policy);
            }
            let multi = builder.build().unwrap();
            for _ in 0..6 {
                for (connector, broken) in connectors.iter().zip(broken) {
                    if broken {
                        break_down(connector, ErrorKind::Unavailable);
                    }
                }
                drop(put(&multi));
            }
            connectors.iter().for_each(|connector| connector.heal());
            let said = multi.explain(Some(6), &PutOptions::new()).route.map(|name| name.to_string());
            let done = put(&multi).ok().map(|key| key.connector_name.to_string());
            assert_eq!(said, done, "fallback {policies:?}, broken {broken:?}");
        }
    }
}

/// Puts of many threads against a connector that can be told to hold them.
#[test]
fn of_many_threads_exactly_one_probes() {
    const THREADS: usize = 16;
    let hand = Hand::default();
    let lanes = vec![Lane::new("first", falls_back()), Lane::new("second", Policy::any())];
    let dispatcher = Dispatcher::new(lanes, Hostname::System).unwrap().clock(hand.clock());
    let no = || Error::new(ErrorKind::Unavailable, "no");
    for _ in 0..3 {
        dispatcher.put(&Request::new(), |place, _| Some(if place == 0 { Err(no()) } else { Ok(()) })).unwrap();
    }
    for round in 0..50 {
        hand.advance(10);
        let (probes, passed, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(THREADS));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    let attempt = |place: usize, _| {
                        if place == 0 {
                            probes.fetch_add(1, Ordering::SeqCst);
                            // The probe is on its way until all others have gone past.
                            wait_until(|| passed.load(Ordering::SeqCst) == THREADS - 1);
                            return Some(Err(no()));
                        }
                        Some(Ok(()))
                    };
                    dispatcher.put(&Request::new(), attempt).unwrap();
                    passed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(probes.load(Ordering::SeqCst), 1, "round {round}");
        assert_eq!(dispatcher.health().next().unwrap().state, HealthState::Open);
    }
}

#[test]
fn a_probe_that_panics_is_followed_by_another() {
    let (hand, dies) = (Hand::default(), AtomicBool::new(true));
    let lanes = vec![Lane::new("first", falls_back()), Lane::new("second", Policy::any())];
    let dispatcher = Dispatcher::new(lanes, Hostname::System).unwrap().clock(hand.clock());
    let no = || Error::new(ErrorKind::Unavailable, "no");
    for _ in 0..3 {
        dispatcher.put(&Request::new(), |place, _| Some(if place == 0 { Err(no()) } else { Ok(()) })).unwrap();
    }
    let attempt = |place, _| {
        assert!(place != 0 || !dies.load(Ordering::SeqCst), "in the middle of the probe");
        Some(Ok(()))
    };
    let put = || dispatcher.put(&Request::new(), attempt).map(|(place, ())| place);
    hand.advance(10);
    let died = thread::scope(|scope| scope.spawn(put).join().is_err());
    assert!(died);
    dies.store(false, Ordering::SeqCst);
    assert_eq!(put().unwrap(), 1);
    hand.advance(10);
    assert_eq!(put().unwrap(), 0);
    assert_eq!(dispatcher.health().next().unwrap().state, HealthState::Closed);
}

#[test]
fn many_threads_lose_nothing_while_a_connector_comes_and_goes() {
    let (first, second) = (faulty(), faulty());
    let policy = Policy::builder().max_failures(2).cooldown(Duration::ZERO).fallback(true).build().unwrap();
    let multi = MultiConnector::builder()
        .connector("first", first.clone(), policy.clone())
        .connector("second", second, policy)
        .build()
        .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let putters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let key = put(&multi).expect("one of the two works");
                        assert!(multi.exists(&key).unwrap());
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                break_down(&first, ErrorKind::Unavailable);
                thread::yield_now();
                first.heal();
            }
        });
        let outcomes: Vec<_> = putters.into_iter().map(ScopedJoinHandle::join).collect();
        done.store(true, Ordering::SeqCst);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    });
    (0..2).for_each(|_| drop(put(&multi).unwrap()));
    assert_eq!(state(&multi, 0), HealthState::Closed);
}

#[test]
fn the_clock_of_the_system_goes() {
    let (first, second) = (faulty(), faulty());
    let policy = Policy::builder().max_failures(1).cooldown(Duration::from_millis(20)).fallback(true).build().unwrap();
    let multi = MultiConnector::builder()
        .connector("first", first.clone(), policy)
        .connector("second", second, Policy::any())
        .build()
        .unwrap();
    break_down(&first, ErrorKind::Unavailable);
    assert_eq!(lands_in(&multi), "second");
    first.heal();
    wait_until(|| lands_in(&multi) == "first");
}

#[test]
fn policies_say_it_only_where_it_is_unusual() {
    let usual = Policy::any();
    assert_eq!((usual.max_failures(), usual.cooldown()), (5, Duration::from_secs(10)));
    assert!(["max_failures", "cooldown"].iter().all(|field| usual.to_table().get(field).is_none()));
    let policy = Policy::builder().max_failures(0).cooldown(Duration::from_millis(1500)).build().unwrap();
    let table = policy.to_table();
    assert_eq!(Policy::from_table(&table, "policy").unwrap(), policy);
    assert_eq!(table.get("max_failures").unwrap().value, 0_i64.into());
    assert_eq!(table.get("cooldown").unwrap().value, Duration::from_millis(1500).into());
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came");
        thread::yield_now();
    }
}
