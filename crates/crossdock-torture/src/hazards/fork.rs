//! Children are forked while other threads of the parent are in the middle of puts, and put through what they inherit.
//!
//! No two of them make the same key, none waits for a lock of a thread that it does not have, none reads another one's
//! bytes. ProxyStore has a pool of its own in each process; a Rust library is simply copied.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossdock::connectors::{FileConnector, FileOptions, LocalConnector, RedisConnector, RedisOptions};
use crossdock::{Connector, ConnectorExt, ErrorKind, Key, MultiConnector, Policy};
use crossdock_servers::Redis;

use super::{Hazard, Need};
use crate::object;
use crate::run::{Outcome, Run};
use crate::system::{self, Ended};

pub(super) const HAZARD: Hazard = Hazard {
    name: "fork",
    looked_for: "equal keys, hangs, wrong bytes, failed puts",
    small: 200,
    full: 10_000,
    needs: &[],
    run,
};

pub(super) const OVER_REDIS: Hazard = Hazard {
    name: "redis-fork",
    looked_for: "equal keys, hangs, crossed replies, failed puts",
    small: 150,
    full: 10_000,
    needs: &[Need::Redis],
    run: run_over_redis,
};

const CHILDREN: u64 = 64;
/// So many at a time.
const WAVE: u64 = 8;
const THREADS: u64 = 4;
/// Against hangs only.
const LIMIT_S: u32 = 200;

struct Subjects {
    local: Arc<LocalConnector>,
    /// They are used in turn.
    all: [(&'static str, Arc<dyn Connector>); 3],
}

impl Subjects {
    fn at(&self, index: u64) -> (&'static str, &dyn Connector) {
        let (name, connector) = &self.all[(index % 3) as usize];
        (name, &**connector)
    }
}

fn run(run: &mut Run) -> Outcome {
    let local = Arc::new(LocalConnector::new());
    let file = Arc::new(FileConnector::open(&FileOptions::new(run.path("objects")))?);
    let multi = MultiConnector::builder()
        .connector("small", local.clone(), Policy::builder().max_size_bytes(200).build()?)
        .lazy("rest", Arc::new(FileOptions::new(run.path("rest"))), Policy::any())
        .build()?;
    let all: [(_, Arc<dyn Connector>); 3] = [("local", local.clone()), ("file", file), ("multi", Arc::new(multi))];
    fork_and_put(run, &Subjects { local, all })
}

fn run_over_redis(run: &mut Run) -> Outcome {
    let server = Redis::start(&crossdock_servers::RedisOptions::new())?;
    let local = Arc::new(LocalConnector::new());
    let tcp = RedisOptions::new("127.0.0.1", server.address().port());
    let unix = RedisOptions::unix_socket(&server.socket().to_string_lossy()).prefix("unix:");
    let multi = MultiConnector::builder()
        .connector("small", local.clone(), Policy::builder().max_size_bytes(50).build()?)
        .lazy("rest", Arc::new(tcp.clone().prefix("multi:")), Policy::any())
        .build()?;
    let all: [(_, Arc<dyn Connector>); 3] = [
        ("redis", Arc::new(RedisConnector::open(&tcp)?)),
        ("redis, unix socket", Arc::new(RedisConnector::open(&unix)?)),
        ("multi", Arc::new(multi)),
    ];
    fork_and_put(run, &Subjects { local, all })
}

fn fork_and_put(run: &mut Run, subjects: &Subjects) -> Outcome {
    let before = subjects.local.put_bytes("before the fork")?;

    let stop = AtomicBool::new(false);
    let parents: Vec<Vec<String>> = thread::scope(|scope| -> Outcome<_> {
        let putters: Vec<_> = (0..THREADS)
            .map(|putter| {
                let stop = &stop;
                scope.spawn(move || put_until(subjects, putter, stop))
            })
            .collect();
        let forked = fork_all(run, subjects, &before);
        stop.store(true, Ordering::Release);
        forked?;
        putters.into_iter().map(|putter| putter.join().map_err(|_| "a thread panicked")?).collect()
    })?;

    let mut all = HashSet::new();
    let mut total = 0_u64;
    let children: Vec<Vec<String>> = (0..CHILDREN)
        .map(|child| Ok(fs::read_to_string(run.path(format!("keys-{child}")))?.lines().map(str::to_owned).collect()))
        .collect::<Outcome<_>>()?;
    for key in parents.iter().chain(&children).flatten() {
        total += 1;
        // Without size and checksum, which may well differ.
        let id = key.split(':').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        run.check(all.insert(id.to_owned()), || format!("{key} was made twice"));
    }
    foreign_keys(run, subjects, &children)?;
    run.note(format_args!("{total} keys of {CHILDREN} children and {THREADS} threads of their parent"));
    Ok(())
}

/// A thread of the parent: puts, reads, evicts. Mostly in memory, and without rest, so that at a fork some lock is held.
fn put_until(subjects: &Subjects, putter: u64, stop: &AtomicBool) -> Outcome<Vec<String>> {
    const KEPT: usize = 100_000;
    let mut keys: Vec<Key> = Vec::new();
    let object = object::make(u64::MAX - putter, 24 + (putter % 2) as usize * 300);
    let mut index = 0_u64;
    while !stop.load(Ordering::Acquire) {
        let turn = if index.is_multiple_of(64) { index / 64 } else { 0 };
        let (_, connector) = subjects.at(turn);
        let key = connector.put_bytes(object.clone())?;
        if index.is_multiple_of(8) && connector.get_bytes(&key)?.as_ref() != Some(&object) {
            return Err(format!("{key}: other bytes, in the parent").into());
        }
        connector.evict(&key)?;
        if keys.len() < KEPT {
            keys.push(key);
        }
        index += 1;
    }
    Ok(keys.iter().map(Key::to_string).collect())
}

fn fork_all(run: &mut Run, subjects: &Subjects, before: &Key) -> Outcome {
    for wave in 0..CHILDREN / WAVE {
        let mut children = Vec::new();
        for child in wave * WAVE..(wave + 1) * WAVE {
            let (puts, path) = (run.count, run.path(format!("keys-{child}")));
            let work = || match live(subjects, before, child, puts, &path) {
                Ok(()) => 0,
                Err(why) => {
                    // The standard error of Rust has a lock that a thread may have held.
                    drop(fs::write(path.with_extension("failed"), why.to_string()));
                    1
                }
            };
            children.push((child, system::fork(LIMIT_S, work)?));
        }
        for (child, forked) in children {
            match forked.wait()? {
                Ended::Code(0) => run.did(run.count),
                Ended::Signal(libc::SIGALRM) => run.found(format!("child {child} hangs")),
                ended => {
                    let why = fs::read_to_string(run.path(format!("keys-{child}.failed"))).unwrap_or_default();
                    run.found(format!("child {child}: {ended:?} {why}"));
                }
            }
        }
    }
    Ok(())
}

/// The life of a child.
fn live(subjects: &Subjects, before: &Key, child: u64, puts: u64, path: &Path) -> Outcome {
    let mut keys = fs::File::create(path)?;
    let mut text = String::new();
    for index in 0..puts {
        let (name, connector) = subjects.at(index);
        let seed = child << 32 | index;
        let object = object::make(seed, 24 + (index % 400) as usize);
        let key = connector.put_bytes(object.clone()).map_err(|error| format!("{name}, put {index}: {error:?}"))?;
        let found = connector.get_bytes(&key).map_err(|error| format!("{name}, get {index}: {error:?}"))?;
        if found.as_ref() != Some(&object) {
            return Err(format!("{name}, {key}: other bytes").into());
        }
        if index % 20 != 0 {
            connector.evict(&key).map_err(|error| format!("{name}, evict {index}: {error:?}"))?;
        }
        text.push_str(&format!("{key}\n"));
    }
    keys.write_all(text.as_bytes())?;
    match subjects.local.get_bytes(before) {
        Ok(Some(found)) if found == "before the fork" => Ok(()),
        // A thread of the parent was changing that part of the memory: the one thing that `local` does not promise.
        Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
        other => Err(format!("what was there before the fork: {other:?}").into()),
    }
}

/// Objects in a child's memory are refused elsewhere, its files are there.
fn foreign_keys(run: &mut Run, subjects: &Subjects, children: &[Vec<String>]) -> Outcome {
    for (child, keys) in children.iter().enumerate() {
        for (index, key) in keys.iter().enumerate().filter(|(index, _)| index % 20 == 0) {
            let (name, connector) = subjects.at(index as u64);
            let key: Key = key.parse()?;
            let read = connector.get_bytes(&key);
            let in_memory = name == "local" || key.to_string().starts_with("small/");
            let right = match &read {
                Err(error) => in_memory && error.kind() == ErrorKind::InvalidKey,
                Ok(found) => {
                    let seed = found.as_deref().and_then(object::seed_of);
                    !in_memory && seed == Some((child as u64) << 32 | index as u64)
                }
            };
            run.check(right, || format!("{name}, {key} of child {child}: {read:?}"));
        }
    }
    let in_memory = subjects.at(0).0 == "local";
    let Some(key) = children.first().and_then(|keys| keys.first()).filter(|_| in_memory) else { return Ok(()) };
    let key: Key = key.parse()?;
    let refused = |error: crossdock::Error| error.kind() == ErrorKind::InvalidKey;
    let sibling = system::fork(LIMIT_S, || u8::from(!subjects.local.get_bytes(&key).is_err_and(refused)))?;
    let ended = sibling.wait()?;
    run.check(ended == Ended::Code(0), || format!("a child's key in another child: {ended:?}"));
    Ok(())
}
