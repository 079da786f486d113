//! Calls from inside of somebody else's runtime, and from many threads.

use std::thread;

use crossdock::{Connector, ConnectorExt, PutOptions};
use libtest_mimic::Trial;

use crate::common::{Outcome, SHARED, open, options, pattern};

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("inside_of_a_runtime_of_many_threads", inside_of_a_runtime_of_many_threads),
        ("inside_of_a_runtime_of_one_thread", inside_of_a_runtime_of_one_thread),
        ("many_threads_and_one_connector", many_threads_and_one_connector),
    ])
}

/// Enough requests that a task of the runtime would have been told to yield.
fn work() -> Outcome {
    let store = open(&options(&SHARED).multipart_threshold(6 << 20).part_size(5 << 20));
    let object = pattern(1, 11 << 20);
    let key = store.put_bytes(object.clone())?;
    assert!(store.get_bytes(&key)? == Some(object));
    let objects: Vec<_> = (0..100).map(|n| pattern(n, n * 10)).collect();
    let keys = store.put_batch(&objects, &PutOptions::new())?;
    for (key, object) in keys.iter().zip(&objects) {
        assert_eq!(store.get_bytes(key)?.as_ref(), Some(object));
        store.evict(key)?;
    }
    // Dropped here, inside.
    drop(store);
    Ok(())
}

fn inside_of_a_runtime_of_many_threads() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(async {
        work()?;
        tokio::spawn(async { work() }).await?
    })
}

fn inside_of_a_runtime_of_one_thread() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async { work() })
}

fn many_threads_and_one_connector() -> Outcome {
    let store = open(&options(&SHARED));
    let work = |thread: usize| {
        (0..20).all(|round| {
            let object = pattern(thread * 100 + round, thread * 1000 + round);
            let key = store.put_bytes(object.clone());
            key.is_ok_and(|key| store.get_bytes(&key).is_ok_and(|found| found == Some(object)))
        })
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|n| scope.spawn(move || work(n))).collect();
        assert!(threads.into_iter().all(|thread| thread.join().is_ok_and(|done| done)));
    });
    Ok(())
}
