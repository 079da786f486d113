//! Long calls can be given up: what was written is undone, and the connector works on.

use std::cell::Cell;
use std::fs;

use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{
    Bytes, CloseOptions, Connector, ConnectorExt, Deferrable, ErrorKind, GcOptions, GetOptions, KeyHint, PutOptions,
    interrupt,
};
use tempfile::TempDir;

thread_local! {
    /// How often the caller says "go on" before he has had enough.
    static PATIENCE: Cell<u32> = const { Cell::new(0) };
}

fn has_had_enough() -> bool {
    let left = PATIENCE.get();
    PATIENCE.set(left.saturating_sub(1));
    left == 0
}

/// Does `work`, and gives it up when it has asked `patience` times.
fn within<T>(patience: u32, work: impl FnOnce() -> T) -> T {
    PATIENCE.set(patience);
    interrupt::scope(has_had_enough, work)
}

fn files() -> (TempDir, FileConnector) {
    let dir = tempfile::tempdir().unwrap();
    let files = FileConnector::open(&FileOptions::new(dir.path()).clear(true)).unwrap();
    (dir, files)
}

fn count(dir: &TempDir) -> usize {
    fs::read_dir(dir.path()).unwrap().count()
}

/// A few parts, so that there is something in between.
fn large() -> Bytes {
    vec![7; 30 << 20].into()
}

#[test]
fn a_put_leaves_nothing() {
    let (dir, files) = files();
    for (object, patience) in [(large(), 0), (large(), 1), (large(), 3), ("small".into(), 0)] {
        let error = within(patience, || files.put_bytes(object.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(!error.kind().allows_fallback() && !error.is_retryable());
        assert_eq!(count(&dir), 0);
    }
    let key = files.new_key(&KeyHint::new()).unwrap();
    let error = within(2, || files.set(&key, large(), &PutOptions::new())).unwrap_err();
    assert_eq!((error.kind(), count(&dir)), (ErrorKind::Interrupted, 0));
    files.set(&key, large(), &PutOptions::new()).unwrap();
}

#[test]
fn a_batch_is_undone() {
    let (dir, files) = files();
    let objects: Vec<Bytes> = (0..100).map(|n| Bytes::from(format!("object {n}"))).collect();
    for patience in [0, 1, 50, 150] {
        let error = within(patience, || files.put_batch(&objects, &PutOptions::new())).unwrap_err();
        assert_eq!((error.kind(), error.keys()), (ErrorKind::Interrupted, &[][..]));
        assert_eq!(count(&dir), 0, "after {patience}");
    }
    let keys = files.put_batch(&objects, &PutOptions::new()).unwrap();
    let error = within(30, || files.get_batch(&keys, &GetOptions::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(files.get_batch(&keys, &GetOptions::default()).unwrap().len(), 100);
}

#[test]
fn reading_and_cleaning_end_too() {
    let (dir, files) = files();
    let key = files.put_bytes(large()).unwrap();
    let interrupted = Err(ErrorKind::Interrupted);
    assert_eq!(within(1, || files.get_bytes(&key)).map_err(|error| error.kind()), interrupted);
    let into = || files.get_into(&key, &GetOptions::default(), |size| Ok(Box::new_uninit_slice(size)));
    assert_eq!(within(2, into).map(drop).map_err(|error| error.kind()), interrupted.clone().map(drop));
    assert_eq!(files.get_bytes(&key).unwrap(), Some(large()));

    files.put_bytes("another").unwrap();
    assert_eq!(
        within(1, || files.gc(&GcOptions::default())).map_err(|error| error.kind()).unwrap_err(),
        ErrorKind::Interrupted
    );
    let closed = within(1, || files.close(&CloseOptions::default()));
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(count(&dir) > 0);
}

#[test]
fn nobody_asks_outside_of_the_scope() {
    let (_dir, files) = files();
    within(0, || ());
    let key = files.put_bytes(large()).unwrap();
    assert!(files.exists(&key).unwrap());
}
