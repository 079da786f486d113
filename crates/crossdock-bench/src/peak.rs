//! By how much the memory of a process rises, at its peak, over one put or one get: in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};
use crossdock::connectors::{FileConnector, FileOptions, ShmConnector, ShmOptions};
use crossdock::{Connector, ConnectorExt, Key};
use crossdock_bench::{Outcome, Row, Target, Unit, as_size, field};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::redis;

const NAME: &str = "Peak memory";
/// The smallest page that machines have, in bytes.
const PAGE: usize = 4096;

/// What keeps the object.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    File,
    Shm,
    Redis,
}

impl Kind {
    fn what(self) -> &'static str {
        match self {
            Self::File => "files on tmpfs",
            Self::Shm => "shared memory",
            Self::Redis => "Redis",
        }
    }

    /// In sizes of the object, with the object itself.
    fn target(self) -> f64 {
        if self == Self::Redis { 1.1 } else { 1.05 }
    }

    fn open(self, place: &Path) -> Outcome<Box<dyn Connector>> {
        Ok(match self {
            Self::File => Box::new(FileConnector::open(&FileOptions::new(place))?),
            Self::Shm => Box::new(ShmConnector::open(&ShmOptions::in_dir(place))?),
            Self::Redis => Box::new(redis::connector(place.to_string_lossy().parse()?)?),
        })
    }
}

/// What is kept on tmpfs.
pub(crate) fn measure(bench: &mut Bench, place: &Path) -> Outcome {
    let dir = tempfile::Builder::new().prefix("crossdock-bench-").tempdir_in(place)?;
    for kind in [Kind::File, Kind::Shm] {
        let place = dir.path().join(kind.what());
        measure_one(bench, kind, &place)?;
        // Whatever is there is only in the way of the next one.
        fs::remove_dir_all(place)?;
    }
    Ok(())
}

/// What a server keeps.
pub(crate) fn measure_redis(bench: &mut Bench) -> Outcome {
    let server = redis::server()?;
    measure_one(bench, Kind::Redis, Path::new(&server.address().port().to_string()))
}

fn measure_one(bench: &mut Bench, kind: Kind, place: &Path) -> Outcome {
    let size = bench.plan.peak;
    // A server has an object twice while it comes in.
    let wanted = if kind == Kind::Redis { 5 * size } else { 3 * size };
    if !bench.has_memory(&format!("{NAME}, {}", kind.what()), wanted) {
        return Ok(());
    }
    let child = |work: Work, subject: String| -> Outcome<Told> {
        ask_child(&Peak { kind, work, place: place.to_owned(), subject }.arguments())
    };
    let put = child(Work::Put, size.to_string())?;
    let got = child(Work::Get, put.key.clone())?;
    for (work, bytes) in [("put", put.bytes), ("get", got.bytes)] {
        let what = format!("{work}, {}, {}", as_size(size), kind.what());
        let target = Some(Target::AtMost(kind.target()));
        let row = Row::new(NAME, what, "the object itself", &[size as f64], &[bytes as f64], target);
        bench.report.rows.push(Row { unit: Unit::Bytes, ..row });
    }
    Ok(())
}

/// What the process is told.
#[derive(Args, Clone)]
pub(crate) struct Peak {
    kind: Kind,
    work: Work,
    /// A directory, or the port of a server.
    place: PathBuf,
    /// The size in bytes to put, or the key to get.
    subject: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    Put,
    Get,
}

/// What it says.
#[derive(Serialize, Deserialize)]
struct Told {
    bytes: u64,
    key: String,
}

impl Peak {
    fn arguments(&self) -> Vec<String> {
        let word =
            |value: Option<clap::builder::PossibleValue>| value.map_or(String::new(), |it| it.get_name().to_owned());
        let (kind, work) = (word(self.kind.to_possible_value()), word(self.work.to_possible_value()));
        vec!["peak".to_owned(), kind, work, self.place.to_string_lossy().into_owned(), self.subject.clone()]
    }

    /// In the process of its own.
    pub(crate) fn run(&self) -> Outcome {
        let connector = self.kind.open(&self.place)?;
        // What the first call sets up is not the object's.
        let small = connector.put_bytes("small")?;
        connector.get_bytes(&small)?;
        connector.evict(&small)?;
        let before = memory("VmRSS")?;
        let key = match self.work {
            // Not zeros, whose pages would not be there until they are touched.
            Work::Put => connector.put_bytes(vec![7; self.subject.parse()?])?,
            Work::Get => {
                let key: Key = self.subject.parse()?;
                let object = connector.get_bytes(&key)?.ok_or("the object is not there")?;
                // A map has no pages until they are looked at.
                let sum: u64 = object.iter().step_by(PAGE).map(|byte| u64::from(*byte)).sum();
                std::hint::black_box(sum);
                key
            }
        };
        let told = Told { bytes: memory("VmHWM")?.saturating_sub(before), key: key.to_string() };
        println!("{}", serde_json::to_string(&told)?);
        Ok(())
    }
}

fn memory(name: &str) -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(field(&status, name).ok_or_else(|| format!("/proc/self/status says no {name}"))?)
}

/// Runs this program again with other arguments, and reads the one line that it says.
pub(crate) fn ask_child<T: DeserializeOwned>(arguments: &[String]) -> Outcome<T> {
    let run = Command::new(std::env::current_exe()?).args(arguments).output()?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        let what = arguments.first().map_or("child", String::as_str);
        return Err(format!("the process of its own ({what}) ended with {}: {}", run.status, said.trim()).into());
    }
    Ok(serde_json::from_slice(&run.stdout)?)
}
