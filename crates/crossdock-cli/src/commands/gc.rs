//! `crossdock gc`

use std::time::Duration;

use clap::Args;
use crossdock::config::format_size;
use crossdock::{Error, ErrorKind, GcOptions, GcReport};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::output::{self, Format};
use crate::parse;
use crate::setup::Setup;

const AFTER_HELP: &str = "\
Leftovers are parts of objects: what a put or an evict was writing or removing when it was killed. Objects are never \
touched, and nothing that does not carry the names that crossdock and ProxyStore give.

Examples:
  crossdock gc --dry-run
  crossdock gc --min-age 10m

Exit codes:
  0  done
  2  wrong use or config
  3  a connector fails; the others were visited all the same";

/// Remove what killed processes left behind
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Leave what is younger, as somebody may still be writing it: 30s, 10m, 1h, 2d, or 0
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse::duration)]
    min_age: Duration,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(globals: &Globals, arguments: &Arguments) -> Result<Exit, Failure> {
    let setup = Setup::load(globals)?;
    let multi = setup.connect()?;
    // What only Python can open, only Python can collect.
    let unknown: Vec<&str> = setup.registry.unknown_classes(&setup.config).iter().map(|entry| &*entry.name).collect();
    let options = GcOptions::default().min_age(arguments.min_age).dry_run(arguments.dry_run);
    let (mut sum, mut failed) = (GcReport::default(), None);
    for (name, outcome) in multi.gc_each(&options) {
        match outcome {
            Err(error) if unknown.contains(&&*name) => output::warn(globals.format, &error.to_string()),
            Ok(report) => sum += report,
            Err(error) => failed = Some(failed.map_or(error.to_string(), |first| format!("{first}; {error}"))),
        }
    }
    match globals.format {
        Format::Text => output::line(&sentence(&sum, arguments.dry_run))?,
        Format::Json => output::json(&sum)?,
    }
    match failed {
        None => Ok(Exit::Done),
        Some(said) => Err(Error::new(ErrorKind::Unavailable, said).into()),
    }
}

fn sentence(report: &GcReport, dry_run: bool) -> String {
    let GcReport { removed, bytes, kept, .. } = *report;
    let (did, left) = if dry_run { ("would remove", "leave") } else { ("removed", "left") };
    let noun = if removed == 1 { "leftover" } else { "leftovers" };
    format!("{did} {removed} {noun} ({}), {left} {kept} that may still be in use", format_size(bytes))
}
