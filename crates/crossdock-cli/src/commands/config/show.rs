//! `crossdock config show`

use clap::Args;
use crossdock::config::Format as ConfigFormat;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::output::{self, Format, plain};
use crate::setup::Setup;

const AFTER_HELP: &str = "\
References such as ${env:NAME} are shown as they are written, never what they stand for.

Examples:
  crossdock config show
  crossdock config show --format json

Exit codes:
  0  done
  2  wrong use or config
  3  the output fails";

/// Print the config in effect, without what is as by default
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {}

pub(crate) fn run(globals: &Globals) -> Result<Exit, Failure> {
    let setup = Setup::load(globals)?;
    let config = setup.canonical()?;
    let text = match globals.format {
        Format::Text => {
            let from = plain(&setup.origin.to_string());
            format!("# from {from}\n{}", config.to_text(ConfigFormat::Toml)?)
        }
        Format::Json => config.to_text(ConfigFormat::Json)?,
    };
    output::print(&text)?;
    Ok(Exit::Done)
}
