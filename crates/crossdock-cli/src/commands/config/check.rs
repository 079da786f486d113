//! `crossdock config check`

use std::collections::HashMap;
use std::sync::Arc;

use clap::Args;
use crossdock::config::Entry;
use crossdock::{Checkup, Error, MultiConnector, PutOptions, Reason};
use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::output::{self, Format, plain};
use crate::setup::Setup;

const AFTER_HELP: &str = "\
Every connector that is active on this host is opened and tested with an object of a few bytes. Dormant connectors, \
whose host pattern does not match this host, are only listed.

Examples:
  crossdock config check --config crossdock.toml
  CROSSDOCK_HOSTNAME=nid0042 crossdock config check

Exit codes:
  0  all is well
  2  the config is wrong, or names classes that only Python can open
  3  a connector or the output fails";

/// Read the config, and open and test its connectors
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
    #[serde(skip)]
    exit: Exit,
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
        Format::Text => output::print(&table(&setup, &findings))?,
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
    Finding { name: entry.name.to_string(), state, ok: error.is_none(), error, dormant: None, exit }
}

fn table(setup: &Setup, findings: &[Finding]) -> String {
    let rows: Vec<(String, String)> = findings.iter().map(|finding| (finding.name.clone(), said(finding))).collect();
    let from = plain(&setup.origin.to_string());
    if rows.is_empty() {
        return format!("# from {from}\nThe config has no connectors.\n");
    }
    let asleep = findings.iter().all(|finding| finding.state == State::Dormant);
    let note = if asleep { "No connector is active on this host: every put fails.\n" } else { "" };
    format!("# from {from}\n{}{note}", output::columns(&rows))
}

fn said(finding: &Finding) -> String {
    match (&finding.error, finding.state) {
        (Some(error), _) => error.clone(),
        (None, State::Dormant) => match &finding.dormant {
            Some(why) => format!("dormant: {why}"),
            None => "dormant on this host".to_owned(),
        },
        (None, _) => "ok".to_owned(),
    }
}
