//! The command-line tool of crossdock: `crossdock put`, `get`, `exists`, `evict`, `explain`, `check`, `gc`, `config`.

// They panic on a closed pipe; `output` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;
mod destination;
mod exit;
mod failure;
mod globals;
mod input;
mod keys;
mod output;
mod parse;
mod placement;
mod progress;
mod setup;

fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os().collect())
}
