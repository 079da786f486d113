//! `crossdock check`, and the findings that `crossdock config check` tells in short.

use std::collections::HashMap;
use std::sync::Arc;

use clap::Args;
use crossdock::config::{Entry, format_duration};
use crossdock::{Checkup, Durability, Error, PutOptions, Reason};
use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, to_be_safe};
use crate::globals::Globals;
use crate::output::{self, Format, plain};
use crate::setup::Setup;

const AFTER_HELP: &str = "\
Every connector that is active on this host is opened, and an object of a few bytes is put, got and evicted there; on those \
of other machines at the same time. Dormant connectors, whose host pattern does not match this host, are only listed.

SURVIVES is the most durable level that the connector reaches now: what an object survives once put has returned.
  process  the end of the process; where a server keeps the objects, a restart of that server too
  host     a power cut of the host that stores it
  backend  what the service documents

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
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) ok: bool,
    pub(crate) error: Option<String>,
    /// Why it is dormant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dormant: Option<String>,
    #[serde(flatten)]
    details: Option<Details>,
    #[serde(skip)]
    exit: Exit,
}

/// What was found of a connector that works.
#[derive(Serialize)]
struct Details {
    server: Option<String>,
    durability: Option<Durability>,
    put_seconds: f64,
    get_seconds: f64,
    evict_seconds: f64,
    warnings: Vec<String>,
    #[serde(skip)]
    checkup: Checkup,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Active,
    Dormant,
    Unknown,
}

pub(crate) fn run(globals: &Globals) -> Result<Exit, Failure> {
    let setup = Setup::load(globals)?;
    let findings = findings(&setup)?;
    match globals.format {
        Format::Text => output::print(&table(&setup, &findings))?,
        Format::Json => output::json(&json!({"connectors": findings}))?,
    }
    Ok(exit(&findings))
}

/// The worst that was found.
pub(crate) fn exit(findings: &[Finding]) -> Exit {
    let ended = |exit| findings.iter().any(|finding| finding.exit == exit);
    [Exit::Wrong, Exit::Unavailable].into_iter().find(|exit| ended(*exit)).unwrap_or(Exit::Done)
}

/// In the order of the config.
pub(crate) fn findings(setup: &Setup) -> Result<Vec<Finding>, Failure> {
    let multi = setup.connect()?;
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
    Ok(setup.config.entries().iter().map(one).collect())
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
        Some(Err(error)) => {
            let said = format!("{}{}", error.message(), to_be_safe(error.keys()));
            (State::Active, Some(said), error.kind().into())
        }
    };
    // A connector that says "no" cannot be used either.
    let exit = if exit == Exit::No { Exit::Unavailable } else { exit };
    let details = checked.and_then(|checked| checked.as_ref().ok()).map(Details::of);
    Finding { name: entry.name.to_string(), state, ok: error.is_none(), error, dormant: None, details, exit }
}

impl Details {
    fn of(checkup: &Checkup) -> Self {
        Self {
            server: checkup.server.clone(),
            durability: checkup.durability,
            put_seconds: checkup.put.as_secs_f64(),
            get_seconds: checkup.get.as_secs_f64(),
            evict_seconds: checkup.evict.as_secs_f64(),
            warnings: checkup.warnings.clone(),
            checkup: checkup.clone(),
        }
    }
}

impl Finding {
    /// Without what was measured.
    pub(crate) fn in_short(self) -> Self {
        Self { details: None, ..self }
    }

    /// What is wrong, or should be known, a sentence each.
    fn remarks(&self) -> Vec<String> {
        let dormant = self.dormant.iter().map(|why| format!("dormant: {why}"));
        let warnings = self.details.iter().flat_map(|details| &details.warnings).map(|text| format!("warning: {text}"));
        self.error.iter().cloned().chain(dormant).chain(warnings).collect()
    }

    fn row(&self) -> [String; 7] {
        let state = match (self.state, self.ok) {
            (State::Dormant, _) => "dormant",
            (_, true) => "ok",
            (_, false) => "FAILS",
        };
        let cells = |details: &Details| {
            let Checkup { put, get, evict, durability, .. } = &details.checkup;
            let survives = durability.map_or("nothing", Durability::as_str).to_owned();
            let server = details.server.clone().unwrap_or_default();
            [survives, format_duration(*put), format_duration(*get), format_duration(*evict), server]
        };
        let [survives, put, get, evict, server] = self.details.as_ref().map(cells).unwrap_or_default();
        [self.name.clone(), state.to_owned(), survives, put, get, evict, server]
    }
}

const HEAD: [&str; 7] = ["CONNECTOR", "STATE", "SURVIVES", "PUT", "GET", "EVICT", "SERVER"];

/// A line a connector; then what is wrong or should be known, a line each.
fn table(setup: &Setup, findings: &[Finding]) -> String {
    let from = plain(&setup.origin.to_string());
    if findings.is_empty() {
        return format!("# from {from}\nThe config has no connectors.\n");
    }
    let rows = std::iter::once(HEAD.map(str::to_owned)).chain(findings.iter().map(Finding::row)).collect::<Vec<_>>();
    let named = |finding: &Finding| {
        // The name stands on the first.
        let names = std::iter::once(finding.name.clone()).chain(std::iter::repeat(String::new()));
        names.zip(finding.remarks()).collect::<Vec<_>>()
    };
    let remarks = output::notes(&findings.iter().flat_map(named).collect::<Vec<_>>());
    let gap = if remarks.is_empty() { "" } else { "\n" };
    let asleep = findings.iter().all(|finding| finding.state == State::Dormant);
    let note = if asleep { "No connector is active on this host: every put fails.\n" } else { "" };
    format!("# from {from}\n{}{gap}{remarks}{note}", output::grid(&rows))
}
