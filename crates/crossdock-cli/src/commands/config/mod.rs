//! `crossdock config`

mod check;
mod convert;
mod schema;
mod show;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;

const AFTER_HELP: &str = "\
A config, for example crossdock.toml:

  [connectors.fast]
  type = \"file\"
  dir = \"/dev/shm/my-run-${env:USER}\"
  policy = { max_size_bytes = \"64 MiB\", host_pattern = 'nid\\d+', priority = 10 }

  [connectors.cache]
  type = \"redis\"
  url = \"redis://:${env:REDIS_PASSWORD}@cache.example:6379/0\"
  policy = { max_size_bytes = \"1 MiB\", priority = 5, fallback = true }

  [connectors.shared]
  type = \"file\"
  dir = \"${env:SCRATCH}/objects\"

`crossdock config schema` tells every option of every type, with units, ranges and defaults.

Exit codes:
  0  done
  2  wrong use or config
  3  a connector or the output fails";

/// Check, show and convert the config
#[derive(Debug, Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Command {
    Check(check::Arguments),
    Show(show::Arguments),
    Convert(convert::Arguments),
    Schema(schema::Arguments),
}

pub(crate) fn run(globals: &Globals, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Check(check::Arguments {}) => check::run(globals),
        Command::Show(show::Arguments {}) => show::run(globals),
        Command::Convert(arguments) => convert::run(globals, arguments),
        Command::Schema(schema::Arguments {}) => schema::run(),
    }
}
