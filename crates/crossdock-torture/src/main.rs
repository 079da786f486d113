//! Proves what crossdock promises, by attempting what could break it, a counted number of times.
//!
//! `crossdock-torture [--full] [--only NAME]... [--seed N]` prints one table, and fails if anything was found. Each
//! hazard is a file of its own in `hazards`, runs in a process of its own, and tells there what it does.

mod hazards;
mod object;
mod parent;
mod rng;
mod roles;
mod run;
mod seccomp;
mod strace;
mod survey;
mod system;
mod table;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use parent::Plan;
use run::Outcome;

const USAGE: &str = "usage: crossdock-torture [--full] [--only NAME]... [--seed N] [--count N] [--list]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == "--role" => roles::play(rest).map(|()| true),
        _ => torture(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("crossdock-torture: {why}");
            ExitCode::from(2)
        }
    }
}

fn torture(arguments: &[String]) -> Outcome<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let strict = std::env::var_os("CI").is_some();
    let mut plan = Plan { full: false, seed: now, strict, count: None };
    let mut only: Vec<&str> = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value; {USAGE}"));
        match argument.as_str() {
            "--full" => plan.full = true,
            "--only" => only.push(value()?),
            "--seed" => plan.seed = value()?.parse()?,
            "--count" => plan.count = Some(value()?.parse()?),
            "--list" => {
                hazards::ALL.iter().for_each(|hazard| println!("{}", hazard.name));
                return Ok(true);
            }
            "--help" => {
                println!("{USAGE}");
                return Ok(true);
            }
            other => return Err(format!("unknown argument {other:?}; {USAGE}").into()),
        }
    }
    if let Some(unknown) = only.iter().find(|name| hazards::named(name).is_none()) {
        return Err(format!("there is no hazard {unknown:?}; --list names them all").into());
    }
    system::note_interrupts();
    println!("seed {} (--seed {} does the same again)", plan.seed, plan.seed);
    let chosen = hazards::ALL.iter().filter(|hazard| only.is_empty() || only.contains(&hazard.name));
    let rows: Vec<table::Row> = chosen.map(|hazard| parent::run(hazard, &plan)).collect();
    Ok(table::print(&rows))
}
