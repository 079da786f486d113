//! The bound on a directory of files: what counts, who is refused, what gives room back. Several processes are in
//! `quota_processes.rs`.
#![expect(unsafe_code, reason = "a lock on a part of a file has no safe form")]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::config::Config;
use crossdock::connectors::{FileConnector, FileOptions, LocalConnector};
use crossdock::{
    CloseOptions, Connector, ConnectorExt, Deferrable, Durability, ErrorKind, Flavor, GcOptions, GetOptions, Key,
    KeyHint, MultiConnector, ObjectKey, Opener, Policy, PutOptions, Registry, interrupt,
};
use tempfile::TempDir;

const COUNT: &str = ".crossdock-usage";
const UUID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn bound(dir: &TempDir, bytes: u64) -> FileConnector {
    FileConnector::open(&FileOptions::new(dir.path()).max_total_bytes(bytes)).unwrap()
}

fn zeros(size: usize) -> Bytes {
    vec![0; size].into()
}

fn put(files: &FileConnector, size: usize) -> Result<Key, ErrorKind> {
    files.put_bytes(zeros(size)).map_err(|error| error.kind())
}

fn host() -> PutOptions {
    PutOptions::new().durability(Durability::Host)
}

fn id(key: &Key) -> String {
    match key {
        Key::Object(key) => key.id.to_string(),
        other => panic!("{other} is not a file's key"),
    }
}

/// Of another process's making, which knows nothing of a count: marker last, as ProxyStore does.
fn theirs(dir: &Path, name: &str, size: usize) {
    fs::write(dir.join(name), zeros(size)).unwrap();
    fs::write(dir.join(format!("{name}.ready")), "").unwrap();
}

fn remove_theirs(dir: &Path, name: &str) {
    fs::remove_file(dir.join(name)).unwrap();
    fs::remove_file(dir.join(format!("{name}.ready"))).unwrap();
}

/// Waits for what takes some seconds.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(120), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Every way of writing: small ones are written under the lock, others under a reservation, some of them named at once.
const SIZES: [usize; 4] = [10, 16 << 10, 100_000, 200_000];

#[test]
fn what_is_over_the_bound_is_refused_and_an_evict_makes_room() {
    for size in SIZES {
        for options in [PutOptions::new(), host()] {
            let dir = temp();
            let (files, other) = (bound(&dir, 3 * size as u64), bound(&dir, 3 * size as u64));
            let put = |files: &FileConnector, size| files.put(zeros(size), &options).map_err(|error| error.kind());
            let keys: Vec<Key> = (0..3).map(|_| put(&files, size).unwrap()).collect();
            assert_eq!(put(&other, 1), Err(ErrorKind::Full));
            assert_eq!(put(&other, 3 * size + 1), Err(ErrorKind::TooLarge));
            put(&other, 0).unwrap();
            files.evict(&keys[0]).unwrap();
            files.evict(&keys[0]).unwrap();
            assert_eq!(put(&files, size + 1), Err(ErrorKind::Full));
            put(&other, size - 1).unwrap();
            put(&files, 1).unwrap();
            assert_eq!(put(&files, 1), Err(ErrorKind::Full));
            assert!(files.get_bytes(&keys[1]).unwrap().is_some());
        }
    }
}

#[test]
fn a_refusal_says_how_much_there_is_and_leaves_nothing() {
    let dir = temp();
    let files = bound(&dir, 100);
    put(&files, 60).unwrap();
    let before = fs::read_dir(dir.path()).unwrap().count();
    let error = files.put_bytes(zeros(41)).unwrap_err();
    for part in ["41 bytes", "60 of max_total_bytes = 100"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert!(!error.is_retryable());
    let key = files.new_key(&KeyHint::new()).unwrap();
    assert_eq!(files.set(&key, zeros(41), &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
    assert!(!files.exists(&key).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
    files.set(&key, zeros(40), &PutOptions::new()).unwrap();
}

#[test]
fn setting_the_same_bytes_again_takes_no_room() {
    let dir = temp();
    let files = bound(&dir, 300_000);
    for size in [10, 200_000] {
        let key = files.new_key(&KeyHint::new()).unwrap();
        for _ in 0..3 {
            files.set(&key, zeros(size), &PutOptions::new()).unwrap();
        }
    }
    let rest = 300_000 - 200_010;
    assert_eq!(put(&files, rest + 1), Err(ErrorKind::Full));
    let last = put(&files, rest).unwrap();
    files.set(&last, zeros(rest), &PutOptions::new()).unwrap();
    // A writer that was killed before its marker left the object, which only then begins to count.
    fs::remove_file(dir.path().join(format!("{}.ready", id(&last)))).unwrap();
    let other = put(&files, 1).unwrap();
    assert_eq!(files.set(&last, zeros(rest), &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
    files.evict(&other).unwrap();
    files.set(&last, zeros(rest), &PutOptions::new()).unwrap();
    assert_eq!(put(&files, 1), Err(ErrorKind::Full));
    // Under a lower bound than when it was put.
    bound(&dir, 5).set(&last, zeros(rest), &PutOptions::new()).unwrap();
}

#[test]
fn what_replaces_an_object_counts_in_its_place() {
    let dir = temp();
    let files = FileConnector::open(&FileOptions::new(dir.path()).max_total_bytes(300_000).write_once(false)).unwrap();
    let key = files.put_bytes(zeros(100)).unwrap();
    for size in [200_000, 10, 300_000, 0, 100_000] {
        files.set(&key, zeros(size), &PutOptions::new()).unwrap();
        let rest = 300_000 - size;
        assert_eq!(put(&files, rest + 1).unwrap_err(), if size == 0 { ErrorKind::TooLarge } else { ErrorKind::Full });
        files.evict(&put(&files, rest).unwrap()).unwrap();
    }
    let error = files.set(&key, zeros(300_001), &PutOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let other = put(&files, 150_000).unwrap();
    assert_eq!(files.set(&key, zeros(150_001), &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(files.get_bytes(&key).unwrap().unwrap().len(), 100_000, "the old one is still there");
    files.set(&key, zeros(150_000), &PutOptions::new()).unwrap();
    files.evict(&key).unwrap();
    files.evict(&other).unwrap();
    put(&files, 300_000).unwrap();
}

#[test]
fn writers_of_the_same_keys_keep_the_count_right() {
    let dir = temp();
    let options = FileOptions::new(dir.path()).max_total_bytes(1_000_000);
    let once = FileConnector::open(&options).unwrap();
    let often = FileConnector::open(&options.clone().write_once(false)).unwrap();
    let keys: Vec<Key> = (0..4).map(|_| often.new_key(&KeyHint::new()).unwrap()).collect();
    let set_once: Vec<Key> = (0..40).map(|_| once.new_key(&KeyHint::new()).unwrap()).collect();
    thread::scope(|scope| {
        for writer in 0..4 {
            let (keys, set_once, once, often) = (&keys, &set_once, &once, &often);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(writer);
                for round in 0..120 {
                    let key = &keys[rng.usize(..keys.len())];
                    match rng.u8(..4) {
                        0 => often.evict(key).unwrap(),
                        _ => often.set(key, zeros(rng.usize(..30_000)), &PutOptions::new()).unwrap(),
                    }
                    once.set(&set_once[round / 3], zeros(round), &PutOptions::new()).unwrap_or_else(|error| {
                        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                    });
                }
            });
        }
    });
    let total: u64 = fs::read_dir(dir.path()).unwrap().map(|entry| size_unless_count(&entry.unwrap())).sum();
    assert_eq!(count_in_file(&dir), total);
}

fn size_unless_count(entry: &fs::DirEntry) -> u64 {
    if entry.file_name() == COUNT { 0 } else { entry.metadata().unwrap().len() }
}

/// What the file says: its second number.
fn count_in_file(dir: &TempDir) -> u64 {
    let bytes = fs::read(dir.path().join(COUNT)).unwrap_or_default();
    bytes.get(8..16).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

#[test]
fn a_batch_over_the_bound_leaves_nothing() {
    for size in SIZES {
        let dir = temp();
        let files = bound(&dir, 3 * size as u64 + 1);
        let error = files.put_batch(&vec![zeros(size); 4], &PutOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full);
        assert!(error.message().contains(&format!("{} of max_total_bytes", 3 * size)), "{error}");
        let too_large = [zeros(1), zeros(3 * size + 2)];
        assert_eq!(files.put_batch(&too_large, &PutOptions::new()).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing but the count");
        let keys = files.put_batch(&vec![zeros(size); 3], &host()).unwrap();
        assert_eq!(files.put_batch(&[zeros(1), zeros(1)], &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
        keys.iter().for_each(|key| files.evict(key).unwrap());
        put(&files, 3 * size + 1).unwrap();
    }
}

#[test]
fn objects_of_others_count_and_leftovers_do_not() {
    let dir = temp();
    theirs(dir.path(), UUID, 50);
    theirs(dir.path(), "named otherwise", 10);
    fs::write(dir.path().join("notes.txt"), zeros(1_000)).unwrap();
    fs::write(dir.path().join(UUID.replace('7', "8")), zeros(1_000)).unwrap();
    fs::write(dir.path().join(format!(".crossdock-{UUID}")), zeros(1_000)).unwrap();
    fs::write(dir.path().join("lost.ready"), "").unwrap();
    symlink("notes.txt", dir.path().join("link")).unwrap();
    fs::write(dir.path().join("link.ready"), "").unwrap();
    let files = bound(&dir, 100);
    assert_eq!(put(&files, 41), Err(ErrorKind::Full));
    put(&files, 40).unwrap();
    files.evict(&ObjectKey::bare(UUID).into()).unwrap();
    put(&files, 50).unwrap();
    assert_eq!(put(&files, 1), Err(ErrorKind::Full));
}

#[test]
fn what_others_remove_is_seen_when_a_put_would_be_refused() {
    let dir = temp();
    let files = bound(&dir, 100);
    put(&files, 50).unwrap();
    // However shortly after the last refusal.
    for round in 0..500 {
        let key = put(&files, 50).unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        assert_eq!(put(&files, 1), Err(ErrorKind::Full));
        remove_theirs(dir.path(), &id(&key));
    }
}

#[test]
fn what_others_add_is_seen_by_and_by() {
    let dir = temp();
    let files = bound(&dir, 100);
    put(&files, 1).unwrap();
    theirs(dir.path(), UUID, 99);
    eventually("their object is never seen", || match put(&files, 1) {
        Err(error) => error == ErrorKind::Full,
        Ok(key) => files.evict(&key).is_err(),
    });
    remove_theirs(dir.path(), UUID);
    put(&files, 99).unwrap();
}

#[test]
fn a_refusal_costs_no_look_at_every_object_where_nothing_changes() {
    let dir = temp();
    let files = bound(&dir, 100);
    put(&files, 100).unwrap();
    eventually("every refusal takes the count anew", || {
        assert_eq!(put(&files, 1), Err(ErrorKind::Full));
        let before = fs::read(dir.path().join(COUNT)).unwrap();
        assert_eq!(put(&files, 1), Err(ErrorKind::Full));
        before == fs::read(dir.path().join(COUNT)).unwrap()
    });
}

/// The directory of a writer that waits once it has its room; whether it does, and may go on.
static MIDDLE: OnceLock<TempDir> = OnceLock::new();
static WAITS: AtomicBool = AtomicBool::new(false);
static MAY_GO_ON: AtomicBool = AtomicBool::new(false);

fn wait_in_the_middle() -> bool {
    if has_60_kb() {
        WAITS.store(true, Ordering::Release);
        while !MAY_GO_ON.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    false
}

/// Nobody is at the count.
fn has_60_kb() -> bool {
    MIDDLE.get().is_some_and(|dir| {
        let is_free = fs::File::options().write(true).open(dir.path().join(COUNT)).is_ok_and(|file| lock_count(&file));
        is_free && count_in_file(dir) == 60_000
    })
}

/// Locks the count as connectors do, until the file is closed. Whether it was free.
fn lock_count(file: &fs::File) -> bool {
    // SAFETY: all fields of the struct are numbers, and the call only reads it.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as libc::c_short;
        lock.l_len = 1;
        libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) == 0
    }
}

struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[test]
fn what_is_being_written_has_its_room() {
    let dir = MIDDLE.get_or_init(temp);
    let files = bound(dir, 100_000);
    // A put; then a set of the same bytes, whose object is there already and takes its room once.
    let key = beside_a_writer(&files, dir, || put(&files, 60_000).unwrap());
    let set = || files.set(&key, zeros(60_000), &PutOptions::new()).map(|()| key.clone());
    beside_a_writer(&files, dir, || set().unwrap());
    files.evict(&key).unwrap();
    put(&files, 60_000).unwrap();
}

/// What others may put while 60 of 100 kB are being written, and afterwards.
fn beside_a_writer(files: &FileConnector, dir: &TempDir, write: impl FnOnce() -> Key + Send) -> Key {
    let put_and_remove_40_kb = || {
        assert_eq!(put(files, 40_001), Err(ErrorKind::Full));
        let key = put(files, 40_000).unwrap();
        assert_eq!(put(files, 1), Err(ErrorKind::Full));
        remove_theirs(dir.path(), &id(&key));
    };
    MAY_GO_ON.store(false, Ordering::Release);
    WAITS.store(false, Ordering::Release);
    let key = thread::scope(|scope| {
        // Whatever fails here, the writer ends.
        let _end = Finally(|| MAY_GO_ON.store(true, Ordering::Release));
        let writer = scope.spawn(|| interrupt::scope(wait_in_the_middle, write));
        eventually("it never waits", || WAITS.load(Ordering::Acquire));
        for _ in 0..3 {
            put_and_remove_40_kb();
            // Lost, so that it is taken anew.
            fs::File::create(dir.path().join(COUNT)).unwrap();
        }
        MAY_GO_ON.store(true, Ordering::Release);
        writer.join().unwrap()
    });
    // Leaves the count as it should be.
    assert_eq!(put(files, 40_001), Err(ErrorKind::Full));
    files.evict(&put(files, 40_000).unwrap()).unwrap();
    key
}

#[test]
fn a_write_that_fails_gives_its_room_back() {
    let dir = temp();
    let files = bound(&dir, 100);
    for size in [10, 90] {
        let refused = interrupt::scope(|| true, || put(&files, size));
        assert_eq!(refused, Err(ErrorKind::Interrupted));
    }
    put(&files, 100).unwrap();
    // In a set, in a replacement, and after the name was given.
    let dir = temp();
    let files = FileConnector::open(&FileOptions::new(dir.path()).max_total_bytes(100).write_once(false)).unwrap();
    let key = files.new_key(&KeyHint::new()).unwrap();
    fs::create_dir(dir.path().join(id(&key))).unwrap();
    for files in [&files, &bound(&dir, 100)] {
        files.set(&key, zeros(100), &PutOptions::new()).unwrap_err();
    }
    put(&files, 100).unwrap();
}

#[test]
fn a_count_that_is_lost_is_taken_anew() {
    let dir = temp();
    let files = bound(&dir, 100);
    put(&files, 60).unwrap();
    let path = dir.path().join(COUNT);
    let losses: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&path).unwrap(),
        &|| fs::write(&path, "").unwrap(),
        // What a power cut leaves.
        &|| fs::write(&path, [0; 48]).unwrap(),
        &|| fs::File::options().write(true).open(&path).unwrap().set_len(20).unwrap(),
    ];
    for lose in losses {
        lose();
        assert_eq!(put(&files, 41), Err(ErrorKind::Full));
        let key = put(&files, 40).unwrap();
        lose();
        files.evict(&key).unwrap();
        let key = put(&files, 40).unwrap();
        assert_eq!(put(&files, 1), Err(ErrorKind::Full));
        files.evict(&key).unwrap();
    }
}

#[test]
fn something_else_in_place_of_the_count_is_refused_and_not_touched() {
    let (dir, elsewhere) = (temp(), temp());
    let files = bound(&dir, 100);
    let key = put(&files, 10).unwrap();
    let path = dir.path().join(COUNT);
    let target = elsewhere.path().join("target");
    fs::write(&target, "").unwrap();
    let fill: [(&str, &dyn Fn()); 4] = [
        ("not a regular file", &|| symlink(&target, &path).unwrap()),
        ("not a regular file", &|| fs::create_dir(&path).unwrap()),
        ("not a regular file", &|| {
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        }),
        ("something else in it", &|| fs::write(&path, "notes of mine, which are not to be written over").unwrap()),
    ];
    for (why, place) in fill {
        drop(fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)));
        place();
        for size in [10, 20_000, 0] {
            let error = files.put_bytes(zeros(size)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let named = path.display().to_string();
            assert!(error.message().contains(why) && error.message().contains(&named), "{error}");
            assert!(!error.is_retryable());
        }
        assert_eq!(files.put_batch(&[zeros(1)], &PutOptions::new()).unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(files.get_bytes(&key).unwrap().is_some());
        // Whatever the count, an object can be removed.
        let other = FileConnector::open(&FileOptions::new(dir.path())).unwrap().put_bytes("other").unwrap();
        files.evict(&other).unwrap();
        assert!(!files.exists(&other).unwrap());
    }
    assert_eq!(fs::read(&target).unwrap(), b"");
    assert_eq!(fs::read(&path).unwrap(), b"notes of mine, which are not to be written over");
}

#[test]
fn a_lock_that_is_held_can_be_waited_for_and_given_up() {
    let dir = temp();
    let files = bound(&dir, 100);
    put(&files, 10).unwrap();
    let file = fs::File::options().write(true).open(dir.path().join(COUNT)).unwrap();
    assert!(lock_count(&file));
    let given_up = interrupt::scope(|| true, || put(&files, 10));
    assert_eq!(given_up, Err(ErrorKind::Interrupted));
    let waiting = Barrier::new(2);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            waiting.wait();
            put(&files, 90)
        });
        waiting.wait();
        thread::sleep(Duration::from_millis(50));
        assert!(!writer.is_finished());
        drop(file);
        writer.join().unwrap().unwrap();
    });
    assert_eq!(put(&files, 1), Err(ErrorKind::Full));
}

#[test]
fn clearing_and_collecting_know_the_count() {
    let dir = temp();
    let objects = dir.path().join("objects");
    let options = FileOptions::new(&objects).max_total_bytes(100);
    let files = FileConnector::open(&options.clone().clear(true)).unwrap();
    put(&files, 100).unwrap();
    let report = files.gc(&GcOptions::default().min_age(Duration::ZERO)).unwrap();
    assert_eq!((report.removed, report.kept), (0, 0));
    assert_eq!(put(&files, 1), Err(ErrorKind::Full));
    files.close(&CloseOptions::default()).unwrap();
    assert!(!objects.exists(), "nothing else was in it");

    let files = FileConnector::open(&options).unwrap();
    put(&files, 100).unwrap();
    fs::write(objects.join("notes.txt"), "foreign").unwrap();
    // A connector without a bound clears the count as well.
    let plain = FileConnector::open(&FileOptions::new(&objects)).unwrap();
    plain.close(&CloseOptions::default().clear(true)).unwrap();
    let left: Vec<_> = fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    put(&files, 100).unwrap();
}

#[test]
fn a_directory_that_was_replaced_has_a_count_of_its_own() {
    let dir = temp();
    let objects = dir.path().join("objects");
    let files = FileConnector::open(&FileOptions::new(&objects).max_total_bytes(100)).unwrap();
    put(&files, 100).unwrap();
    fs::rename(&objects, dir.path().join("away")).unwrap();
    put(&files, 100).unwrap();
    assert_eq!(put(&files, 1), Err(ErrorKind::Full));
    fs::remove_dir_all(&objects).unwrap();
    put(&files, 100).unwrap();
}

#[test]
fn without_a_bound_nothing_is_counted() {
    let dir = temp();
    let files = FileConnector::open(&FileOptions::new(dir.path())).unwrap();
    let key = files.put_bytes("object").unwrap();
    files.evict(&key).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_bound_is_in_the_config_where_it_is_set() {
    let text = "[connectors.a]\ntype = \"file\"\ndir = \"/nowhere\"\nmax_total_bytes = \"10 GiB\"";
    let config = Config::from_text(text).unwrap();
    Registry::builtin().connect(&config).unwrap();
    let json = Registry::builtin().to_proxystore_json(&config, Flavor::Crossdock).unwrap();
    assert!(json.text.contains("\"max_total_bytes\": 10737418240") || json.text.contains("10 GiB"), "{}", json.text);
    let theirs = Registry::builtin().to_proxystore_json(&config, Flavor::Proxystore).unwrap();
    assert!(!theirs.text.contains("max_total_bytes"));
    assert!(theirs.left_out.iter().any(|left| left.contains("max_total_bytes")), "{:?}", theirs.left_out);
    let set =
        |options: &FileOptions| Opener::config(options).options.get("max_total_bytes").map(|node| node.value.clone());
    assert_eq!(set(&FileOptions::new("/nowhere")), None);
    assert_eq!(set(&FileOptions::new("/nowhere").max_total_bytes(7)), Some(7_u64.into()));
    let wrong = text.replace("10 GiB", "ten");
    let error = Registry::builtin().connect(&Config::from_text(&wrong).unwrap()).unwrap_err();
    assert!(error.message().contains("line 4") && error.message().contains("max_total_bytes"), "{error}");
}

/// A bounded directory that may or must not fall back to memory.
fn before_memory(dir: &TempDir, bytes: u64, fallback: bool) -> MultiConnector {
    let first = Policy::builder().priority(1).fallback(fallback).build().unwrap();
    MultiConnector::builder()
        .connector("bounded", bound(dir, bytes), first)
        .connector("memory", LocalConnector::new(), Policy::any())
        .build()
        .unwrap()
}

#[test]
fn what_is_over_the_bound_goes_to_the_next_connector_where_the_policy_says_so() {
    let dir = temp();
    let (multi, strict) = (before_memory(&dir, 100, true), before_memory(&dir, 100, false));
    let lands_in = |object: Bytes| multi.put(object, &PutOptions::new()).map(|key| key.connector_name.to_string());
    assert_eq!(lands_in(zeros(101)).unwrap(), "memory");
    let key = multi.put(zeros(60), &PutOptions::new()).unwrap();
    assert_eq!(&*key.connector_name, "bounded");
    assert_eq!(lands_in(zeros(41)).unwrap(), "memory");
    for (size, kind) in [(41, ErrorKind::Full), (101, ErrorKind::TooLarge)] {
        let error = strict.put(zeros(size), &PutOptions::new()).unwrap_err();
        assert_eq!((error.kind(), error.connector()), (kind, Some("bounded")));
    }
    // A batch as a whole, as one connector is to have it in one call.
    let batch = [zeros(30), zeros(30)];
    let before = fs::read_dir(dir.path()).unwrap().count();
    let keys = multi.put_batch(&batch, &PutOptions::new()).unwrap();
    assert!(keys.iter().all(|key| &*key.connector_name == "memory"), "{keys:?}");
    let found = multi.get_batch(&keys, &GetOptions::default()).unwrap();
    assert_eq!(found, batch.clone().map(Some));
    assert_eq!(strict.put_batch(&batch, &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before, "nothing was left behind");
    multi.evict(&key).unwrap();
    let keys = multi.put_batch(&batch, &PutOptions::new()).unwrap();
    assert!(keys.iter().all(|key| &*key.connector_name == "bounded"), "{keys:?}");
}
