//! Sixteen writers set one key at the same time, threads and processes, while readers look.
//!
//! One wins. Everybody else is told that the key is taken, and no reader ever sees anything but nothing or the winner's
//! whole object. Writers of the same bytes all succeed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ChildStdout;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use crossdock::connectors::{FileConnector, FileOptions, LocalConnector};
use crossdock::{Connector, ConnectorExt, ErrorKind, Key, KeyHint, PutOptions};

use super::Hazard;
use crate::object;
use crate::run::{Outcome, Run, Running};

pub(super) const HAZARD: Hazard = Hazard {
    name: "writers",
    looked_for: "torn reads, two winners, the same bytes refused",
    small: 50,
    full: 1_000,
    needs: &[],
    run,
};

const WRITERS: u64 = 16;
const READERS: usize = 2;

/// What one writer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Set,
    Exists,
}

fn run(run: &mut Run) -> Outcome {
    let dir = run.path("objects");
    let files = FileConnector::open(&FileOptions::new(&dir))?;
    let local = LocalConnector::new();
    let mut unnamed = Setters::start(run, &dir, &[])?;
    let mut named = Setters::start(run, &dir, &["named"])?;
    for round in 0..run.count {
        let mut rng = run.rng(round);
        // One round of five: everybody writes the same.
        let same = round % 5 == 4;
        let (seed, size) = (rng.next(), object::some_size(&mut rng));
        let seeds: Vec<u64> = (0..WRITERS).map(|writer| if same { seed } else { seed.wrapping_add(writer) }).collect();
        let (subject, connector): (&str, &dyn Connector) = match round % 4 {
            0 => ("threads on local", &local),
            1 => ("threads on file", &files),
            2 => ("processes on file", &files),
            _ => ("processes without unnamed files", &files),
        };
        let key = connector.require_deferrable()?.new_key(&KeyHint::default())?;
        let when = format!("round {round}, {subject}, {size} bytes");
        let done = AtomicBool::new(false);
        let (told, seen) = thread::scope(|scope| -> Outcome<_> {
            let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| read_until(connector, &key, &done))).collect();
            let told = match round % 4 {
                0 | 1 => by_threads(connector, &key, &seeds, size),
                2 => unnamed.set(&key, &seeds, size),
                _ => named.set(&key, &seeds, size),
            };
            done.store(true, Ordering::Release);
            let mut seen = Vec::new();
            for reader in readers {
                seen.extend(reader.join().map_err(|_| "a reader panicked")?);
            }
            Ok((told?, seen))
        })?;
        check(run, connector, &key, &seeds, same, &told, &seen, &when)?;
        connector.evict(&key)?;
        run.did(1);
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one call site")]
fn check(
    run: &mut Run,
    connector: &dyn Connector,
    key: &Key,
    seeds: &[u64],
    same: bool,
    told: &[Told],
    seen: &[Result<u64, String>],
    when: &str,
) -> Outcome {
    let winners: Vec<u64> =
        told.iter().zip(seeds).filter(|(told, _)| **told == Told::Set).map(|(_, seed)| *seed).collect();
    let wanted = if same { seeds.len() } else { 1 };
    run.check(winners.len() == wanted, || format!("{when}: {} writers succeeded, not {wanted}", winners.len()));
    let last = connector.get_bytes(key)?.as_deref().and_then(object::seed_of);
    run.check(last.is_some() && last == winners.first().copied(), || {
        format!("{when}: {last:?} is stored, {winners:?} won")
    });
    for read in seen {
        run.check(read.as_ref().ok().copied() == last, || format!("{when}: a reader saw {read:?}, then {last:?}"));
    }
    Ok(())
}

/// Every different thing that was seen: the seed of a whole object, or what it was instead.
fn read_until(connector: &dyn Connector, key: &Key, done: &AtomicBool) -> Vec<Result<u64, String>> {
    let mut seen: Vec<Result<u64, String>> = Vec::new();
    loop {
        let last = done.load(Ordering::Acquire);
        let now = match connector.get_bytes(key) {
            Ok(None) => None,
            Ok(Some(bytes)) => Some(object::seed_of(&bytes).ok_or_else(|| format!("{} torn bytes", bytes.len()))),
            Err(error) => Some(Err(error.to_string())),
        };
        seen.extend(now.filter(|now| !seen.contains(now)));
        if last {
            return seen;
        }
    }
}

fn by_threads(connector: &dyn Connector, key: &Key, seeds: &[u64], size: usize) -> Outcome<Vec<Told>> {
    let barrier = Barrier::new(seeds.len());
    let set = |object: Bytes| {
        barrier.wait();
        match connector.require_deferrable()?.set(key, object, &PutOptions::new()) {
            Ok(()) => Ok(Told::Set),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Told::Exists),
            Err(error) => Err(error),
        }
    };
    thread::scope(|scope| {
        let objects = seeds.iter().map(|seed| object::make(*seed, size));
        let writers: Vec<_> = objects.map(|object| scope.spawn(|| set(object))).collect();
        writers.into_iter().map(|writer| Ok(writer.join().map_err(|_| "a writer panicked")??)).collect()
    })
}

/// Processes that wait for something to set.
struct Setters(Vec<(Running, BufReader<ChildStdout>)>);

impl Setters {
    fn start(run: &Run, dir: &Path, conditions: &[&str]) -> Outcome<Self> {
        let mut arguments = vec![dir.to_str().ok_or("path")?];
        arguments.extend(conditions);
        let start = |_| {
            let mut setter = run.start("setter", &arguments)?;
            let stdout = setter.0.stdout.take().ok_or("no pipe")?;
            Ok((setter, BufReader::new(stdout)))
        };
        Ok(Self((0..WRITERS).map(start).collect::<Outcome<_>>()?))
    }

    fn set(&mut self, key: &Key, seeds: &[u64], size: usize) -> Outcome<Vec<Told>> {
        for ((setter, _), seed) in self.0.iter_mut().zip(seeds) {
            let stdin = setter.0.stdin.as_mut().ok_or("no pipe")?;
            stdin.write_all(format!("{key} {seed} {size}\n").as_bytes())?;
        }
        let answers = self.0.iter_mut().map(|(_, stdout)| {
            let mut line = String::new();
            stdout.read_line(&mut line)?;
            match line.trim_end() {
                "set" => Ok(Told::Set),
                "exists" => Ok(Told::Exists),
                other => Err(format!("a writer said {other:?}").into()),
            }
        });
        answers.collect()
    }
}
