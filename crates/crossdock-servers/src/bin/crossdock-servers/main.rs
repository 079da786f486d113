//! Starts servers for tests that are not in Rust, and obeys one-line commands.

mod cli;
mod describe;
mod obey;
mod proxied;
mod started;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use clap::Parser;
use crossdock_servers::{Error, Result};
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::started::Started;

/// A program is not installed: the tests that need it are to be skipped.
const MISSING: u8 = 3;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if matches!(error, Error::Missing(_)) { MISSING.into() } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let started = Started::start(cli)?;
    let said = say(&started.describe()?).and_then(|()| serve(&started));
    // Whoever reads the answers has gone: the same as the end of the commands.
    drop(said);
    Ok(())
}

/// Until standard input ends, and with it the servers.
fn serve(started: &Started) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match started.obey(&line.split_whitespace().collect::<Vec<_>>()) {
            Ok(mut answer) => {
                answer.insert("ok".to_owned(), true.into());
                Value::Object(answer)
            }
            Err(error) => json!({"ok": false, "error": error.to_string()}),
        };
        say(&answer)?;
    }
    Ok(())
}

fn say(line: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
