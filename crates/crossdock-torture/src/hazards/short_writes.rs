//! Writes that take fewer bytes than asked: each of at most 1,000, or up to the largest size of a file and no further.

use std::fs;
use std::process::Command;

use crossdock::connectors::{FileConnector, FileOptions};

use super::{Hazard, faults};
use crate::run::{Outcome, Run};
use crate::survey::survey;

pub(super) const HAZARD: Hazard = Hazard {
    name: "short-writes",
    looked_for: "half objects, false successes, leftovers",
    small: 5,
    full: 1_000,
    needs: &[],
    run,
};

fn run(run: &mut Run) -> Outcome {
    let dir = run.path("objects");
    for round in 0..run.count {
        for conditions in [&["short"][..], &["short", "named"], &["below"], &["below", "named"]] {
            let mut command = Command::new(std::env::current_exe()?);
            let output = command.args(["--role", "steps"]).arg(&dir).args(conditions).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let when = format!("{conditions:?}, round {round}");
            run.check(output.status.success(), || format!("{when}: {}", String::from_utf8_lossy(&output.stderr)));
            // What was set is set once more.
            let (wanted, steps) = if conditions.contains(&"short") { ("ok", 7) } else { ("TooLarge", 5) };
            let mut puts = 0;
            for line in text.lines().filter(|line| line.starts_with(['1', '2', '3', '4', '5'])) {
                puts += 1;
                let outcome = line.split(' ').nth(1).unwrap_or_default();
                run.check(outcome == wanted, || format!("{when}: {outcome} where {wanted} is due"));
            }
            run.check(puts == steps, || format!("{when}: {puts} puts"));
            faults::check_acknowledged(run, &dir, &text, &when)?;
            let seen = survey(&dir)?;
            seen.check_whole(run, &when);
            let visible = if wanted == "ok" { 6 } else { 0 };
            run.check(seen.visible.len() == visible, || format!("{when}: {} objects", seen.visible.len()));
            run.check(seen.leftovers.is_empty(), || format!("{when}: {:?} left", seen.leftovers));
            FileConnector::open(&FileOptions::new(&dir))?;
            fs::remove_dir_all(&dir)?;
            run.did(puts);
        }
    }
    Ok(())
}
