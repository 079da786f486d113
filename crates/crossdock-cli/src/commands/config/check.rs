//! `crossdock config check`

use clap::Args;
use serde_json::json;

use crate::commands::check::{self, Finding, State};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::output::{self, Format, plain};
use crate::setup::Setup;

const AFTER_HELP: &str = "\
Every connector that is active on this host is opened and tested with an object of a few bytes. Dormant connectors, \
whose host pattern does not match this host, are only listed. `crossdock check` says more of each: server, durability, latency.

Examples:
  crossdock config check --config crossdock.toml
  CROSSDOCK_HOSTNAME=nid0042 crossdock config check

Exit codes:
  0  all is well
  2  the config is wrong, or names classes that only Python can open
  3  a connector or the output fails";

/// Read the config, and say in a line each whether its connectors work
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {}

pub(crate) fn run(globals: &Globals) -> Result<Exit, Failure> {
    let setup = Setup::load(globals)?;
    let findings: Vec<Finding> = check::findings(&setup)?.into_iter().map(Finding::in_short).collect();
    match globals.format {
        Format::Text => output::print(&table(&setup, &findings))?,
        Format::Json => output::json(&json!({"connectors": findings}))?,
    }
    Ok(check::exit(&findings))
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
