//! Threads that put into one connector at the same time.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::connectors::{FileConnector, ShmConnector, ShmOptions};
use crossdock::{Connector, Key, PutOptions};
use crossdock_bench::{Contestant, Outcome, Row, Unit, take_turns};

use crate::bench::{BARE, Bench, Held, OURS, file_options, object_of};

const NAME: &str = "Threads";
/// In bytes.
const SIZE: u64 = 1_000_000;
/// Of one turn, by all threads together.
const OBJECTS: usize = 64;
const THREADS: [usize; 3] = [1, 2, 4];
/// Part of the processors by which rates should grow: all of them write to the same memory.
const PART: f64 = 0.75;

pub(crate) fn measure(bench: &mut Bench, place: &Path) -> Outcome {
    let dir = tempfile::Builder::new().prefix("crossdock-bench-").tempdir_in(place)?;
    let files = FileConnector::open(&file_options(&dir.path().join("files")))?;
    let kept = 2 * OBJECTS as u64 * SIZE;
    let shm = ShmConnector::open(&ShmOptions::in_dir(dir.path().join("shm")).recycle_bytes(kept).clear(true))?;
    let bare = dir.path().join("bare");
    fs::create_dir(&bare)?;
    compare(bench, "files on tmpfs", &files, &bare)?;
    compare(bench, "shared memory", &shm, &bare)
}

fn compare(bench: &mut Bench, what: &str, ours: &dyn Connector, bare: &Path) -> Outcome {
    let object = object_of(SIZE);
    let mut contestants = Vec::new();
    for threads in THREADS {
        let put = || Ok(ours.put(object.clone(), &PutOptions::default())?);
        let evict = |key: Key| Ok(ours.evict(&key)?);
        contestants.push(Contestant::new(OURS, "put", move |_| together(threads, put, evict)).at_most(1));
    }
    for threads in THREADS {
        let (put, evict) = (|| written(bare, &object), |path| Ok(fs::remove_file(path)?));
        contestants.push(Contestant::new(BARE, "put", move |_| together(threads, put, evict)).at_most(1));
    }
    let times = take_turns(&mut contestants, &bench.plan.budget)?;
    let rates: Vec<Vec<f64>> = times.iter().map(|times| times.iter().map(|time| rate(*time)).collect()).collect();
    let (ours, bare) = rates.split_at(THREADS.len());
    let cores = bench.report.machine().cores;
    for ((threads, ours_here), bare_here) in THREADS.iter().zip(ours).zip(bare) {
        let (one, bare_one) = (&ours[0], &bare[0]);
        let put = format!(
            "put, 1 MB, {what}: {}",
            if *threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
        );
        if *threads > 1 {
            let target = (*threads == 4 && cores > 1).then(|| PART * cores.min(4) as f64);
            bench.report.rows.push(Row::of_rates(NAME, put.clone(), "1 thread", one, ours_here, target));
            // As much as this machine lets anybody gain.
            let (their_gain, our_gain) = (gains(bare_here, bare_one), gains(ours_here, one));
            let row =
                Row::of_rates(NAME, format!("{put}, over 1"), "the same of fs::write", &their_gain, &our_gain, None);
            bench.report.rows.push(Row { unit: Unit::Ratio, ..row });
        }
        bench.report.rows.push(Row::of_rates(NAME, put, "fs::write", bare_here, ours_here, None));
    }
    Ok(())
}

/// By how many times the rate grew, round by round.
fn gains(rates: &[f64], of_one: &[f64]) -> Vec<f64> {
    rates.iter().zip(of_one).map(|(rate, one)| rate / one).collect()
}

fn written(dir: &Path, object: &Bytes) -> Outcome<std::path::PathBuf> {
    let path = dir.join(Held::new_name());
    fs::write(&path, object)?;
    Ok(path)
}

/// Megabytes a second.
fn rate(seconds: f64) -> f64 {
    OBJECTS as f64 * SIZE as f64 / seconds / 1e6
}

/// How long the threads took from the start of the first to the end of the last.
fn together<K: Send>(
    threads: usize,
    put: impl Fn() -> Outcome<K> + Sync,
    evict: impl Fn(K) -> Outcome,
) -> Outcome<Duration> {
    // Errors of threads travel as text.
    let share = || (0..OBJECTS / threads).map(|_| put().map_err(|why| why.to_string())).collect::<Vec<_>>();
    let begin = Instant::now();
    let made = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        running.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let took = begin.elapsed();
    for made in made {
        made.map_err(|_| "a thread panicked")?.into_iter().try_for_each(|made| evict(made?))?;
    }
    Ok(took)
}
