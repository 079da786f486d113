//! `crossdock config schema`

use clap::Args;
use crossdock::Registry;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

const AFTER_HELP: &str = "\
Example:
  crossdock config schema > crossdock.schema.json

Exit codes:
  0  done
  2  wrong use
  3  the output fails";

/// Print the JSON Schema of configs, for editors and validators
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {}

pub(crate) fn run() -> Result<Exit, Failure> {
    output::line(&format!("{:#}", Registry::builtin().json_schema()))?;
    Ok(Exit::Done)
}
