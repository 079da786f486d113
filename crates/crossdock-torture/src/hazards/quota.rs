//! A writer under a bound is killed, or fails, at each of its system calls in turn.
//!
//! Whatever it leaves, the objects stay within the bound, what was acknowledged is there, and once they are evicted all of
//! the bound can be used at once: nothing has leaked.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{Connector, ConnectorExt, ErrorKind, ObjectKey};

use super::{Hazard, Need, faults};
use crate::run::{Outcome, Run};
use crate::strace;
use crate::survey::survey;

pub(super) const HAZARD: Hazard = Hazard {
    name: "quota",
    looked_for: "bounds passed, room leaked, false successes",
    small: 1,
    full: 20,
    needs: &[Need::Strace],
    run,
};

/// A bit more than what the steps store, in bytes.
const BOUND: u64 = 40_000;
/// The calls whose failures are a writer's business.
const CALLS: &[&str] = &["openat", "fcntl", "pread64", "pwrite64", "newfstatat", "getdents64", "linkat", "unlinkat"];

fn run(run: &mut Run) -> Outcome {
    let dir = run.path("parent/objects");
    // The ways of publishing in turn.
    for (round, conditions) in (0..run.count).zip(faults::CONDITIONS.iter().cycle()) {
        at_each_call(run, &dir, conditions, round)?;
    }
    Ok(())
}

fn at_each_call(run: &mut Run, dir: &Path, conditions: &[&str], round: u64) -> Outcome {
    let bound = BOUND.to_string();
    let mut role = vec!["bounded-steps", dir.to_str().ok_or("path")?, &bound];
    role.extend(conditions);
    let calls = strace::calls(&run.dir, &role)?;
    fs::remove_dir_all(run.path("parent"))?;
    for call in calls {
        let fails = CALLS.contains(&call.name.as_str());
        let effects: &[&str] = match (fails, run.count) {
            (false, _) => &["signal=KILL"],
            (true, 1) => &["signal=KILL", "error=EIO"],
            (true, _) => &["signal=KILL", "error=EIO", "error=ENOSPC"],
        };
        for effect in effects {
            let output = strace::inject(&call, effect, false, &role)?;
            let when = format!("{effect} at {} {} {conditions:?}, round {round}", call.name, call.nth);
            faults::check_acknowledged(run, dir, &String::from_utf8_lossy(&output.stdout), &when)?;
            check_room(run, dir, &when)?;
            run.did(1);
            let parent = run.path("parent");
            if parent.exists() {
                fs::remove_dir_all(parent)?;
            }
        }
    }
    Ok(())
}

fn check_room(run: &mut Run, dir: &Path, when: &str) -> Outcome {
    let visible = survey(dir)?.visible;
    let total: usize = visible.values().map(Vec::len).sum();
    run.check(total as u64 <= BOUND, || format!("{when}: {total} bytes are stored"));
    let files = FileConnector::open(&FileOptions::new(dir).max_total_bytes(BOUND))?;
    for name in visible.keys() {
        files.evict(&ObjectKey::bare(name.as_str()).into())?;
    }
    match files.put_bytes(Bytes::from(vec![0; BOUND as usize])) {
        Ok(_) => {
            let more = files.put_bytes("x").map_err(|error| error.kind());
            run.check(more == Err(ErrorKind::Full), || format!("{when}: over the bound, and yet {more:?}"));
        }
        Err(error) => run.found(format!("{when}: all is evicted, and yet {error}")),
    }
    Ok(())
}
