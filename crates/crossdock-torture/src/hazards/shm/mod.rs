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

/// What stands in front of an object's bytes in a file of its own.
const HEADER: usize = 64;
/// Where the table of a slab begins.
const TABLE: usize = 512;
/// Up to this size, in bytes, objects are in slabs, and copied when they are read; larger ones are mapped.
const SMALL: usize = 128 << 10;

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

/// A size on either side of the bounds: in a slab of few or many slots, or in a file of its own.
fn some_size(rng: &mut Rng) -> usize {
    match rng.below(6) {
        0 => rng.below(300),
        1 => rng.below(4_000),
        2 => rng.below(16 << 10),
        3 => 16_384 + rng.below(50_000),
        _ => SMALL - 2_000 + rng.below(200_000),
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
            for name in names(&dir.join(&name))? {
                objects += check_slab(run, &dir.join(".crossdock").join(&name), when)?;
            }
            continue;
        }
        let bytes = fs::read(dir.join(&name))?;
        let is_whole = bytes.get(HEADER..).is_some_and(|object| object::seed_of(object).is_some());
        run.check(is_whole, || format!("{when}: {name} is torn ({} bytes)", bytes.len()));
        objects += 1;
    }
    Ok(objects)
}

/// How many objects are in a slab. One that has none, or is none, should not be left.
fn check_slab(run: &mut Run, path: &Path, when: &str) -> Outcome<usize> {
    let bytes = fs::read(path)?;
    let word = |at: usize| -> usize {
        let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        u64::from_le_bytes(bytes) as usize
    };
    let (size, slots) = (word(24), word(32));
    let start = (TABLE + 8 * slots).next_multiple_of(4096);
    let live: Vec<usize> = (0..slots).filter(|slot| word(TABLE + 8 * slot) & 3 == 2).collect();
    run.check(bytes.starts_with(b"xd-slab2") && !live.is_empty(), || format!("{when}: {} is left", path.display()));
    for slot in &live {
        let (at, length) = (start + slot * size, word(TABLE + 8 * slot) >> 2 & 0x3_ffff);
        let is_whole = bytes.get(at..at + length).is_some_and(|object| object::seed_of(object).is_some());
        run.check(is_whole, || format!("{when}: slot {slot} of {} is torn", path.display()));
    }
    Ok(live.len())
}
