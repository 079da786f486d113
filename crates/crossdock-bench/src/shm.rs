//! Shared memory: puts beside a copy into memory that was used before, gets here and in another process.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use crossdock::connectors::{ShmConnector, ShmOptions};
use crossdock::{Bytes, Connector, GetOptions, Key, PutOptions};
use crossdock_bench::{Budget, Contestant, Outcome, Target, take_turns};
use memmap2::MmapMut;
use serde::{Deserialize, Serialize};

use crate::bench::{BARE, Bench, Channel, OURS, Own, Store, object_of, require_size};
use crate::files::Bare;
use crate::peak::ask_child;

const NAME: &str = "Shared memory";
/// Of the speed of a copy into a warm map.
const TARGET: f64 = 0.7;
const BATCH: (usize, u64) = (1_000, 1_000);
/// So often an object is put before it counts: its memory is new the first time, and mapped the third.
const WARM_UP: usize = 3;

fn targets(operation: &str, size: u64, _: &str) -> Option<Target> {
    let is_large = (1_000_000..=100_000_000).contains(&size);
    (operation == "put" && is_large).then_some(Target::AtLeast(TARGET))
}

pub(crate) fn measure(bench: &mut Bench, place: &Path) -> Outcome {
    let dir = tempfile::Builder::new().prefix("crossdock-bench-").tempdir_in(place)?;
    let bare = Bare::in_dir(dir.path().join("bare"))?;
    let ours = connector(&dir.path().join("ours"))?;
    let copies = channel("copy into a warm map");
    let reads = channel("fs::read of a file on tmpfs");
    // The object, the map, ours and the memory that is kept, the file, what is read of it.
    bench.each_size(NAME, u64::MAX, 6, |bench, size| {
        puts(bench, &copies, dir.path(), &ours, size)?;
        gets(bench, &reads, &bare, &ours, size)
    })?;
    let stores: Vec<Box<dyn Store>> = vec![Box::new(bare), Box::new(Own { connector: ours, has_views: false })];
    let batches = Channel { stores, ..channel("fs::write and fs::read on tmpfs") };
    bench.batches(&batches, BATCH, None)
}

fn channel(bare: &'static str) -> Channel<'static> {
    Channel { name: NAME, bare, stores: Vec::new(), targets, note: "", copies: true }
}

/// Keeps the memory of the largest object that is evicted.
fn connector(dir: &Path) -> Outcome<ShmConnector> {
    Ok(ShmConnector::open(&ShmOptions::in_dir(dir).recycle_bytes(2_500_000_000).clear(true))?)
}

/// A steady stream: each object is evicted before the next one is put, outside of the time.
fn puts(bench: &mut Bench, channel: &Channel<'_>, place: &Path, ours: &ShmConnector, size: u64) -> Outcome {
    let object = object_of(size);
    let map = RefCell::new(warm_map(place, &object)?);
    for _ in 0..WARM_UP {
        ours.evict(&ours.put(object.clone(), &PutOptions::default())?)?;
    }
    let copy = || {
        map.borrow_mut().copy_from_slice(&object);
        Ok(())
    };
    let put = || Ok(ours.put(object.clone(), &PutOptions::default())?);
    let mut contestants =
        [Contestant::streaming(BARE, copy, Ok), Contestant::streaming(OURS, put, |key: Key| Ok(ours.evict(&key)?))];
    bench.measure(channel, size, &mut contestants)
}

/// A file on tmpfs that is mapped and was written once.
#[expect(unsafe_code, reason = "a map of a file is only safe while nobody else changes the file")]
fn warm_map(place: &Path, object: &Bytes) -> Outcome<MmapMut> {
    let file: File = tempfile::tempfile_in(place)?;
    file.set_len(object.len() as u64)?;
    // SAFETY: the file has no name, so nobody else can change it or make it shorter.
    let mut map = unsafe { MmapMut::map_mut(&file) }?;
    map.copy_from_slice(object);
    Ok(map)
}

fn gets(bench: &mut Bench, channel: &Channel<'_>, bare: &Bare, ours: &ShmConnector, size: u64) -> Outcome {
    let object = object_of(size);
    let (held, key) = (bare.put(&object)?, ours.put(object, &PutOptions::default())?);
    bench.measure(channel, size, &mut readers(ours, &key, || bare.get(&held)))?;
    let reader = Reader {
        dir: ours.dir().to_owned(),
        file: bare.path(&held)?,
        key: key.to_string(),
        size,
        milliseconds: bench.plan.budget.whole.as_millis() as u64,
        rounds: bench.plan.budget.rounds,
    };
    let told: Told = ask_child(&reader.arguments())?;
    let operation = "get in another process";
    bench.curve(channel, size, vec![((BARE, operation), told.bare), ((OURS, operation), told.crossdock)]);
    bare.evict(held)?;
    Ok(ours.evict(&key)?)
}

fn readers<'a>(ours: &'a ShmConnector, key: &'a Key, bare: impl FnMut() -> Outcome<u64> + 'a) -> [Contestant<'a>; 2] {
    let get = || Ok(ours.get(key, &GetOptions::default())?);
    [Contestant::asking(BARE, "get", bare), Contestant::asking(OURS, "get", get)]
}

/// What the other process is told: it times gets by itself.
#[derive(Args, Clone)]
pub(crate) struct Reader {
    dir: PathBuf,
    file: PathBuf,
    key: String,
    size: u64,
    milliseconds: u64,
    rounds: usize,
}

/// What it says.
#[derive(Serialize, Deserialize)]
struct Told {
    bare: Vec<f64>,
    crossdock: Vec<f64>,
}

impl Reader {
    fn arguments(&self) -> Vec<String> {
        let Self { dir, file, key, size, milliseconds, rounds } = self;
        let paths = [dir, file].map(|path| path.to_string_lossy().into_owned());
        let rest = [key.clone(), size.to_string(), milliseconds.to_string(), rounds.to_string()];
        ["reader".to_owned()].into_iter().chain(paths).chain(rest).collect()
    }

    /// In the other process: says the seconds of each round.
    pub(crate) fn run(&self) -> Outcome {
        let ours = ShmConnector::attach(&ShmOptions::in_dir(&self.dir))?;
        let key: Key = self.key.parse()?;
        let got = ours.get(&key, &GetOptions::default())?.ok_or("the object is not there")?.len() as u64;
        require_size(OURS, got, self.size)?;
        let read = || Ok(std::fs::read(&self.file)?.len() as u64);
        let budget = Budget {
            whole: Duration::from_millis(self.milliseconds),
            turn: Duration::from_millis(4),
            rounds: self.rounds,
        };
        let mut times = take_turns(&mut readers(&ours, &key, read), &budget)?.into_iter();
        let mut next = || times.next().unwrap_or_default();
        let told = Told { bare: next(), crossdock: next() };
        println!("{}", serde_json::to_string(&told)?);
        Ok(())
    }
}
