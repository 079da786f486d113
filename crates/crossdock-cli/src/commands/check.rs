//! `crossdock check`

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use crossdock::config::{Entry, format_duration};
use crossdock::{Checkup, Durability, Error, MultiConnector, PutOptions, Reason};
use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::output::{self, Format, plain};
use crate::setup::Setup;

const AFTER_HELP: &str = "\
Every connector that is active on this host is opened, and an object of a few bytes is put, got and evicted; connectors of \
other machines at the same time. The answer says how long each call took, which server there is, and the most that an \
object survives there: process (the end of the program that put it), host (a power cut of the storing host), backend (what \
the service documents), or none. Below stands what is wrong, and what works but should be known. Dormant connectors, whose \
host pattern does not match this host, are only listed.

Examples:
  crossdock check --config crossdock.toml
  CROSSDOCK_HOSTNAME=nid0042 crossdock check
  crossdock check --format json

Exit codes:
  0  all is well; there may be warnings
  2  the config is wrong, or names classes that only Python can open
  3  a connector or the output fails";

/// Open and test every connector: server, durability, latency, and what is wrong
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Finding {
    name: String,
    state: State,
    ok: bool,
    error: Option<String>,
    /// Why it is dormant.
    #[serde(skip_serializing_if = "Option::is_none")]
    dormant: Option<String>,
    /// Where it works.
    #[serde(flatten)]
    found: Option<Found>,
    #[serde(skip)]
    exit: Exit,
}

#[derive(Clone, Serialize)]
struct Found {
    server: Option<String>,
    durability: Option<Durability>,
    put_seconds: f64,
    get_seconds: f64,
    evict_seconds: f64,
    warnings: Vec<String>,
}

impl From<&Checkup> for Found {
    fn from(checkup: &Checkup) -> Self {
        let [put_seconds, get_seconds, evict_seconds] =
            [checkup.put, checkup.get, checkup.evict].map(|took| took.as_secs_f64());
        let (server, durability, warnings) = (checkup.server.clone(), checkup.durability, checkup.warnings.clone());
        Self { server, durability, put_seconds, get_seconds, evict_seconds, warnings }
    }
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Active,
    Dormant,
    Unknown,
}

pub(crate) fn run(globals: &Globals) -> Result<Exit, Failure> {
    let setup = Setup::load(globals)?;
    let multi = setup.connect()?;
    let findings = findings(&setup, &multi);
    match globals.format {
        Format::Text => output::print(&text(&setup, &findings))?,
        Format::Json => output::json(&json!({"connectors": findings}))?,
    }
    let ended = |exit| findings.iter().any(|finding| finding.exit == exit);
    Ok([Exit::Wrong, Exit::Unavailable].into_iter().find(|exit| ended(*exit)).unwrap_or(Exit::Done))
}

/// In the order of the config.
fn findings(setup: &Setup, multi: &MultiConnector) -> Vec<Finding> {
    let unknown = setup.registry.unknown_classes(&setup.config);
    let checked: HashMap<Arc<str>, Result<Checkup, Error>> = multi.check_each().into_iter().collect();
    let verdicts = multi.explain(None, &PutOptions::new()).verdicts;
    let asleep = |entry: &Entry| {
        let verdict = verdicts.iter().find(|verdict| verdict.connector == entry.name)?;
        let is_host = |reason: &&Reason| matches!(reason, Reason::Host { .. } | Reason::HostUndecided { .. });
        verdict.reasons.iter().find(is_host).map(ToString::to_string)
    };
    let one = |entry: &Entry| {
        let found = finding(entry, unknown.contains(&entry), checked.get(&entry.name));
        let dormant = (found.state == State::Dormant).then(|| asleep(entry)).flatten();
        Finding { dormant, ..found }
    };
    setup.config.entries().iter().map(one).collect()
}

fn finding(entry: &Entry, is_unknown: bool, checked: Option<&Result<Checkup, Error>>) -> Finding {
    let (state, error, exit) = match checked {
        _ if is_unknown => {
            let class = &entry.connector.type_name;
            let error = format!("this program knows no connector class {class:?}; open it from Python");
            (State::Unknown, Some(error), Exit::Wrong)
        }
        None => (State::Dormant, None, Exit::Done),
        Some(Ok(_)) => (State::Active, None, Exit::Done),
        Some(Err(error)) => (State::Active, Some(error.message().to_owned()), error.kind().into()),
    };
    // A connector that says "no" cannot be used either.
    let exit = if exit == Exit::No { Exit::Unavailable } else { exit };
    let found = checked.and_then(|checked| checked.as_ref().ok()).filter(|_| error.is_none()).map(Found::from);
    Finding { name: entry.name.to_string(), state, ok: error.is_none(), error, dormant: None, found, exit }
}

fn text(setup: &Setup, findings: &[Finding]) -> String {
    let from = plain(&setup.origin.to_string());
    if findings.is_empty() {
        return format!("# from {from}\nThe config has no connectors.\n");
    }
    let head = ["name", "state", "durability", "put", "get", "evict", "server"].map(str::to_owned);
    let rows: Vec<Vec<String>> = std::iter::once(head.to_vec()).chain(findings.iter().map(row)).collect();
    let notes: Vec<(String, String)> = findings.iter().flat_map(notes).collect();
    let asleep = findings.iter().all(|finding| finding.state == State::Dormant);
    let warning = if asleep { "\nNo connector is active on this host: every put fails.\n" } else { "" };
    let space = if notes.is_empty() { "" } else { "\n" };
    format!("# from {from}\n\n{}{warning}{space}{}", output::table(&rows), output::notes(&notes))
}

fn row(finding: &Finding) -> Vec<String> {
    let state = match (finding.state, finding.ok) {
        (State::Dormant, _) => "dormant",
        (_, true) => "ok",
        (State::Active, false) => "failed",
        (State::Unknown, false) => "unknown",
    };
    let mut row = vec![finding.name.clone(), state.to_owned()];
    if let Some(found) = &finding.found {
        row.push(found.durability.map_or("none", Durability::as_str).to_owned());
        let times = [found.put_seconds, found.get_seconds, found.evict_seconds];
        row.extend(times.map(|seconds| format_duration(Duration::from_secs_f64(seconds))));
        row.push(found.server.clone().unwrap_or_default());
    }
    row
}

/// What people should know of it: a sentence each; the name stands on the first.
fn notes(finding: &Finding) -> impl Iterator<Item = (String, String)> {
    let names = std::iter::once(finding.name.clone()).chain(std::iter::repeat(String::new()));
    let warnings = finding.found.iter().flat_map(|found| &found.warnings).map(|warning| format!("warning: {warning}"));
    names.zip(finding.error.iter().chain(&finding.dormant).cloned().chain(warnings))
}
