//! `crossdock config check`

use std::collections::HashMap;
use std::sync::Arc;

use clap::Args;
use crossdock::config::Entry;
use crossdock::{Error, MultiConnector};
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
    let checked: HashMap<Arc<str>, Result<(), Error>> = multi.check_each().into_iter().collect();
    let entries = setup.config.entries().iter();
    entries.map(|entry| finding(entry, unknown.contains(&entry), checked.get(&entry.name))).collect()
}

fn finding(entry: &Entry, is_unknown: bool, checked: Option<&Result<(), Error>>) -> Finding {
    let (state, error, exit) = match checked {
        _ if is_unknown => {
            let class = &entry.connector.type_name;
            let error = format!("this program knows no connector class {class:?}; open it from Python");
            (State::Unknown, Some(error), Exit::Wrong)
        }
        None => (State::Dormant, None, Exit::Done),
        Some(Ok(())) => (State::Active, None, Exit::Done),
        Some(Err(error)) => (State::Active, Some(error.message().to_owned()), error.kind().into()),
    };
    // A connector that says "no" cannot be used either.
    let exit = if exit == Exit::No { Exit::Unavailable } else { exit };
    Finding { name: entry.name.to_string(), state, ok: error.is_none(), error, exit }
}

fn table(setup: &Setup, findings: &[Finding]) -> String {
    let rows: Vec<(String, String)> = findings.iter().map(|finding| (finding.name.clone(), said(finding))).collect();
    let from = plain(&setup.origin.to_string());
    if rows.is_empty() {
        return format!("# from {from}\nThe config has no connectors.\n");
    }
    format!("# from {from}\n{}", output::columns(&rows))
}

fn said(finding: &Finding) -> String {
    match (&finding.error, finding.state) {
        (Some(error), _) => error.clone(),
        (None, State::Dormant) => "dormant on this host".to_owned(),
        (None, _) => "ok".to_owned(),
    }
}
