//! Memory is used again and again while this process and another one hold views, take further ones, and drop some.
//!
//! A view never shows another object's bytes, and who comes too late finds nothing.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use bytes::Bytes;
use crossdock::connectors::{ShmConnector, ShmOptions};
use crossdock::{Connector, ConnectorExt, GetOptions, Key};

use super::{Memory, SMALL, TABLE, names};
use crate::hazards::{Hazard, Need};
use crate::object;
use crate::rng::Rng;
use crate::roles::say;
use crate::run::{Outcome, Run};

pub(in crate::hazards) const HAZARD: Hazard = Hazard {
    name: "shm-views",
    looked_for: "a byte of a view that is another object's",
    small: 2_000,
    full: 100_000,
    needs: &[Need::SharedMemory],
    run,
};

/// How many views each process holds.
const HELD: usize = 12;

/// Views, with the seeds of their objects.
struct Views {
    held: Vec<(u64, Bytes)>,
    rng: Rng,
}

impl Views {
    fn new(rng: Rng) -> Self {
        Self { held: Vec::new(), rng }
    }

    /// Holds a further view, and looks at every byte of one that is dropped. Whether that one was whole.
    fn hold(&mut self, seed: u64, view: Bytes) -> bool {
        self.held.push((seed, view));
        if self.held.len() <= HELD {
            return true;
        }
        let (seed, view) = self.held.swap_remove(self.rng.below(HELD));
        object::seed_of(&view) == Some(seed)
    }

    fn are_whole(&self) -> bool {
        self.held.iter().all(|(seed, view)| object::seed_of(view) == Some(*seed))
    }
}

fn run(run: &mut Run) -> Outcome {
    let memory = Memory::new()?;
    let shm = memory.open()?;
    let mut rng = run.rng(0);
    let mut holder = run.start("shm-holder", &[memory.dir().to_str().ok_or("path")?, &rng.next().to_string()])?;
    let mut ask = holder.0.stdin.take().ok_or("no pipe")?;
    let mut answers = BufReader::new(holder.0.stdout.take().ok_or("no pipe")?).lines();
    let mut views = Views::new(run.rng(1));
    let (mut places, mut puts, mut late, mut waiting) = (HashSet::new(), 0_u64, 0_u64, 0_usize);
    let mut check = |run: &mut Run, answer: Option<std::io::Result<String>>| -> Outcome {
        match answer.ok_or("the holder ended")??.as_str() {
            "whole" => {}
            "late" => late += 1,
            other => run.found(format!("the other process says {other}")),
        }
        Ok(())
    };
    let mut recycled = 0;
    while recycled < run.count {
        let seed = rng.next();
        // Half of them mapped, the others read from slabs of few slots.
        let size = if rng.one_in(2) { 3_000 + rng.below(SMALL - 3_000) } else { SMALL + 1_000 + rng.below(40_000) };
        let key = shm.put_bytes(object::make(seed, size))?;
        puts += 1;
        if !places.insert(place_of(&memory.dir(), &key)?) {
            recycled += 1;
            run.did(1);
        }
        writeln!(ask, "{key} {seed}")?;
        waiting += 1;
        if rng.one_in(2) {
            let view = shm.get(&key, &GetOptions::view())?.ok_or("what was just put is not there")?;
            run.check(views.hold(seed, view), || "a view of the producer is torn".to_owned());
        }
        // In half of the cases the other process is only about to look.
        while waiting > 1 || waiting == 1 && rng.one_in(2) {
            check(run, answers.next())?;
            waiting -= 1;
        }
        shm.evict(&key)?;
    }
    writeln!(ask, "end")?;
    for _ in 0..=waiting {
        check(run, answers.next())?;
    }
    run.check(views.are_whole(), || "a view of the producer is torn".to_owned());
    run.note(format_args!("{puts} puts into {} places; the other process came too late for {late}", places.len()));
    Ok(())
}

/// The file and the slot that the object of this process is in.
fn place_of(dir: &Path, key: &Key) -> Outcome<(u64, usize)> {
    let id = key.as_object()?.id.to_string();
    if let Ok(file) = fs::metadata(dir.join(&id)) {
        return Ok((file.ino(), 0));
    }
    let id = u64::from_str_radix(&id.replace('-', "")[16..], 16)?;
    let (number, turn) = (id >> 27 & 0xfff, id as usize & 0x7ff_ffff);
    let state = dir.join(".crossdock");
    let name = names(&state)?.into_iter().find(|name| name.ends_with(&format!(".{number}"))).ok_or("no such slab")?;
    let slab = fs::File::open(state.join(name))?;
    let mut slots = [0; 8];
    slab.read_exact_at(&mut slots, 32)?;
    Ok((slab.metadata()?.ino(), TABLE + turn % u64::from_le_bytes(slots).next_power_of_two() as usize))
}

/// Takes a view of each object that it is told of, and says whether those that it drops were whole.
pub(crate) fn hold(dir: &Path, rng: Rng) -> Outcome {
    let shm = ShmConnector::attach(&ShmOptions::in_dir(dir))?;
    let mut views = Views::new(rng);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let Some((key, seed)) = line.split_once(' ') else { break };
        match shm.get(&key.parse::<Key>()?, &GetOptions::view()) {
            Ok(Some(view)) => {
                let seed = seed.parse()?;
                let is_right = views.rng.one_in(20) || object::seed_of(&view) == Some(seed);
                say(if views.hold(seed, view) && is_right { "whole" } else { "torn" })?;
            }
            Ok(None) => say("late")?,
            Err(error) => say(&format!("{error:?}"))?,
        }
    }
    say(if views.are_whole() { "whole" } else { "torn" })
}
