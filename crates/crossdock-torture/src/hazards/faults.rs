//! Each system call of a writer fails in turn, once or from then on.
//!
//! A put that fails says so with the right kind and leaves nothing behind, neither visible nor, as long as files can be
//! removed at all, on the disk. A put that succeeds has stored its object.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{Connector, ConnectorExt, Key};

use super::{Hazard, Need};
use crate::roles::step_object;
use crate::run::{Outcome, Run};
use crate::strace::{self, Call};
use crate::survey::{collect, survey};

pub(super) const HAZARD: Hazard = Hazard {
    name: "faults",
    looked_for: "false successes, leftovers, wrong kinds of error",
    small: 1,
    full: 10,
    needs: &[Need::Strace],
    run,
};

/// Both ways of publishing.
pub(super) const CONDITIONS: &[&[&str]] = &[&[], &["named"]];
/// The calls whose failures are a writer's business; memory and the like are not.
const CALLS: &[&str] = &["open", "openat", "write", "fsync", "fdatasync", "close", "linkat", "unlinkat", "mkdir"];
const ERRORS: &[&str] = &["ENOSPC", "EIO", "EINTR"];

fn run(run: &mut Run) -> Outcome {
    for round in 0..run.count {
        for conditions in CONDITIONS {
            fail_each(run, conditions, round)?;
        }
    }
    Ok(())
}

fn fail_each(run: &mut Run, conditions: &[&str], round: u64) -> Outcome {
    let dir = run.path("parent/objects");
    let mut role = vec!["steps", dir.to_str().ok_or("path")?];
    role.extend(conditions);
    let calls = strace::calls(&run.dir, &role)?;
    fs::remove_dir_all(run.path("parent"))?;
    for call in calls.iter().filter(|call| CALLS.contains(&call.name.as_str())) {
        for error in ERRORS {
            // A call that is interrupted for ever would be repeated for ever, rightly.
            let once = *error == "EINTR" || call.name == "write" || (*error == "EIO" && run.count == 1);
            let modes: &[bool] = if once { &[false] } else { &[false, true] };
            for and_later in modes {
                fail_one(run, &dir, &role, call, error, *and_later, round)?;
            }
        }
    }
    Ok(())
}

fn fail_one(
    run: &mut Run,
    dir: &Path,
    role: &[&str],
    call: &Call,
    error: &str,
    and_later: bool,
    round: u64,
) -> Outcome {
    let output = strace::inject(call, &format!("error={error}"), and_later, role)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let later = if and_later { " and later" } else { "" };
    let when = format!("{error} at {} {}{later} {:?}, round {round}", call.name, call.nth, &role[2..]);
    run.did(1);
    // The write that failed may have been the one that tells the outcome.
    let told = output.status.success();
    if told {
        check_kinds(run, &text, error, &when);
        check_acknowledged(run, dir, &text, &when)?;
        check_nothing_else(run, dir, &text, &when, call.name == "unlinkat")?;
    }
    survey(dir)?.check_whole(run, &when);
    collect(run, dir, &when)?;
    let parent = run.path("parent");
    if parent.exists() {
        fs::remove_dir_all(parent)?;
    }
    Ok(())
}

struct Step<'a> {
    step: u64,
    outcome: &'a str,
    keys: Vec<Key>,
}

fn steps(text: &str) -> Vec<Step<'_>> {
    let parse = |line: &'_ str| -> Option<(u64, usize)> {
        let (step, rest) = line.split_once(' ')?;
        Some((step.parse().ok()?, line.len() - rest.len()))
    };
    text.lines()
        .filter_map(|line| {
            let (step, at) = parse(line)?;
            let (outcome, keys) = line[at..].split_once(' ')?;
            let keys = keys.split(',').filter_map(|key| key.parse().ok()).collect();
            Some(Step { step, outcome, keys })
        })
        .collect()
}

fn check_kinds(run: &mut Run, text: &str, error: &str, when: &str) {
    let allowed: &[&str] = match error {
        "ENOSPC" => &["Full"],
        _ => &["Unavailable", "Ambiguous"],
    };
    for Step { step, outcome, .. } in steps(text) {
        let right = outcome == "ok" || outcome == "Ambiguous" || allowed.contains(&outcome);
        run.check(right, || format!("{when}: step {step} answers {outcome}"));
    }
}

/// What a step said it stored must be there, unless the last step took it away.
pub(super) fn check_acknowledged(run: &mut Run, dir: &Path, text: &str, when: &str) -> Outcome {
    let steps = steps(text);
    let stored: Vec<&Step<'_>> = steps.iter().filter(|step| step.outcome == "ok" && step.step > 0).collect();
    if stored.is_empty() {
        return Ok(());
    }
    let files = FileConnector::open(&FileOptions::new(dir))?;
    // Killed in the middle of it, an evict says nothing.
    let evicted = stored.iter().find(|step| step.step <= 2).and_then(|step| step.keys.first());
    for Step { step, keys, .. } in stored.iter().filter(|step| step.step < 9) {
        for (item, key) in keys.iter().enumerate() {
            let expected = step_object(*step, item as u64);
            match files.get_bytes(key) {
                Ok(Some(bytes)) if bytes == expected => {}
                Ok(None) if Some(key) == evicted => {}
                other => run.found(format!("{when}: step {step} said ok, and {key} reads as {other:?}")),
            }
        }
    }
    let gone = stored.iter().filter(|step| step.step == 9).flat_map(|step| &step.keys);
    for key in gone {
        run.check(!files.exists(key)?, || format!("{when}: evicted {key} exists"));
    }
    Ok(())
}

/// Nothing is visible but what was stored or is named by an error; and no file is left over, unless removing failed.
fn check_nothing_else(run: &mut Run, dir: &Path, text: &str, when: &str, removing_fails: bool) -> Outcome {
    let keys = steps(text).into_iter().flat_map(|step| step.keys);
    let known: BTreeSet<String> = keys.map(|key| id_of(&key)).collect();
    let failed: Vec<String> = steps(text)
        .into_iter()
        .filter(|step| !matches!(step.outcome, "ok" | "Ambiguous"))
        .map(|step| step.step.to_string())
        .collect();
    let survey = survey(dir)?;
    for name in survey.visible.keys().filter(|name| !known.contains(*name)) {
        run.found(format!("{when}: {name} is visible, although step {} failed", failed.join(", ")));
    }
    if !removing_fails {
        for name in survey.leftovers {
            run.found(format!("{when}: {name} is left over"));
        }
    }
    Ok(())
}

fn id_of(key: &Key) -> String {
    match key {
        Key::Object(object) => object.id.to_string(),
        other => other.to_string(),
    }
}
