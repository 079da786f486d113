//! What a bound on a directory adds to a put and an evict of files, on tmpfs and on the disk; what counting anew costs.

use std::cell::RefCell;
use std::path::Path;

use bytes::Bytes;
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{CloseOptions, Connector, ConnectorExt, Key, PutOptions, Result};
use crossdock_bench::{Contestant, spread, take_turns};

const ROUNDS: usize = 200;
const CALLS: u32 = 50;
/// So many objects are counted anew.
const MANY: usize = 20_000;

fn main() -> Result<()> {
    println!("medians of {ROUNDS} rounds in turn, in µs a call: without a bound, with one, and their ratio");
    for (kind, place) in [("tmpfs", Path::new("/dev/shm")), ("disk", Path::new(env!("CARGO_TARGET_TMPDIR")))] {
        for size in [10, 100_000] {
            compare(kind, place, size)?;
        }
        recount(kind, place)?;
    }
    Ok(())
}

/// A directory of its own, which is removed at the end.
fn open(place: &Path, name: &str, bound: Option<u64>) -> Result<FileConnector> {
    let options = FileOptions::new(place.join(format!("crossdock-bench-quota-{}-{name}", std::process::id())));
    let options = options.clear(true);
    FileConnector::open(&match bound {
        Some(bytes) => options.max_total_bytes(bytes),
        None => options,
    })
}

fn compare(kind: &str, place: &Path, size: usize) -> Result<()> {
    let files = [open(place, "without", None)?, open(place, "with", Some(1 << 40))?];
    let object = Bytes::from(vec![7; size]);
    let keys: [RefCell<Vec<Key>>; 2] = Default::default();
    let put = |n: usize| keys[n].borrow_mut().extend(files[n].put_bytes(object.clone()));
    let evict = |n: usize| assert!(keys[n].borrow_mut().pop().is_some_and(|key| files[n].evict(&key).is_ok()));
    let mut contestants: [Contestant<'_>; 4] =
        [Box::new(|| put(0)), Box::new(|| put(1)), Box::new(|| evict(0)), Box::new(|| evict(1))];
    let times = take_turns(&mut contestants, ROUNDS, CALLS);
    let median = |n: usize| times.get(n).map_or(f64::NAN, |times| spread(times)[1]) / 1_000.0;
    for (call, without, with) in [("put", median(0), median(1)), ("evict", median(2), median(3))] {
        println!("{kind:5} {size:>7} bytes {call:5}  {without:6.1}  {with:6.1}  {:.2}", with / without);
    }
    drop(contestants);
    files.iter().try_for_each(|files| files.close(&CloseOptions::default()))
}

/// A put that is refused in a directory that has changed looks at every object.
fn recount(kind: &str, place: &Path) -> Result<()> {
    let name = "many";
    let plain = open(place, name, None)?;
    plain.put_batch(&vec![Bytes::from_static(b"object"); MANY], &PutOptions::new())?;
    let bounded = open(place, name, Some(1))?;
    let begin = std::time::Instant::now();
    assert!(bounded.put_bytes("o").is_err());
    let took = begin.elapsed();
    println!("{kind:5} counting {MANY} objects anew: {:.1} ms", took.as_secs_f64() * 1_000.0);
    bounded.close(&CloseOptions::default())
}
