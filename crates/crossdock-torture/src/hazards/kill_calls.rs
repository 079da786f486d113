//! A writer is killed at each of its system calls in turn, so at every state that it can leave behind.

use std::fs;
use std::path::Path;

use super::{Hazard, Need, faults};
use crate::run::{Outcome, Run};
use crate::strace;
use crate::survey::{collect, survey};

pub(super) const HAZARD: Hazard = Hazard {
    name: "kill-calls",
    looked_for: "torn or lost objects, files left after gc",
    small: 1,
    full: 10,
    needs: &[Need::Strace],
    run,
};

fn run(run: &mut Run) -> Outcome {
    let dir = run.path("parent/objects");
    let mut leftovers = 0;
    for round in 0..run.count {
        for conditions in faults::CONDITIONS {
            leftovers += kill_at_each(run, &dir, conditions, round)?;
        }
    }
    run.note(format_args!("one kill at every call; gc collected {leftovers} files"));
    Ok(())
}

fn kill_at_each(run: &mut Run, dir: &Path, conditions: &[&str], round: u64) -> Outcome<u64> {
    let mut role = vec!["steps", dir.to_str().ok_or("path")?];
    role.extend(conditions);
    let calls = strace::calls(&run.dir, &role)?;
    fs::remove_dir_all(run.path("parent"))?;
    let mut leftovers = 0;
    for call in calls {
        let output = strace::inject(&call, "signal=KILL", false, &role)?;
        let when = format!("killed at {} {} {conditions:?}, round {round}", call.name, call.nth);
        run.check(!output.status.success(), || format!("{when}: it was not killed"));
        faults::check_acknowledged(run, dir, &String::from_utf8_lossy(&output.stdout), &when)?;
        survey(dir)?.check_whole(run, &when);
        leftovers += collect(run, dir, &when)?;
        run.did(1);
        let parent = run.path("parent");
        if parent.exists() {
            fs::remove_dir_all(parent)?;
        }
    }
    Ok(leftovers)
}
