//! Servers that are killed, stopped and started again: every call ends in time with the right kind of error, and the
//! connector recovers by itself.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossdock::connectors::LocalOptions;
use crossdock::{
    Bytes, Connector, ConnectorExt, Deferrable, Error, ErrorKind, GcOptions, GetOptions, KeyHint, MultiConnector,
    Policy, PutOptions, interrupt,
};
use crossdock_servers::S3;
use libtest_mimic::Trial;

use crate::common::{Outcome, count, hurried, kind_of, open, options, pattern, start};

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("a_killed_server_is_unavailable_and_comes_back", a_killed_server_is_unavailable_and_comes_back),
        ("a_restarted_server_is_not_noticed", a_restarted_server_is_not_noticed),
        ("killed_in_the_middle_of_an_upload", killed_in_the_middle_of_an_upload),
        ("killed_in_the_middle_of_a_batch", killed_in_the_middle_of_a_batch),
        ("killed_in_the_middle_of_a_get", killed_in_the_middle_of_a_get),
        ("a_stopped_server_ends_with_the_deadline", a_stopped_server_ends_with_the_deadline),
        ("a_stopped_server_can_be_interrupted", a_stopped_server_can_be_interrupted),
        ("an_interrupted_put_leaves_nothing", an_interrupted_put_leaves_nothing),
        ("an_interrupted_upload_is_aborted", an_interrupted_upload_is_aborted),
        ("an_interrupted_batch_is_undone", an_interrupted_batch_is_undone),
        ("with_fallback_the_put_goes_elsewhere", with_fallback_the_put_goes_elsewhere),
    ])
}

fn a_killed_server_is_unavailable_and_comes_back() -> Outcome {
    let server = start();
    let store = open(&hurried(&server));
    let key = store.put_bytes("object")?;
    let deferred = store.new_key(&KeyHint::new())?;
    server.kill()?;
    let refused = store.put_bytes("other").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "nothing was sent: {refused}");
    assert!(refused.keys().is_empty() && refused.is_retryable());
    let sentence = refused.to_string();
    assert!(sentence.contains(&server.endpoint()) && sentence.contains("4 attempts in"), "{sentence}");
    assert_eq!(kind_of(store.put_bytes(vec![7; 20 << 20])), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.set(&deferred, "x".into(), &PutOptions::new())), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.get_bytes(&key)), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.exists(&key)), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.evict(&key)), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.put_batch(&["a".into()], &PutOptions::new())), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.get_batch(std::slice::from_ref(&key), &GetOptions::default())), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.check()), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.gc(&GcOptions::default())), ErrorKind::Unavailable);
    server.restart()?;
    assert_eq!(store.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    store.put_bytes("again")?;
    Ok(())
}

fn a_restarted_server_is_not_noticed() -> Outcome {
    let server = start();
    let store = open(&options(&server));
    store.put_bytes("object")?;
    for _ in 0..3 {
        server.kill()?;
        server.restart()?;
        let key = store.put_bytes("object")?;
        assert_eq!(store.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    }
    Ok(())
}

/// Does `work` in a thread, and `disturb` after a while.
fn disturbed<T: Send>(after: Duration, work: impl FnOnce() -> T + Send, disturb: impl FnOnce()) -> T {
    thread::scope(|scope| {
        let working = scope.spawn(work);
        thread::sleep(after);
        disturb();
        working.join().expect("it ends without a panic")
    })
}

/// What a put may say whose server was killed: that nothing is there, or that this is not known, and then under which key.
fn is_honest(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Timeout => error.keys().is_empty(),
        ErrorKind::Ambiguous => error.keys().len() == 1,
        _ => false,
    }
}

fn killed_in_the_middle_of_an_upload() -> Outcome {
    let object = pattern(1, 60 << 20);
    for round in 0..6 {
        let server = start();
        let store = open(&hurried(&server).multipart_threshold(6 << 20).part_size(5 << 20));
        store.evict(&store.put_bytes("warm")?)?;
        let begun = Instant::now();
        let after = Duration::from_millis(30 + 60 * round);
        let put = disturbed(after, || store.put_bytes(object.clone()), || server.kill().unwrap());
        let took = begun.elapsed();
        server.restart()?;
        match put {
            Ok(key) => assert!(store.get_bytes(&key)?.is_some(), "it was quicker than we"),
            Err(error) => {
                assert!(is_honest(&error), "{error}");
                // 60 MiB have 7.5 seconds more.
                assert!(took < Duration::from_secs(30), "within its deadline: {took:?}");
                assert!(error.kind() == ErrorKind::Ambiguous || count(&server) == 0, "nothing to be seen");
                for key in error.keys() {
                    store.evict(key)?;
                }
            }
        }
        let key = store.put_bytes(object.clone())?;
        assert!(store.get_bytes(&key)? == Some(object.clone()), "it recovers by itself");
    }
    Ok(())
}

fn killed_in_the_middle_of_a_batch() -> Outcome {
    let batch = vec![pattern(1, 100_000); 200];
    for round in 0..6 {
        let server = start();
        let store = open(&hurried(&server));
        store.evict(&store.put_bytes("warm")?)?;
        let after = Duration::from_millis(10 + 30 * round);
        let put = disturbed(after, || store.put_batch(&batch, &PutOptions::new()), || server.kill().unwrap());
        server.restart()?;
        match put {
            Ok(keys) => keys.iter().try_for_each(|key| store.evict(key))?,
            Err(error) => {
                let kinds = [ErrorKind::Unavailable, ErrorKind::Ambiguous, ErrorKind::Timeout];
                assert!(kinds.contains(&error.kind()), "{error}");
                assert!(error.keys().len() >= count(&server), "no object that the error does not list");
                for key in error.keys() {
                    store.evict(key)?;
                }
            }
        }
        assert_eq!(count(&server), 0, "round {round}");
    }
    // A server that comes back in time is not noticed, or everything is undone.
    let server = start();
    let store = open(&options(&server).retries(20).deadline(Duration::from_secs(60)));
    let again = || {
        server.kill().unwrap();
        server.restart().unwrap();
    };
    match disturbed(Duration::from_millis(60), || store.put_batch(&batch, &PutOptions::new()), again) {
        Ok(keys) => {
            assert!(store.get_batch(&keys, &GetOptions::default())?.iter().all(Option::is_some));
            assert_eq!(count(&server), batch.len(), "one copy of each");
        }
        Err(error) => assert_eq!((error.keys(), count(&server)), (&[][..], 0), "{error}"),
    }
    Ok(())
}

fn killed_in_the_middle_of_a_get() -> Outcome {
    let server = start();
    let store = open(&hurried(&server).multipart_threshold(6 << 20).part_size(5 << 20));
    let object = pattern(1, 60 << 20);
    let key = store.put_bytes(object.clone())?;
    for round in 0..6 {
        let after = Duration::from_millis(5 + 20 * round);
        let got = disturbed(after, || store.get_bytes(&key), || server.kill().unwrap());
        match got {
            Ok(found) => assert!(found == Some(object.clone()), "whole, or not at all"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        server.restart()?;
        assert!(store.get_bytes(&key)? == Some(object.clone()));
    }
    Ok(())
}

fn a_stopped_server_ends_with_the_deadline() -> Outcome {
    let server = start();
    let limit = Duration::from_millis(500);
    let options = options(&server).multipart_threshold(6 << 20).part_size(5 << 20).deadline(limit);
    let store = open(&options);
    let key = store.put_bytes("object")?;
    server.stop()?;
    let begun = Instant::now();
    let unknown = store.put_bytes("another").unwrap_err();
    assert_eq!((unknown.kind(), unknown.keys().len()), (ErrorKind::Ambiguous, 1), "the kernel took it: {unknown}");
    let large = store.put_bytes(vec![7; 20 << 20]).unwrap_err();
    assert_eq!((large.kind(), large.keys()), (ErrorKind::Timeout, &[][..]), "no part of it is an object: {large}");
    assert_eq!(kind_of(store.get_bytes(&key)), ErrorKind::Timeout);
    assert_eq!(kind_of(store.exists(&key)), ErrorKind::Timeout);
    assert_eq!(kind_of(store.evict(&key)), ErrorKind::Ambiguous);
    let batch = store.put_batch(&["a".into(), "b".into()], &PutOptions::new()).unwrap_err();
    assert_eq!((batch.kind(), batch.keys().len()), (ErrorKind::Ambiguous, 2), "{batch}");
    // 20 MiB have two and a half seconds more.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    server.cont()?;
    let left = &unknown.keys()[0];
    store.set(left, "another".into(), &PutOptions::new())?;
    assert_eq!(store.get_bytes(left)?.as_deref(), Some(&b"another"[..]));
    for key in unknown.keys().iter().chain(batch.keys()) {
        store.evict(key)?;
    }
    assert_eq!(store.get_bytes(left)?, None);
    Ok(())
}

fn is_done() -> bool {
    true
}

fn a_stopped_server_can_be_interrupted() -> Outcome {
    let server = start();
    let store = open(&options(&server).deadline(Duration::from_secs(3600)));
    let key = store.put_bytes("object")?;
    server.stop()?;
    assert_eq!(kind_of(interrupt::scope(is_done, || store.get_bytes(&key))), ErrorKind::Interrupted);
    assert_eq!(kind_of(interrupt::scope(is_done, || store.put_bytes("other"))), ErrorKind::Interrupted);
    assert_eq!(kind_of(interrupt::scope(is_done, || store.exists(&key))), ErrorKind::Interrupted);
    server.cont()?;
    assert_eq!(store.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    Ok(())
}

/// Does `work`, and interrupts it after so many questions, for each number up to `most`.
fn interrupted_after<T>(most: u32, mut work: impl FnMut(u32) -> crossdock::Result<T>, mut look: impl FnMut(Error)) {
    use std::cell::Cell;
    thread_local! {
        static PATIENCE: Cell<u32> = const { Cell::new(0) };
    }
    fn has_had_enough() -> bool {
        let left = PATIENCE.get();
        PATIENCE.set(left.saturating_sub(1));
        left == 0
    }
    for patience in 0..most {
        PATIENCE.set(patience);
        match interrupt::scope(has_had_enough, || work(patience)) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
                look(error);
            }
        }
    }
}

/// `work` puts so many objects.
fn interrupted_with_nothing_left<T>(server: &S3, most: u32, objects: usize, work: impl Fn() -> crossdock::Result<T>) {
    let before = std::cell::Cell::new(0);
    let mut listed = 0;
    interrupted_after(
        most,
        |_| {
            before.set(count(server));
            work()
        },
        |error| {
            // A server that was too slow may still do what it was asked.
            listed += error.keys().len();
            assert!(count(server) <= before.get() + listed, "nothing is left that no error lists");
        },
    );
    assert!(listed < most as usize * objects / 2, "most is taken back: {listed}");
}

fn an_interrupted_put_leaves_nothing() -> Outcome {
    let server = start();
    let store = open(&options(&server));
    store.put_bytes("warm")?;
    for object in [Bytes::from("object"), pattern(1, 3 << 20)] {
        interrupted_with_nothing_left(&server, 40, 1, || store.put_bytes(object.clone()));
    }
    Ok(())
}

fn an_interrupted_upload_is_aborted() -> Outcome {
    let server = start();
    let store = open(&options(&server).multipart_threshold(6 << 20).part_size(5 << 20));
    store.put_bytes("warm")?;
    let object = pattern(1, 22 << 20);
    interrupted_with_nothing_left(&server, 60, 1, || store.put_bytes(object.clone()));
    // A part that was on its way when its upload was aborted may come after: S3 says so itself.
    let key = store.put_bytes(object.clone())?;
    assert!(store.get_bytes(&key)? == Some(object.clone()));
    let deferred = store.new_key(&KeyHint::new())?;
    interrupted_with_nothing_left(&server, 20, 1, || store.set(&deferred, object.clone(), &PutOptions::new()));
    store.set(&deferred, object.clone(), &PutOptions::new())?;
    let read = |_| store.get_bytes(&key).map(|found| assert!(found == Some(object.clone())));
    interrupted_after(20, read, |_| {});
    Ok(())
}

fn an_interrupted_batch_is_undone() -> Outcome {
    let server = start();
    let store = open(&options(&server));
    store.put_bytes("warm")?;
    let batch: Vec<Bytes> = (0..50).map(|n| pattern(n, 10_000)).collect();
    interrupted_with_nothing_left(&server, 60, batch.len(), || store.put_batch(&batch, &PutOptions::new()));
    Ok(())
}

fn with_fallback_the_put_goes_elsewhere() -> Outcome {
    let server = start();
    let multi = MultiConnector::builder()
        .lazy("bucket", Arc::new(hurried(&server)), Policy::builder().fallback(true).build()?)
        .lazy("memory", Arc::new(LocalOptions::default()), Policy::any())
        .build()?;
    let lands_in = || multi.put("object", &PutOptions::new()).map(|key| key.connector_name.to_string());
    for _ in 0..20 {
        assert_eq!(lands_in()?, "bucket");
        server.kill()?;
        // On a connection whose end nobody has noticed, it would not be known whether something was written.
        assert_eq!(lands_in()?, "memory");
        let batch = multi.put_batch(&["a".into(), "b".into()], &PutOptions::new())?;
        assert!(batch.iter().all(|key| &*key.connector_name == "memory"));
        server.restart()?;
    }
    Ok(())
}
