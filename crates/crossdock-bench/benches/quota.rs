//! What a bound on a directory adds to a put and an evict of files, on tmpfs and on the disk; what counting anew costs.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{CloseOptions, Connector, ConnectorExt, Key, PutOptions, Result};
use crossdock_bench::{Budget, Contestant, Outcome, quartiles, take_turns};

const BUDGET: Budget = Budget { whole: Duration::from_secs(5), turn: Duration::from_millis(1), rounds: 200 };
/// Of one turn, so that directories stay small.
const MOST_CALLS: u32 = 50;
/// So many objects are counted anew.
const MANY: usize = 20_000;

fn main() -> Outcome {
    println!(
        "medians of up to {} rounds in turn, in µs a call: without a bound, with one, and their ratio",
        BUDGET.rounds
    );
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

fn compare(kind: &str, place: &Path, size: usize) -> Outcome {
    let files = [open(place, "without", None)?, open(place, "with", Some(1 << 40))?];
    let object = Bytes::from(vec![7; size]);
    let put = |files: &FileConnector| Ok(files.put_bytes(object.clone())?);
    let mut contestants = Vec::new();
    for files in &files {
        contestants
            .push(Contestant::putting("crossdock", || put(files), |key| Ok(files.evict(&key)?)).at_most(MOST_CALLS));
    }
    for files in &files {
        let evict = |calls| {
            let keys = (0..calls).map(|_| put(files)).collect::<Outcome<Vec<Key>>>()?;
            let begin = Instant::now();
            keys.iter().try_for_each(|key| files.evict(key))?;
            Ok(begin.elapsed())
        };
        contestants.push(Contestant::new("crossdock", "evict", evict).at_most(MOST_CALLS));
    }
    let times = take_turns(&mut contestants, &BUDGET)?;
    let median = |n: usize| times.get(n).map_or(f64::NAN, |times| quartiles(times)[1]) * 1e6;
    for (call, without, with) in [("put", median(0), median(1)), ("evict", median(2), median(3))] {
        println!("{kind:5} {size:>7} bytes {call:5}  {without:6.1}  {with:6.1}  {:.2}", with / without);
    }
    drop(contestants);
    Ok(files.iter().try_for_each(|files| files.close(&CloseOptions::default()))?)
}

/// A put that is refused in a directory that has changed looks at every object.
fn recount(kind: &str, place: &Path) -> Outcome {
    let name = "many";
    let plain = open(place, name, None)?;
    plain.put_batch(&vec![Bytes::from_static(b"object"); MANY], &PutOptions::new())?;
    let bounded = open(place, name, Some(1))?;
    let begin = Instant::now();
    assert!(bounded.put_bytes("o").is_err());
    let took = begin.elapsed();
    println!("{kind:5} counting {MANY} objects anew: {:.1} ms", took.as_secs_f64() * 1_000.0);
    Ok(bounded.close(&CloseOptions::default())?)
}
