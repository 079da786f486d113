//! `crossdock evict`

use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::keys;
use crate::output::{self, Format};
use crate::setup;

const AFTER_HELP: &str = "\
An object that is not there counts as removed. All keys are read before the first object is removed.

Examples:
  crossdock evict \"$key\"
  crossdock evict - < keys.txt

Exit codes:
  0  none of them is there any more
  2  wrong use, key or config
  3  a connector or the output fails";

/// Remove objects
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// A key as put printed it, or - for the lines of standard input
    #[arg(required = true, value_name = "KEY|-")]
    keys: Vec<String>,
}

pub(crate) fn run(globals: &Globals, arguments: &Arguments) -> Result<Exit, Failure> {
    let multi = setup::connect(globals)?;
    for key in keys::read_all(&arguments.keys)? {
        multi.evict(&key)?;
        if globals.format == Format::Json {
            output::json(&json!({"key": key.to_string(), "evicted": true}))?;
        }
    }
    Ok(Exit::Done)
}
