//! `crossdock exists`

use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::keys;
use crate::output::{self, Format};
use crate::setup;

const AFTER_HELP: &str = "\
Examples:
  crossdock exists \"$key\" && echo still there
  crossdock exists - < keys.txt

Exit codes:
  0  all are there
  1  one or more are missing
  2  wrong use, key or config
  3  a connector or the output fails";

/// Print true or false for each key: whether its object is there
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// A key as put printed it, or - for the lines of standard input
    #[arg(required = true, value_name = "KEY|-")]
    keys: Vec<String>,
}

pub(crate) fn run(globals: &Globals, arguments: &Arguments) -> Result<Exit, Failure> {
    let multi = setup::connect(globals)?;
    let mut all = true;
    for key in keys::read_all(&arguments.keys)? {
        let exists = multi.exists(&key)?;
        all &= exists;
        match globals.format {
            Format::Text => output::line(if exists { "true" } else { "false" })?,
            Format::Json => output::json(&json!({"key": key.to_string(), "exists": exists}))?,
        }
    }
    Ok(if all { Exit::Done } else { Exit::No })
}
