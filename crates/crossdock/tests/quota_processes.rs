//! Several processes share the bound on a directory of files: at the same time, killed, forked.
#![expect(unsafe_code, reason = "fork has no safe form")]

#[path = "common/children.rs"]
mod children;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{
    Connector, ConnectorExt, Deferrable, Durability, ErrorKind, Key, KeyHint, ObjectKey, PutOptions, Result,
};
use libtest_mimic::{Arguments, Failed, Trial};

use children::in_a_child;

type Outcome = std::result::Result<(), Failed>;

/// What this program does when it starts itself: the role, the directory, the bound, a seed.
const ROLE: &str = "CROSSDOCK_TEST_ROLE";

const COUNT: &str = ".crossdock-usage";

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        return play(&role);
    }
    let in_ci = std::env::var_os("CI").is_some();
    let root = rustix::process::geteuid().is_root();
    let trial = |name: &str, run: fn() -> Outcome| Trial::test(name, run);
    let trials = vec![
        trial("processes fill a directory to the last byte", fill_to_the_last_byte),
        trial("the count of busy processes is right", the_count_of_busy_processes_is_right),
        trial("a killed writer leaks nothing", a_killed_writer_leaks_nothing),
        trial("a killed parent leaves no lock to its children", a_killed_parent_leaves_no_lock_to_its_children),
        trial("a forked child counts on", a_forked_child_counts_on),
        Trial::test(
            if root { "the count of a stranger is refused" } else { "the count of a stranger is refused (needs root)" },
            the_count_of_a_stranger_is_refused,
        )
        .with_ignored_flag(!root && !in_ci),
    ];
    // A forked child goes badly with threads that run other tests.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit();
}

fn bound(dir: &Path, bytes: u64) -> FileConnector {
    FileConnector::open(&FileOptions::new(dir).max_total_bytes(bytes)).unwrap()
}

fn zeros(size: usize) -> Bytes {
    vec![0; size].into()
}

/// The sizes of all objects, by their names.
fn objects(dir: &Path) -> BTreeMap<String, u64> {
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(object) = name.strip_suffix(".ready")
            && let Ok(stat) = fs::metadata(dir.join(object))
        {
            objects.insert(object.to_owned(), stat.len());
        }
    }
    objects
}

fn total(dir: &Path) -> u64 {
    objects(dir).values().sum()
}

/// What the file of the count says.
fn count(dir: &Path) -> u64 {
    let bytes = fs::read(dir.join(COUNT)).unwrap_or_default();
    bytes.get(8..16).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// A child process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(role: &str, dir: &Path, bytes: u64, seed: u64) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ROLE, format!("{role}\n{}\n{bytes}\n{seed}", dir.display()));
    Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
}

fn play(role: &str) {
    let [role, dir, bytes, seed] = role.split('\n').collect::<Vec<_>>()[..] else { panic!("{role:?}") };
    let (dir, bytes) = (Path::new(dir), bytes.parse().unwrap());
    let mut rng = fastrand::Rng::with_seed(seed.parse().unwrap());
    match role {
        "filler" => fill(&bound(dir, bytes), bytes, &mut rng),
        "worker" => work(&bound(dir, bytes), &mut rng, 400),
        "victim" => {
            println!("ready");
            work(&bound(dir, bytes), &mut rng, usize::MAX);
        }
        "parent" => have_a_child_and_work(&bound(dir, bytes)),
        other => panic!("{other:?}"),
    }
}

/// A write of any kind: small and large, alone and in a batch, durable, under a key that was made before.
fn write(files: &FileConnector, size: usize, rng: &mut fastrand::Rng) -> Result<Vec<Key>> {
    let object = zeros(size);
    match rng.u8(..8) {
        0 => files.put_batch(&[zeros(size / 2), zeros(size - size / 2)], &PutOptions::new()),
        1 => files.put(object, &PutOptions::new().durability(Durability::Host)).map(|key| vec![key]),
        2 => {
            let key = files.new_key(&KeyHint::new())?;
            files.set(&key, object, &PutOptions::new()).map(|()| vec![key])
        }
        _ => files.put_bytes(object).map(|key| vec![key]),
    }
}

/// Puts until not a single byte fits any more.
fn fill(files: &FileConnector, bytes: u64, rng: &mut fastrand::Rng) {
    let mut most = usize::try_from(bytes / 20).unwrap();
    while most > 0 {
        match write(files, rng.usize(1..=most), rng) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Full => most /= 2,
            Err(error) => panic!("{error}"),
        }
    }
}

fn fill_to_the_last_byte() -> Outcome {
    for round in 0..6 {
        let dir = tempfile::tempdir()?;
        let bytes = [20_000, 3_000_000, 20_000_000][round % 3];
        let mut fillers: Vec<Running> =
            (0..4).map(|n| start("filler", dir.path(), bytes, 4 * round as u64 + n)).collect();
        // Nothing is evicted, so that whatever is seen is there together.
        while fillers.iter_mut().any(|filler| filler.0.try_wait().unwrap().is_none()) {
            let seen = total(dir.path());
            assert!(seen <= bytes, "round {round}: {seen} of {bytes} bytes");
            thread::sleep(Duration::from_millis(1));
        }
        for filler in &mut fillers {
            assert!(filler.0.wait()?.success());
        }
        assert_eq!((total(dir.path()), count(dir.path())), (bytes, bytes), "round {round}");
    }
    Ok(())
}

/// Writes, replaces and evicts.
fn work(files: &FileConnector, rng: &mut fastrand::Rng, operations: usize) {
    let mut keys: Vec<Key> = Vec::new();
    for _ in 0..operations {
        if rng.u8(..3) == 0 && !keys.is_empty() {
            files.evict(&keys.swap_remove(rng.usize(..keys.len()))).unwrap();
            continue;
        }
        let most = [100, 10_000, 400_000][rng.usize(..3)];
        match write(files, rng.usize(..most), rng) {
            Ok(written) => keys.extend(written),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
        }
    }
}

fn the_count_of_busy_processes_is_right() -> Outcome {
    let dir = tempfile::tempdir()?;
    let bytes = 2_000_000;
    let mut workers: Vec<Running> = (0..4).map(|n| start("worker", dir.path(), bytes, n)).collect();
    for worker in &mut workers {
        assert!(worker.0.wait()?.success());
    }
    assert_eq!(count(dir.path()), total(dir.path()));
    evict_all(&bound(dir.path(), bytes), dir.path());
    assert_eq!(count(dir.path()), 0);
    Ok(())
}

fn evict_all(files: &FileConnector, dir: &Path) {
    for name in objects(dir).into_keys() {
        files.evict(&ObjectKey::bare(name.as_str()).into()).unwrap();
    }
}

/// Everything can be used, at once and to the last byte.
fn assert_all_is_free(files: &FileConnector, dir: &Path, bytes: u64, when: &str) {
    evict_all(files, dir);
    let key = files.put_bytes(zeros(bytes as usize)).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!(files.put_bytes(zeros(1)).unwrap_err().kind(), ErrorKind::Full, "{when}");
    files.evict(&key).unwrap();
}

fn a_killed_writer_leaks_nothing() -> Outcome {
    let dir = tempfile::tempdir()?;
    let bytes = 3_000_000;
    let files = bound(dir.path(), bytes);
    let mut rng = fastrand::Rng::new();
    for round in 0..60 {
        let mut victims: Vec<Running> = (0..2).map(|n| start("victim", dir.path(), bytes, 2 * round + n)).collect();
        for victim in &mut victims {
            let mut line = String::new();
            BufReader::new(victim.0.stdout.as_mut().unwrap()).read_line(&mut line)?;
            assert_eq!(line, "ready\n");
        }
        thread::sleep(Duration::from_micros(rng.u64(..20_000)));
        let seen = total(dir.path());
        drop(victims);
        assert!(total(dir.path()) <= bytes, "round {round}: {seen}");
        assert_all_is_free(&files, dir.path(), bytes, &format!("round {round}"));
    }
    Ok(())
}

/// Puts for ever, and has a forked child that only sleeps. The child ends when nobody reads its pipe any more.
fn have_a_child_and_work(files: &FileConnector) {
    files.put_bytes("a").unwrap();
    // SAFETY: this process has one thread; the child sleeps and writes.
    if unsafe { libc::fork() } == 0 {
        while writeln!(std::io::stdout(), "alive").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
        std::process::exit(0);
    }
    println!("ready");
    loop {
        let key = files.put_bytes("a").unwrap();
        files.evict(&key).unwrap();
    }
}

fn a_killed_parent_leaves_no_lock_to_its_children() -> Outcome {
    let dir = tempfile::tempdir()?;
    let files = bound(dir.path(), 1_000);
    let mut rng = fastrand::Rng::new();
    let mut orphans = Vec::new();
    for round in 0..60 {
        let mut parent = start("parent", dir.path(), 1_000, round);
        let mut stdout = parent.0.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 6])?;
        thread::sleep(Duration::from_micros(rng.u64(..3_000)));
        drop(parent);
        // The pipe stays open, and with it the child.
        orphans.push(stdout);
        assert_all_is_free(&files, dir.path(), 1_000, &format!("round {round}"));
    }
    Ok(())
}

fn a_forked_child_counts_on() -> Outcome {
    let dir = tempfile::tempdir()?;
    let files = bound(dir.path(), 100_000);
    let key = files.put_bytes(zeros(40_000))?;
    let kind = |size| files.put_bytes(zeros(size)).map_err(|error| error.kind());
    let in_the_child = || {
        let before = kind(60_001) == Err(ErrorKind::Full);
        files.evict(&key).is_ok() && before && kind(50_000).is_ok() && kind(10).is_ok()
    };
    assert!(in_a_child(in_the_child));
    assert_eq!(kind(49_991).map(drop), Err(ErrorKind::Full));
    kind(49_990).unwrap();
    assert_eq!(kind(1).map(drop), Err(ErrorKind::Full));
    Ok(())
}

fn the_count_of_a_stranger_is_refused() -> Outcome {
    let dir = tempfile::tempdir()?;
    let files = bound(dir.path(), 100);
    let key = files.put_bytes("object")?;
    chown(dir.path().join(COUNT), Some(12_345), None)?;
    let error = files.put_bytes("x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("12345") && error.message().contains(COUNT), "{error}");
    files.evict(&key)?;
    let trusting = FileOptions::new(dir.path()).max_total_bytes(100).allow_foreign_owner(true);
    FileConnector::open(&trusting)?.put_bytes("x")?;
    Ok(())
}
