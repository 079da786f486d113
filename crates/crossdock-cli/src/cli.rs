//! The command line: what may be said, and who does it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::commands::{check, completions, config, evict, exists, explain, gc, get, put};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::output::{self, Format};

const AFTER_HELP: &str = "\
Examples:
  key=$(crossdock put results.npy)       store a file; the key is all that a reader needs
  crossdock get \"$key\" -o copy.npy       read it, on any host with the same config
  make-data | crossdock put - | ssh host2 crossdock get - > data
  crossdock explain --size 3MB --host nid0042
  crossdock check

Exit codes:
  0  done, or the answer is yes
  1  no such object, or no connector takes the object
  2  wrong use, key or config: the same call fails again
  3  a connector, an object or the output cannot be used now

Environment:
  CROSSDOCK_CONFIG    the config file, where --config names none
  CROSSDOCK_HOME      the directory of the embedded default, which is used where there is no config
                      (default: $XDG_DATA_HOME/crossdock, else ~/.local/share/crossdock)
  CROSSDOCK_HOSTNAME  the name of this host, as host patterns see it (default: the system's)";

/// Moves byte objects between tasks, processes and hosts through the channel that a policy picks
#[derive(Debug, Parser)]
#[command(name = "crossdock", version, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Put(put::Arguments),
    Get(get::Arguments),
    Exists(exists::Arguments),
    Evict(evict::Arguments),
    Explain(explain::Arguments),
    Check(check::Arguments),
    Gc(gc::Arguments),
    #[command(subcommand)]
    Config(config::Command),
    Completions(completions::Arguments),
}

/// Does what the arguments say and turns the outcome into an exit code.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let in_json = asks_for_json(&arguments);
    let outcome = match Cli::try_parse_from(arguments) {
        Ok(Cli { globals, command }) => (globals.format, dispatch(&globals, &command)),
        Err(refused) => (if in_json { Format::Json } else { Format::Text }, not_a_command(&refused, in_json)),
    };
    match outcome {
        (_, Ok(exit)) => exit.into(),
        (format, Err(failure)) => {
            output::fail(format, &failure);
            failure.exit().into()
        }
    }
}

fn dispatch(globals: &Globals, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Put(arguments) => put::run(globals, arguments),
        Command::Get(arguments) => get::run(globals, arguments),
        Command::Exists(arguments) => exists::run(globals, arguments),
        Command::Evict(arguments) => evict::run(globals, arguments),
        Command::Explain(arguments) => explain::run(globals, arguments),
        Command::Check(check::Arguments {}) => check::run(globals),
        Command::Gc(arguments) => gc::run(globals, arguments),
        Command::Config(command) => config::run(globals, command),
        Command::Completions(arguments) => completions::run::<Cli>(arguments),
    }
}

/// Help and the version are no failures; anything else that clap says is.
fn not_a_command(said: &clap::Error, in_json: bool) -> Result<Exit, Failure> {
    match said.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::unless_closed(said.print()).map_err(|cause| output::stdout_failure(&cause))?;
            Ok(Exit::Done)
        }
        _ if in_json => Err(Failure::usage(first_sentence(&said.render().to_string()))),
        _ => {
            // Where standard error does not work either, the exit code must do.
            let _ = said.print();
            Ok(Exit::Wrong)
        }
    }
}

fn first_sentence(rendered: &str) -> String {
    let first = rendered.split("\n\n").next().unwrap_or(rendered);
    let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}

/// Needed where the arguments could not be parsed.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let joined = arguments.iter().any(|argument| argument == "--format=json");
    joined || arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
