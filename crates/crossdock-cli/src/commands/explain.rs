//! `crossdock explain`

use clap::Args;
use crossdock::config::format_size;
use crossdock::{Explanation, Hostname, Verdict};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::output::{self, Format, plain};
use crate::parse;
use crate::placement::Tags;
use crate::setup::Setup;

const AFTER_HELP: &str = "\
Connectors are listed in the order in which they are asked; the first that accepts is the route. Nothing is opened or \
written, so a connector that accepts may still be out of order: see `crossdock check`. A nested multi-connector \
counts as one; its own policies are asked by the put only.

Examples:
  crossdock explain --size 3MB
  crossdock explain --size 64MiB --subset-tag checkpoint --host nid0042 --format json

Exit codes:
  0  there is a route
  1  there is none
  2  wrong use or config";

const HOST_HELP: &str = "Answer as if this host were called so [default: $CROSSDOCK_HOSTNAME, else the system's name]";

/// Say where an object would go, and why
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The object's size, such as 1000, 3MB or "64 MiB" [default: any; sizes are not checked]
    #[arg(long, value_parser = parse::size, allow_negative_numbers = true)]
    size: Option<u64>,
    #[command(flatten)]
    tags: Tags,
    #[arg(long, value_name = "NAME", help = HOST_HELP)]
    host: Option<String>,
}

pub(crate) fn run(globals: &Globals, arguments: &Arguments) -> Result<Exit, Failure> {
    let hostname = arguments.host.clone().map_or_else(Hostname::from_environment, Hostname::Fixed);
    let asked = asked(arguments.size, &hostname);
    let setup = Setup::load(globals)?;
    let explanation = setup.connect_as(hostname)?.explain(arguments.size, &arguments.tags.options());
    match globals.format {
        Format::Text => output::print(&table(&explanation, &setup, &asked))?,
        Format::Json => output::json(&explanation)?,
    }
    Ok(if explanation.route.is_some() { Exit::Done } else { Exit::No })
}

/// What the answer is about: the host may have come from the environment.
fn asked(size: Option<u64>, hostname: &Hostname) -> String {
    let size = size.map_or_else(|| "an object of any size".to_owned(), format_size);
    format!("{size} on host {}", plain(&hostname.get()))
}

fn table(explanation: &Explanation, setup: &Setup, asked: &str) -> String {
    let route = explanation.route.as_deref().map_or_else(|| "none".to_owned(), plain);
    let rows: Vec<(String, String)> =
        explanation.verdicts.iter().flat_map(|verdict| rows(verdict, explanation, setup)).collect();
    if rows.is_empty() {
        return format!("route: {route} ({asked})\n\nThe config has no connectors.\n");
    }
    format!("route: {route} ({asked})\n\n{}", output::columns(&rows))
}

/// What becomes of a put whose connector is out of order.
fn if_it_fails(name: &str, explanation: &Explanation, setup: &Setup) -> String {
    let falls_back = setup.config.get(name).is_some_and(|entry| entry.policy.fallback());
    let mut others = explanation.verdicts.iter().filter(|verdict| verdict.accepts && &*verdict.connector != name);
    match others.next().filter(|_| falls_back) {
        Some(next) => format!("if it cannot be used, the object goes to {}", plain(&next.connector)),
        None => "if it cannot be used, the put fails".to_owned(),
    }
}

/// A line for each reason; the name stands on the first.
fn rows(verdict: &Verdict, explanation: &Explanation, setup: &Setup) -> Vec<(String, String)> {
    let is_route = explanation.route.as_ref() == Some(&verdict.connector);
    let said: Vec<String> = match verdict.accepts {
        true if is_route => vec![format!("accepts; {}", if_it_fails(&verdict.connector, explanation, setup))],
        true => vec!["accepts".to_owned()],
        false => verdict.reasons.iter().map(ToString::to_string).collect(),
    };
    let names = std::iter::once(verdict.connector.to_string()).chain(std::iter::repeat(String::new()));
    names.zip(said).collect()
}
