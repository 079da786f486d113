//! `crossdock explain`

use clap::Args;
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
written, so a connector that accepts may still be out of order: see `crossdock config check`.

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
    let multi = Setup::load(globals)?.connect_as(hostname)?;
    let explanation = multi.explain(arguments.size, &arguments.tags.options());
    match globals.format {
        Format::Text => output::print(&table(&explanation))?,
        Format::Json => output::json(&explanation)?,
    }
    Ok(if explanation.route.is_some() { Exit::Done } else { Exit::No })
}

fn table(explanation: &Explanation) -> String {
    let route = explanation.route.as_deref().map_or_else(|| "none".to_owned(), plain);
    let rows: Vec<(String, String)> = explanation.verdicts.iter().flat_map(rows).collect();
    if rows.is_empty() {
        return format!("route: {route}\n\nThe config has no connectors.\n");
    }
    format!("route: {route}\n\n{}", output::columns(&rows))
}

/// A line for each reason; the name stands on the first.
fn rows(verdict: &Verdict) -> Vec<(String, String)> {
    let said: Vec<String> = match verdict.accepts {
        true => vec!["accepts".to_owned()],
        false => verdict.reasons.iter().map(ToString::to_string).collect(),
    };
    let names = std::iter::once(verdict.connector.to_string()).chain(std::iter::repeat(String::new()));
    names.zip(said).collect()
}
