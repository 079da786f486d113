//! Every connector beside what else a Rust program could use for the same, and beside its targets: in one run, in turn.

mod bench;
mod files;
mod memory;
mod network;
mod peak;
mod redis;
mod rivals;
mod routing;
mod s3;
mod shm;
mod threads;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use clap::{Parser, Subcommand, ValueEnum};
use crossdock_bench::{Outcome, locked_version, print};

use crate::bench::{Bench, Plan};
use crate::rivals::{ABSENT, RIVALS};

/// Where there is memory that looks like files.
const MEMORY: &str = "/dev/shm";

/// Times every connector beside other crates and beside bare system calls, in turn, and holds it against its targets.
///
/// A missed target is told first and is no failure.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// A first impression: fewer sizes, rounds and calls (half a minute).
    #[arg(long, conflicts_with = "full")]
    short: bool,
    /// All sizes, up to 1 GB where no disk is in between (five minutes); what is done without --short, too.
    #[arg(long)]
    full: bool,
    /// Also writes all figures to this file, as JSON.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Only these parts, with commas between.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Routing,
    Memory,
    Files,
    Shm,
    Redis,
    S3,
    Threads,
    Peak,
}

/// What this program does in processes of its own.
#[derive(Subcommand)]
enum Child {
    /// Times gets from shared memory.
    #[command(hide = true)]
    Reader(shm::Reader),
    /// Takes the peak of its memory over a put or a get.
    #[command(hide = true)]
    Peak(peak::Peak),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.child {
        None => run(&arguments),
        Some(Child::Reader(reader)) => reader.run(),
        Some(Child::Peak(peak)) => peak.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    let begin = Instant::now();
    let mut bench = Bench::new(if arguments.short { Plan::SHORT } else { Plan::FULL });
    for package in ["crossdock", "tokio"] {
        bench.report.versions.extend(locked_version(package).map(|version| (package.to_owned(), version.to_owned())));
    }
    for (name, package) in RIVALS {
        match ABSENT {
            Some(why) => bench.absent(name, why),
            None => bench.report.versions.extend(locked_version(package).map(|it| (name.to_owned(), it.to_owned()))),
        }
    }
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let is_apart = wants(Part::S3) && arguments.only != [Part::S3];
    measure(&mut bench, &|part| wants(part) && !(is_apart && part == Part::S3));
    let form = if arguments.short { "--short" } else { "--full" };
    let found = is_apart.then(|| network::apart(&["--only", "s3", form]));
    bench.report.seconds = begin.elapsed().as_secs_f64();
    if let Some(Err(why)) = &found {
        bench.absent("S3", &why.to_string());
    }
    let mut report = serde_json::to_value(&bench.report)?;
    if let Some(Ok(found)) = found {
        network::add(&mut report, found);
    }
    // Whoever closes the pipe of the table early has the figures all the same.
    if let Some(path) = &arguments.json {
        fs::write(path, report.to_string() + "\n").map_err(|why| format!("{}: {why}", path.display()))?;
    }
    print(&bench.report);
    Ok(())
}

fn measure(bench: &mut Bench, wants: &dyn Fn(Part) -> bool) {
    let memory = Path::new(MEMORY);
    if wants(Part::Routing) {
        bench.channel("Routing", routing::measure);
    }
    if wants(Part::Memory) {
        bench.channel("Memory", memory::measure);
    }
    if wants(Part::Files) {
        bench.channel("Files on tmpfs", |bench| files::measure(bench, "Files on tmpfs", memory, true));
        bench.channel("Files on the disk", |bench| files::measure(bench, "Files on the disk", &on_disk()?, false));
    }
    if wants(Part::Shm) {
        bench.channel("Shared memory", |bench| shm::measure(bench, memory));
    }
    if wants(Part::Redis) {
        bench.channel("Redis", redis::measure);
    }
    if wants(Part::S3) {
        bench.channel("S3", s3::measure);
    }
    if wants(Part::Threads) {
        bench.channel("Threads", |bench| threads::measure(bench, memory));
    }
    if wants(Part::Peak) {
        bench.channel("Peak memory", |bench| peak::measure(bench, memory));
        bench.channel("Peak memory, Redis", peak::measure_redis);
    }
}

/// The directory of this program, which is below `target`.
fn on_disk() -> Outcome<PathBuf> {
    let program = env::current_exe()?;
    Ok(program.parent().ok_or("this program is in no directory")?.to_owned())
}
