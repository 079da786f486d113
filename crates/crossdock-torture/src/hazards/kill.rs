//! A writer is killed at any moment.
//!
//! Whatever another process sees afterwards is whole, what was acknowledged is there, and `gc` removes the rest.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{ConnectorExt, Key};

use super::Hazard;
use crate::object;
use crate::run::{Outcome, Run};
use crate::survey::{collect, survey};

pub(super) const HAZARD: Hazard = Hazard {
    name: "kill",
    looked_for: "torn or lost objects, files left after gc",
    small: 200,
    full: 10_000,
    needs: &[],
    run,
};

/// The directory is looked at after so many kills.
const KILLS: u64 = 20;

fn run(run: &mut Run) -> Outcome {
    let dir = run.path("objects");
    let mut acknowledged = Vec::new();
    let (mut objects, mut leftovers) = (0, 0);
    for round in 0..run.count {
        kill_one(run, round, &dir, &mut acknowledged)?;
        run.did(1);
        if (round + 1) % KILLS != 0 && round + 1 < run.count {
            continue;
        }
        objects += acknowledged.len();
        verify(run, &dir, &acknowledged)?;
        survey(&dir)?.check_whole(run, "after kills");
        leftovers += collect(run, &dir, "after kills")?;
        acknowledged.clear();
        fs::remove_dir_all(&dir)?;
    }
    run.note(format_args!("{objects} objects acknowledged; gc collected {leftovers} files of killed writers"));
    Ok(())
}

fn kill_one(run: &Run, round: u64, dir: &Path, acknowledged: &mut Vec<String>) -> Outcome {
    let mut rng = run.rng(round);
    let seed = rng.next().to_string();
    // Every other one without unnamed files, where half-written files have names.
    let puts = u64::MAX.to_string();
    let arguments = [dir.to_str().ok_or("path")?, &seed, "process", &puts, "named"];
    let mut putter = run.start("putter", &arguments[..4 + (round % 2) as usize])?;
    let mut stdout = BufReader::new(putter.0.stdout.take().ok_or("no pipe")?);
    let mut line = String::new();
    for _ in 0..=rng.below(4) {
        line.clear();
        if stdout.read_line(&mut line)? == 0 || line.starts_with("stopped") {
            return Err(format!("the putter ended by itself: {line}").into());
        }
        acknowledged.push(line.trim_end().to_owned());
    }
    thread::sleep(Duration::from_micros(rng.below(1_500) as u64));
    putter.kill();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest)?;
    acknowledged.extend(rest.lines().map(str::to_owned));
    Ok(())
}

fn verify(run: &mut Run, dir: &Path, lines: &[String]) -> Outcome {
    let files = FileConnector::open(&FileOptions::new(dir))?;
    for line in lines.iter().filter(|line| *line != "ready") {
        let [_, key, seed, size] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("the putter said {line:?}").into());
        };
        let expected = object::make(seed.parse()?, size.parse()?);
        match files.get_bytes(&key.parse::<Key>()?) {
            Ok(Some(bytes)) if bytes == expected => {}
            other => run.found(format!("{key} was acknowledged and reads as {:?}", other.map(|o| o.map(|b| b.len())))),
        }
    }
    Ok(())
}
