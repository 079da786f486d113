//! The connector that policies prefer is killed in the middle of batches, or down before them.
//!
//! With `fallback`, a put goes on where nothing was written, or waits for the server where something may have been; it
//! fails only where neither is possible, and then tells the keys. Without, the error says what happened. Once the server is
//! back, it has nothing that nobody was told of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::connectors::{FileOptions, RedisConnector};
use crossdock::{Error, GetOptions, Key, MultiConnector, MultiKey, ObjectKey, Policy, PutOptions};
use crossdock_servers::{Aof, Redis};

use super::{AT_FAULT, LIMIT, Servers, eventually, id, names, options};
use crate::hazards::{Hazard, Need};
use crate::object;
use crate::rng::Rng;
use crate::run::{Outcome, Run};
use crate::survey::survey;

pub(crate) const HAZARD: Hazard = Hazard {
    name: "redis-fallback",
    looked_for: "failed puts, unclear errors, orphans",
    small: 16,
    full: 1_000,
    needs: &[Need::Redis],
    run,
};

/// Passes while the server is down.
const SHORT: Duration = Duration::from_millis(250);
/// Larger objects go to files from the start, in bytes.
const LARGEST: u64 = 60_000;

/// How a round goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Killed in the middle, and back at once; there is time.
    Back,
    /// Killed in the middle, and not back before the deadline.
    Away,
    /// The same without `fallback`.
    AwayForGood,
    /// Down before it begins.
    Down,
}

/// How puts ended.
#[derive(Default)]
struct Tally {
    to_redis: u64,
    to_files: u64,
    /// Failed as the contract wants it: an outcome that is not known goes nowhere else.
    told: u64,
    refused: u64,
    /// Kills before the end of the batch.
    in_the_middle: u64,
}

struct Bench {
    server: Redis,
    files: std::path::PathBuf,
    /// What a batch takes when nothing happens.
    usual: Duration,
}

fn run(run: &mut Run) -> Outcome {
    // What it has acknowledged it has again, evictions, too.
    let server = Redis::start(&Servers::new().aof(Aof::Always))?;
    let mut bench = Bench { server, files: run.path("files"), usual: Duration::ZERO };
    let mut tally = Tally::default();
    bench.usual = bench.time_a_batch()?;
    for round in 0..run.count {
        let way = [Way::Back, Way::Away, Way::AwayForGood, Way::Down][(round % 4) as usize];
        let when = format!("round {round}, {way:?}");
        run.about_to(&when)?;
        attack(run, &bench, way, &mut run.rng(round), &mut tally, &when)?;
        run.did(1);
    }
    run.note(format_args!(
        "{} kills in the middle; batches and puts in redis: {}, in files instead: {}, failed with their keys: {}, failed \
         without fallback: {}",
        tally.in_the_middle, tally.to_redis, tally.to_files, tally.told, tally.refused
    ));
    Ok(())
}

impl Bench {
    fn multi(&self, fallback: bool, deadline: Duration) -> Outcome<MultiConnector> {
        let preferred = Policy::builder().priority(1).max_size_bytes(LARGEST).fallback(fallback).build()?;
        let redis = RedisConnector::attach(&options(self.server.address()).deadline(deadline))?;
        let files = Arc::new(FileOptions::new(&self.files));
        Ok(MultiConnector::builder()
            .connector("redis", redis, preferred)
            .lazy("files", files, Policy::any())
            .build()?)
    }

    fn time_a_batch(&self) -> Outcome<Duration> {
        let multi = self.multi(false, LIMIT)?;
        let objects = batch(&mut Rng::new(0)).1;
        let mut fastest = LIMIT;
        for _ in 0..3 {
            let begin = Instant::now();
            let keys = multi.put_batch(&objects, &PutOptions::new())?;
            fastest = fastest.min(begin.elapsed());
            keys.iter().try_for_each(|key| multi.evict(key))?;
        }
        Ok(fastest)
    }
}

/// Mostly for Redis, a few too large for it.
fn batch(rng: &mut Rng) -> (Vec<u64>, Vec<Bytes>) {
    let seeds: Vec<u64> = (0..80).map(|_| rng.next()).collect();
    let size = |index: usize| if index % 20 == 7 { LARGEST as usize + 20_000 } else { 1_000 + index * 500 };
    let objects = seeds.iter().enumerate().map(|(index, seed)| object::make(*seed, size(index))).collect();
    (seeds, objects)
}

fn attack(run: &mut Run, bench: &Bench, way: Way, rng: &mut Rng, tally: &mut Tally, when: &str) -> Outcome {
    let multi = bench.multi(way != Way::AwayForGood, if way == Way::Back { LIMIT } else { SHORT })?;
    // So that it has a connection.
    let nothing = MultiKey::new("redis", ObjectKey::bare(rng.uuid().as_str()));
    eventually(|| multi.exists(&nothing))?;
    let (seeds, objects) = batch(rng);
    if way == Way::Down {
        bench.server.kill()?;
    }
    let put = thread::scope(|scope| -> Outcome<_> {
        let put = scope.spawn(|| multi.put_batch(&objects, &PutOptions::new()));
        thread::sleep(Duration::from_micros(rng.below(bench.usual.as_micros() as usize) as u64));
        tally.in_the_middle += u64::from(way != Way::Down && !put.is_finished());
        bench.server.kill()?;
        if way == Way::Back {
            bench.server.restart()?;
        }
        put.join().map_err(|_| "a put panicked".into())
    })?;
    let mut left = Left::default();
    left.note(run, bench, way, tally, put, &seeds, when);
    if way != Way::Back {
        let one = multi.put(object::make(seeds[0], 500), &PutOptions::new());
        // Nothing was sent, so it must have gone to the files.
        run.check(one.is_ok() || way == Way::AwayForGood, || format!("{when}: a put fails, too: {one:?}"));
        left.note(run, bench, way, tally, one.map(|key| vec![key]), &seeds[..1], when);
    }
    if way != Way::Back {
        bench.server.restart()?;
    }
    left.inspect(run, bench, &multi, when)
}

/// What must be there after a round, and what may be.
#[derive(Default)]
struct Left {
    stored: Vec<(MultiKey, u64)>,
    told: Vec<Key>,
}

impl Left {
    #[expect(clippy::too_many_arguments, reason = "all that a round knows")]
    fn note(
        &mut self,
        run: &mut Run,
        bench: &Bench,
        way: Way,
        tally: &mut Tally,
        put: Result<Vec<MultiKey>, Error>,
        seeds: &[u64],
        when: &str,
    ) {
        let error = match put {
            Ok(keys) => {
                let in_redis = keys.first().is_some_and(|key| &*key.connector_name == "redis");
                *(if in_redis { &mut tally.to_redis } else { &mut tally.to_files }) += 1;
                self.stored.extend(keys.into_iter().zip(seeds.iter().copied()));
                return;
            }
            Err(error) => error,
        };
        run.check(is_clear(&error, &bench.server), || format!("{when}: the error is not clear: {error:?}"));
        if way == Way::AwayForGood {
            tally.refused += 1;
        } else {
            // Only what may have been written has no other place to go.
            run.check(way == Way::Away && !error.keys().is_empty(), || format!("{when}: it fails: {error:?}"));
            tally.told += 1;
        }
        self.told.extend_from_slice(error.keys());
    }

    fn inspect(self, run: &mut Run, bench: &Bench, multi: &MultiConnector, when: &str) -> Outcome {
        let keys: Vec<MultiKey> = self.stored.iter().map(|(key, _)| key.clone()).collect();
        let found = eventually(|| multi.get_batch(&keys, &GetOptions::default()))?;
        for ((key, seed), object) in self.stored.iter().zip(&found) {
            run.check(object.as_deref().and_then(object::seed_of) == Some(*seed), || {
                format!("{when}: {key} was stored and reads as {:?} bytes", object.as_ref().map(Bytes::len))
            });
        }
        let of = |name: &str| {
            let keys = keys.iter().filter(|key| &*key.connector_name == name);
            keys.map(|key| id(&key.connector_key)).collect::<BTreeSet<String>>()
        };
        let may_be: BTreeSet<String> = self.told.iter().map(id).collect();
        for name in names(&bench.server, "")?.difference(&of("redis")).filter(|name| !may_be.contains(*name)) {
            run.found(format!("{when}: {name} is in redis, and nobody was told of it"));
        }
        let seen = survey(&bench.files)?;
        let in_files: BTreeSet<String> = seen.visible.into_keys().collect();
        run.check(in_files == of("files") && seen.leftovers.is_empty(), || {
            format!("{when}: {} files, {} were stored; {:?}", in_files.len(), of("files").len(), seen.leftovers)
        });
        let told: Vec<MultiKey> = self.told.into_iter().map(MultiKey::try_from).collect::<Result<_, _>>()?;
        for key in keys.iter().chain(&told) {
            eventually(|| multi.evict(key))?;
        }
        let left = names(&bench.server, "")?.len() + survey(&bench.files)?.visible.len();
        run.check(left == 0, || format!("{when}: {left} objects are left when all were evicted"));
        Ok(())
    }
}

/// It names the connector and the server, and says what was tried and what to do.
fn is_clear(error: &Error, server: &Redis) -> bool {
    let text = error.to_string();
    let told = ["\"redis\"", &server.address().to_string(), "tried ", "; "];
    AT_FAULT.contains(&error.kind()) && told.iter().all(|part| text.contains(part))
}
