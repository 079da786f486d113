//! A producer is killed at any moment while this process reads what it puts.
//!
//! Views stay whole, what was acknowledged is there, and the next process that attaches removes the rest.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use crossdock::connectors::{ShmConnector, ShmOptions};
use crossdock::{Connector, ConnectorExt, Key};

use super::{Memory, check_whole, some_size};
use crate::hazards::{Hazard, Need};
use crate::object;
use crate::rng::Rng;
use crate::roles::say;
use crate::run::{Outcome, Run};

pub(in crate::hazards) const HAZARD: Hazard = Hazard {
    name: "shm-kill",
    looked_for: "torn or lost objects, torn views, bus errors, files left after an attach",
    small: 200,
    full: 10_000,
    needs: &[Need::SharedMemory],
    run,
};

/// The directory is looked at after so many kills.
const KILLS: u64 = 20;

/// What killed producers said.
#[derive(Default)]
struct Told {
    /// What is stored, and has not been announced to be evicted: seed and size.
    stored: HashMap<String, (u64, usize)>,
    views: Vec<(u64, Bytes)>,
    objects: usize,
}

fn run(run: &mut Run) -> Outcome {
    let memory = Memory::new()?;
    let dir = memory.dir();
    let mut told = Told::default();
    let (mut objects, mut views) = (0, 0);
    for round in 0..run.count {
        kill_one(run, round, &memory, &mut told)?;
        run.did(1);
        if (round + 1) % KILLS != 0 && round + 1 < run.count {
            continue;
        }
        let shm = ShmConnector::attach(&ShmOptions::in_dir(&dir))?;
        check_whole(run, &dir, "after kills")?;
        for (key, (seed, size)) in &told.stored {
            let found = shm.get_bytes(&key.parse::<Key>()?)?;
            let right = found.is_some_and(|found| found.len() == *size && object::seed_of(&found) == Some(*seed));
            run.check(right, || format!("{key} was acknowledged and is not there"));
        }
        for (seed, view) in &told.views {
            run.check(object::seed_of(view) == Some(*seed), || "a view is torn".to_owned());
        }
        objects += told.objects;
        views += told.views.len();
        told = Told::default();
        fs::remove_dir_all(&dir)?;
    }
    run.note(format_args!("{objects} objects acknowledged, {views} views held while their producers were killed"));
    Ok(())
}

fn kill_one(run: &Run, round: u64, memory: &Memory, told: &mut Told) -> Outcome {
    let mut rng = run.rng(round);
    let seed = rng.next().to_string();
    let shm = memory.open()?;
    let mut producer = run.start("shm-producer", &[memory.dir().to_str().ok_or("path")?, &seed])?;
    let mut stdout = BufReader::new(producer.0.stdout.take().ok_or("no pipe")?);
    let mut line = String::new();
    for _ in 0..=rng.below(30) {
        line.clear();
        if stdout.read_line(&mut line)? == 0 {
            return Err("the producer ended by itself".into());
        }
        told.note(line.trim_end(), Some(&shm))?;
    }
    thread::sleep(Duration::from_micros(rng.below(1_000) as u64));
    producer.kill();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest)?;
    rest.lines().try_for_each(|line| told.note(line, None))
}

impl Told {
    /// Takes a view of what is stored, unless it is evicted by then.
    fn note(&mut self, line: &str, shm: Option<&ShmConnector>) -> Outcome {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["stored", key, seed, size] => {
                let seed = seed.parse()?;
                self.objects += 1;
                self.stored.insert(key.to_owned(), (seed, size.parse()?));
                let view = shm.map(|shm| shm.get_bytes(&key.parse::<Key>()?)).transpose()?.flatten();
                self.views.extend(view.map(|view| (seed, view)));
            }
            ["evicts", key] => drop(self.stored.remove(key)),
            _ => return Err(format!("the producer said {line:?}").into()),
        }
        Ok(())
    }
}

/// Puts and evicts until it is killed, and says each: an object once it is stored, an eviction before it.
pub(crate) fn produce(dir: &Path, mut rng: Rng) -> Outcome {
    let shm = ShmConnector::open(&ShmOptions::in_dir(dir).recycle_bytes(2 << 20))?;
    let mut live: Vec<Key> = Vec::new();
    loop {
        let seed = rng.next();
        let object = object::make(seed, some_size(&mut rng));
        let size = object.len();
        let key = if rng.one_in(4) {
            let deferrable = shm.require_deferrable()?;
            let key = deferrable.new_key(&crossdock::KeyHint::default())?;
            deferrable.set(&key, object, &crossdock::PutOptions::new())?;
            key
        } else {
            shm.put_bytes(object)?
        };
        say(&format!("stored {key} {seed} {size}"))?;
        live.push(key);
        if live.len() > 3 {
            let key = live.swap_remove(rng.below(live.len()));
            say(&format!("evicts {key}"))?;
            shm.evict(&key)?;
        }
    }
}
