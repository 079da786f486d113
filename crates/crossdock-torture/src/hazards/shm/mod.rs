//! Shared memory.

pub(super) mod full;
pub(super) mod kill;
pub(super) mod readers;
pub(super) mod views;

use std::fs;
use std::path::{Path, PathBuf};

use crossdock::connectors::{ShmConnector, ShmOptions};

use crate::object;
use crate::rng::Rng;
use crate::run::{Outcome, Run};

pub(crate) use kill::produce;
pub(crate) use views::hold;

/// What stands in front of an object's bytes.
const HEADER: usize = 64;
/// From this size on, in bytes, memory is used again.
const KEPT: usize = 16 << 10;

/// A directory in memory.
struct Memory(tempfile::TempDir);

impl Memory {
    fn new() -> Outcome<Self> {
        Ok(Self(tempfile::Builder::new().prefix("crossdock-torture-").tempdir_in("/dev/shm")?))
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("objects")
    }

    fn open(&self) -> Outcome<ShmConnector> {
        Ok(ShmConnector::open(&ShmOptions::in_dir(self.dir()))?)
    }
}

/// A size on either side of the bounds: read or mapped, new or used memory.
fn some_size(rng: &mut Rng) -> usize {
    match rng.below(4) {
        0 => rng.below(KEPT),
        1 => 128 * 1024 + rng.below(200_000),
        _ => KEPT + rng.below(50_000),
    }
    .max(object::MIN)
}

fn names(dir: &Path) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().into_string().map_err(|name| format!("{name:?} is not UTF-8"))?);
    }
    Ok(names)
}

/// Looks at every file, without crossdock: there is nothing but whole objects, and nothing that belongs to a process. How many
/// objects there are.
fn check_whole(run: &mut Run, dir: &Path, when: &str) -> Outcome<usize> {
    let mut objects = 0;
    for name in names(dir)? {
        if name == ".crossdock" {
            let left = names(&dir.join(name))?;
            run.check(left.is_empty(), || format!("{when}: {left:?} are left"));
            continue;
        }
        let bytes = fs::read(dir.join(&name))?;
        let is_whole = bytes.get(HEADER..).is_some_and(|object| object::seed_of(object).is_some());
        run.check(is_whole, || format!("{when}: {name} is torn ({} bytes)", bytes.len()));
        objects += 1;
    }
    Ok(objects)
}
