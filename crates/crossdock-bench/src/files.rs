//! Objects in files, on tmpfs and on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crossdock::connectors::FileConnector;
use crossdock_bench::Outcome;

use crate::bench::{BARE, Bench, Channel, Held, Own, Store, file_options, no_target};
use crate::rivals;

/// Of a batch: how many objects, and their size in bytes.
const BATCH: (usize, u64) = (1_000, 1_000);

/// In bytes. Beyond, what is measured is when the kernel begins to write back.
const LARGEST_ON_DISK: u64 = 100_000_000;

/// Everybody has a directory of his own below `place`.
pub(crate) fn measure(bench: &mut Bench, name: &str, place: &Path, is_memory: bool) -> Outcome {
    let dir = tempfile::Builder::new().prefix("crossdock-bench-").tempdir_in(place)?;
    let ours = FileConnector::open(&file_options(&dir.path().join("ours")))?;
    let mut stores: Vec<Box<dyn Store>> =
        vec![Box::new(Bare::in_dir(dir.path().join("bare"))?), Box::new(Own { connector: ours, has_views: true })];
    stores.extend(rivals::files(dir.path())?);
    let channel = Channel { name, bare: "fs::write and fs::read", stores, targets: no_target, note: "", copies: true };
    let largest = if is_memory { bench.plan.largest_moved } else { bench.plan.largest_moved.min(LARGEST_ON_DISK) };
    // One object of everybody's, what is read, and what is written.
    bench.each_size(name, largest, 7, |bench, size| bench.puts_and_gets(&channel, size))?;
    if is_memory || bench.plan.slow_batches { bench.batches(&channel, BATCH, None) } else { Ok(()) }
}

/// What a person would write: one file, which others see before it is whole.
pub(crate) struct Bare(PathBuf);

impl Bare {
    pub(crate) fn in_dir(dir: PathBuf) -> Outcome<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self, held: &Held) -> Outcome<PathBuf> {
        Ok(self.0.join(held.name()?))
    }
}

impl Store for Bare {
    fn name(&self) -> &'static str {
        BARE
    }

    fn put(&self, object: &Bytes) -> Outcome<Held> {
        let name = Held::new_name();
        fs::write(self.0.join(&name), object)?;
        Ok(Held::Name(name))
    }

    fn get(&self, held: &Held) -> Outcome<u64> {
        Ok(fs::read(self.path(held)?)?.len() as u64)
    }

    fn evict(&self, held: Held) -> Outcome {
        Ok(fs::remove_file(self.path(&held)?)?)
    }
}
