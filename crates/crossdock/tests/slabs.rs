//! Small objects of shared memory, which share files: read while their slots are used again, and what becomes of the files.

#![expect(unsafe_code, reason = "killing children, and memory that is shared with them")]

#[path = "common/children.rs"]
mod children;
#[path = "common/memory.rs"]
mod memory;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crossdock::connectors::{ShmConnector, ShmOptions};
use crossdock::{
    Bytes, CloseOptions, Connector, ConnectorExt, Deferrable, ErrorKind, GcOptions, GetOptions, Integrity, Key,
    ObjectKey, PutOptions,
};
use libtest_mimic::{Arguments, Failed, Trial};

use children::{end_of, in_a_child, start_child};
use memory::{Place, get, id_of, names};

type Outcome = Result<(), Failed>;

fn main() {
    let in_ci = std::env::var_os("CI").is_some();
    let root = rustix::process::geteuid().is_root();
    let trial = |name: &str, run: fn() -> Outcome| Trial::test(name, run);
    let by_root = |name: &str, run: fn() -> Outcome| {
        let name = if root { name.to_owned() } else { format!("{name} (needs root)") };
        Trial::test(name, run).with_ignored_flag(!root && !in_ci)
    };
    let trials = vec![
        trial("objects of all sizes", objects_of_all_sizes),
        trial("what keys say is checked", what_keys_say_is_checked),
        trial("readers while slots are used again", readers_while_slots_are_used_again),
        trial("threads", threads),
        trial("killed producers", killed_producers),
        trial("room that another process makes", room_that_another_process_makes),
        trial("a child's objects are its own", a_childs_objects_are_its_own),
        trial("a fork in the middle of a get", a_fork_in_the_middle_of_a_get),
        trial("memory is given back", memory_is_given_back),
        trial("a maker that does nothing", a_maker_that_does_nothing),
        trial("a get beside the last evict", a_get_beside_the_last_evict),
        trial("nothing is kept where nothing may be", nothing_is_kept_where_nothing_may_be),
        trial("a maker that closes", a_maker_that_closes),
        trial("the last object of a maker that closed", the_last_object_of_a_maker_that_closed),
        trial("slabs of the dead are collected", slabs_of_the_dead_are_collected),
        trial("a living maker whose file somebody removed", a_living_maker_whose_file_somebody_removed),
        trial("clearing", clearing),
        trial("a slab has its name once it is whole", a_slab_has_its_name_once_it_is_whole),
        trial("slabs of another layout", slabs_of_another_layout),
        trial("a directory that was removed", a_directory_that_was_removed),
        trial("slabs that somebody changed", slabs_that_somebody_changed),
        by_root("slabs of others are refused", slabs_of_others_are_refused),
        trial("hostile keys", hostile_keys),
        trial("keys that are set", keys_that_are_set),
        trial("a bound counts what is in slabs", a_bound_counts_what_is_in_slabs),
        trial("a limit for files", a_limit_for_files),
        trial("nothing stays mapped", nothing_stays_mapped),
        by_root("a full file system", a_full_file_system),
        by_root("a nearly full file system", a_nearly_full_file_system),
    ];
    // Forked children go badly with threads that run other tests.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit();
}

/// An object all of whose words are the seed's: no part of it can be taken for another's.
fn object(seed: u64, size: usize) -> Bytes {
    let mut bytes = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().repeat(size.div_ceil(8));
    bytes.truncate(size);
    bytes.into()
}

fn is_object(found: &[u8], seed: u64) -> bool {
    let word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    // Comparing it with itself, a word further, is the fastest way.
    found.len() <= 8 && word.starts_with(found) || found.starts_with(&word) && found[8..] == found[..found.len() - 8]
}

fn slabs(place: &Place) -> Vec<PathBuf> {
    let state = place.dir().join(".crossdock");
    if !state.exists() {
        return Vec::new();
    }
    names(&state).iter().filter(|name| name.contains('.')).map(|name| state.join(name)).collect()
}

fn bytes_of(slabs: &[PathBuf]) -> u64 {
    slabs.iter().map(|slab| fs::metadata(slab).unwrap().len()).sum()
}

/// The sizes on either side of those of slots, up to what is in slabs.
fn sizes() -> impl Iterator<Item = usize> {
    let slots = [64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10];
    [0, 1, 7, 8, 9].into_iter().chain(slots.into_iter().flat_map(|size: usize| [size - 1, size, size + 1]))
}

fn objects_of_all_sizes() -> Outcome {
    let place = Place::new();
    let (shm, other) = (place.open(), place.open());
    let put = |size: usize| Ok::<_, crossdock::Error>((size, shm.put_bytes(object(size as u64, size))?));
    let keys: Vec<(usize, Key)> = sizes().map(put).collect::<Result<_, _>>()?;
    let in_files = names(&place.dir()).len() - 1;
    assert_eq!(in_files, 1, "all but the largest share files");
    for shm in [&shm, &other] {
        for (size, key) in &keys {
            assert!(shm.exists(key)?);
            assert_eq!(get(shm, key).as_deref(), Some(&*object(*size as u64, *size)), "{size} bytes");
            let into =
                shm.get_into(key, &GetOptions::default(), |size| Ok(vec![std::mem::MaybeUninit::new(0); size]))?;
            assert_eq!(into.map(|into| into.len()), Some(*size));
            assert_eq!(shm.get(key, &GetOptions::view())?.map(|view| view.len()), Some(*size));
        }
    }
    let (all, distinct): (Vec<_>, HashSet<_>) =
        (keys.iter().map(|(_, key)| id_of(key)).collect(), keys.iter().map(|(_, key)| id_of(key)).collect());
    assert_eq!(all.len(), distinct.len());
    for (_, key) in &keys {
        other.evict(key)?;
        other.evict(key)?;
        assert!(!shm.exists(key)? && get(&shm, key).is_none() && get(&other, key).is_none());
    }
    Ok(())
}

fn what_keys_say_is_checked() -> Outcome {
    let place = Place::new();
    let shm = ShmConnector::open(&place.options().integrity(Integrity::Checksum))?;
    let key = shm.put_bytes("an object")?;
    let right = key.as_object()?.clone();
    assert!(right.size == Some(9) && right.checksum.is_some());
    for wrong in [
        ObjectKey { size: Some(8), checksum: None, ..right.clone() },
        ObjectKey { checksum: right.checksum.map(|sum| sum ^ 1), ..right.clone() },
    ] {
        let wrong: Key = wrong.into();
        assert_eq!(shm.get_bytes(&wrong).unwrap_err().kind(), ErrorKind::Corrupt);
        let into = shm.get_into(&wrong, &GetOptions::default(), |size| Ok(Box::new_uninit_slice(size)));
        assert_eq!(into.map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let into = shm.get_into(&key, &GetOptions::default(), |size| Ok(Box::new_uninit_slice(size - 1)));
    assert_eq!(into.map(drop).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(get(&shm, &ObjectKey::bare(right.id).into()).as_deref(), Some(&b"an object"[..]));
    Ok(())
}

/// How many keys a producer tells of at a time.
const TOLD: usize = 8;

/// What a producer says to other processes, in memory that they share: the keys of the last objects, by their seeds.
struct Board(&'static [[AtomicU64; 3]; TOLD]);

impl Board {
    fn new() -> Self {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, of zeros, at least a page, which stays mapped.
        Self(unsafe {
            let page = libc::mmap(std::ptr::null_mut(), 4096, access, kind, -1, 0);
            assert_ne!(page, libc::MAP_FAILED);
            &*page.cast()
        })
    }

    fn write(&self, place: usize, seed: u64, key: &Key) {
        let [of, high, low] = &self.0[place % TOLD];
        let uuid = u128::from_str_radix(&id_of(key).replace('-', ""), 16).unwrap();
        of.store(0, Ordering::SeqCst);
        high.store((uuid >> 64) as u64, Ordering::SeqCst);
        low.store(uuid as u64, Ordering::SeqCst);
        of.store(seed, Ordering::SeqCst);
    }

    fn wipe(&self, place: usize) {
        self.0[place % TOLD][0].store(0, Ordering::SeqCst);
    }

    fn read(&self, place: usize) -> Option<(u64, Key)> {
        let [of, high, low] = &self.0[place % TOLD];
        let seed = of.load(Ordering::SeqCst);
        let uuid = u128::from(high.load(Ordering::SeqCst)) << 64 | u128::from(low.load(Ordering::SeqCst));
        (seed != 0 && of.load(Ordering::SeqCst) == seed).then(|| (seed, key_of(uuid)))
    }
}

fn key_of(uuid: u128) -> Key {
    let text = format!("{uuid:032x}");
    let id = format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]);
    ObjectKey::bare(&*id).into()
}

/// One process puts and evicts as fast as it can, others read what it tells of, which is gone when they come or while they read.
fn readers_while_slots_are_used_again() -> Outcome {
    const GETS: usize = 1_000_000;
    let place = Place::new();
    place.open();
    let options = place.options();
    let (board, end) = (Board::new(), Board::new());
    let reads = || {
        let shm = ShmConnector::attach(&options).unwrap();
        let (mut found, mut late) = (0, 0);
        for (seed, key) in (0..).filter_map(|turn| board.read(turn)).take(GETS) {
            match shm.get_bytes(&key) {
                Ok(Some(object)) if is_object(&object, seed) => found += 1,
                Ok(None) => late += 1,
                other => {
                    eprintln!("the object of seed {seed}: {other:?}");
                    return false;
                }
            }
        }
        end.0[0][0].fetch_add(1, Ordering::SeqCst);
        eprintln!("{found} found, {late} gone");
        found > 0 && late > 0
    };
    let children: Vec<_> = (0..2).map(|_| start_child(reads)).collect();
    let shm = ShmConnector::open(&options)?;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut live: Vec<Option<Key>> = vec![None; TOLD];
    let mut seed = 0;
    while end.0[0][0].load(Ordering::SeqCst) < 2 && children.iter().all(|child| is_running(*child)) {
        // The larger ones have few slots, and take long to read.
        let size = if rng.u8(..) < 128 { rng.usize(8..3_000) } else { rng.usize(40_000..60_000) };
        seed += 1;
        let at = seed as usize % TOLD;
        if let Some(old) = live[at].take() {
            shm.evict(&old)?;
        }
        let key = shm.put_bytes(object(seed, size))?;
        board.write(at, seed, &key);
        live[at] = Some(key);
    }
    assert!(children.into_iter().all(|child| end_of(child) == 0));
    eprintln!("{seed} objects put");
    Ok(())
}

/// Whether a child of ours has not ended yet. Its end can still be asked for.
fn is_running(child: i32) -> bool {
    // SAFETY: a siginfo of zeros is one.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable.
    let asked = unsafe { libc::waitid(libc::P_PID, child as libc::id_t, &raw mut info, options) };
    // SAFETY: the system has filled it, or left zeros.
    asked == 0 && unsafe { info.si_pid() } == 0
}

fn threads() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let work = |thread: u64| {
        let mut live: Vec<(u64, Key)> = Vec::new();
        let mut rng = fastrand::Rng::with_seed(thread);
        for round in 0..20_000_u64 {
            let seed = thread << 32 | round;
            live.push((seed, shm.put_bytes(object(seed, rng.usize(..5_000))).unwrap()));
            if live.len() > 20 {
                let (seed, key) = live.swap_remove(rng.usize(..live.len()));
                let found = get(&shm, &key);
                assert!(found.is_some_and(|found| is_object(&found, seed)));
                shm.evict(&key).unwrap();
            }
        }
        live.into_iter().for_each(|(_, key)| shm.evict(&key).unwrap());
    };
    std::thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || work(thread)))));
    assert!(bytes_of(&slabs(&place)) < 3 << 20, "slots are used again");
    Ok(())
}

fn kill(child: i32) {
    // SAFETY: the child is ours.
    unsafe { libc::kill(child, libc::SIGKILL) };
    end_of(child);
}

/// What a producer told of and did not begin to evict is there after it was killed; what it left goes with the last object.
fn killed_producers() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let options = place.options();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut kept = 0;
    for _ in 0..60 {
        let board = Board::new();
        let child = start_child(|| {
            let shm = ShmConnector::open(&options).unwrap();
            let mut rng = fastrand::Rng::new();
            let mut live: Vec<Option<Key>> = vec![None; TOLD];
            for seed in 1.. {
                let at = seed as usize % TOLD;
                if let Some(old) = live[at].take() {
                    board.wipe(at);
                    shm.evict(&old).unwrap();
                }
                let key = shm.put_bytes(object(seed, rng.usize(8..30_000))).unwrap();
                board.write(at, seed, &key);
                live[at] = Some(key);
            }
            true
        });
        while board.read(1).is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_micros(rng.u64(..2_000)));
        kill(child);
        let told: Vec<(u64, Key)> = (0..TOLD).filter_map(|at| board.read(at)).collect();
        ShmConnector::attach(&options)?;
        for (seed, key) in &told {
            let found = get(&shm, key).ok_or("what was acknowledged is not there")?;
            assert!(is_object(&found, *seed));
            shm.evict(key)?;
        }
        kept += told.len();
        // Killed between putting and telling, it has left one object more that nobody knows.
        ShmConnector::attach(&options)?;
        assert!(slabs(&place).len() <= 1, "{:?}", slabs(&place));
        slabs(&place).iter().for_each(|slab| fs::remove_file(slab).unwrap());
        assert!(place.state().is_empty(), "{:?}", place.state());
    }
    assert!(kept > 60, "{kept}");
    Ok(())
}

fn room_that_another_process_makes() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let options = place.options();
    let put = |from: u64| (from..from + 2_000).map(|seed| shm.put_bytes(object(seed, 1_000)).unwrap()).collect();
    let mut keys: Vec<Key> = put(0);
    let before = bytes_of(&slabs(&place));
    for round in 1..20 {
        assert!(in_a_child(|| {
            let theirs = ShmConnector::attach(&options).unwrap();
            keys.iter().all(|key| theirs.evict(key).is_ok())
        }));
        let fresh = put(round * 2_000);
        assert!(keys.iter().all(|key| get(&shm, key).is_none()), "an old key finds no new object");
        keys = fresh;
    }
    // The slab in use may have been begun when the others were looked at.
    assert!(bytes_of(&slabs(&place)) <= before + (2 << 20));
    for (seed, key) in (19 * 2_000..).zip(&keys) {
        assert!(get(&shm, key).is_some_and(|found| is_object(&found, seed)));
    }
    Ok(())
}

fn a_childs_objects_are_its_own() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let mut keys: Vec<Key> = (0..100).map(|seed| shm.put_bytes(object(seed, 500)).unwrap()).collect();
    let before: HashSet<PathBuf> = slabs(&place).into_iter().collect();
    let put = |seed: u64, told: &Board| {
        // With the connector that it inherits, and what that had mapped.
        let read = (0..).zip(&keys).all(|(seed, key)| get(&shm, key).is_some_and(|found| is_object(&found, seed)));
        let own = shm.put_bytes(object(seed, 500)).unwrap();
        told.write(0, seed, &own);
        read && get(&shm, &own).is_some_and(|found| is_object(&found, seed))
    };
    for child in 0..20 {
        let board = Board::new();
        assert!(in_a_child(|| put(1_000 + child, &board)));
        let (seed, key) = board.read(0).ok_or("the child has told of it")?;
        assert!(get(&shm, &key).is_some_and(|found| is_object(&found, seed)));
        assert!(keys.iter().all(|own| id_of(own)[..24] != id_of(&key)[..24]), "another maker");
    }
    assert!(before.iter().all(|slab| slab.exists()) && slabs(&place).len() == before.len() + 20);
    // A child that drops or closes the connector gives back nothing of its parent's.
    let shm = std::cell::Cell::new(Some(shm));
    assert!(in_a_child(|| shm.take().is_some_and(|shm| shm.close(&CloseOptions::default()).is_ok())));
    let shm = shm.take().ok_or("the parent has it")?;
    keys.push(shm.put_bytes(object(100, 500))?);
    assert!((0..).zip(&keys).all(|(seed, key)| get(&shm, key).is_some_and(|found| is_object(&found, seed))));
    Ok(())
}

/// The memory for an object may come from code that forks: the child goes on with the get.
fn a_fork_in_the_middle_of_a_get() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let keys: Vec<Key> = (0..50).map(|seed| shm.put_bytes(object(seed, 1_000)).unwrap()).collect();
    let mut child = 0;
    let found = shm.get_into(&keys[7], &GetOptions::default(), |size| {
        child = start_child(|| {
            let late = place.open();
            get(&late, &keys[8]).is_some() && late.put_bytes("own").is_ok() && get(&shm, &keys[9]).is_some()
        });
        Ok(vec![std::mem::MaybeUninit::<u8>::new(0); size])
    })?;
    assert_eq!((end_of(child), found.map(|found| found.len())), (0, Some(1_000)));
    // And here the child comes back from the call.
    let parent = std::process::id();
    let found = shm.get_into(&keys[7], &GetOptions::default(), |size| {
        // SAFETY: no other thread holds a lock; the child ends below.
        child = unsafe { libc::fork() };
        Ok(vec![std::mem::MaybeUninit::<u8>::new(0); size])
    });
    if std::process::id() != parent {
        let is_well = found.is_ok_and(|found| found.is_some()) && get(&shm, &keys[8]).is_some();
        // SAFETY: nothing is needed for it.
        unsafe { libc::_exit(i32::from(!is_well)) };
    }
    assert_eq!(end_of(child), 0);
    Ok(())
}

fn memory_is_given_back() -> Outcome {
    let place = Place::new();
    let shm = ShmConnector::open(&place.options().recycle_bytes(4 << 20))?;
    let keys: Vec<Key> = (0..20_000).map(|seed| shm.put_bytes(object(seed, 1_000)).unwrap()).collect();
    let most = bytes_of(&slabs(&place));
    assert!(most >= 20_000_000);
    let reader = place.open();
    assert!(keys.iter().all(|key| reader.exists(key).unwrap()));
    keys.iter().try_for_each(|key| shm.evict(key))?;
    // The maker notices when it needs a slot.
    let more: Vec<Key> = (0..3_000).map(|seed| shm.put_bytes(object(seed, 1_000)).unwrap()).collect();
    more.iter().try_for_each(|key| shm.evict(key))?;
    for seed in 0..3_000 {
        shm.evict(&shm.put_bytes(object(seed, 1_000))?)?;
    }
    let left = bytes_of(&slabs(&place));
    assert!(left <= 3 << 20, "{left} of {most}");
    assert!(keys.iter().chain(&more).all(|key| get(&reader, key).is_none()));
    shm.close(&CloseOptions::default())?;
    assert!(place.state().is_empty());
    Ok(())
}

/// The memory that the file system has given to what is in the directory, in bytes.
fn held(place: &Place) -> u64 {
    use std::os::unix::fs::MetadataExt;
    slabs(place).iter().map(|slab| fs::metadata(slab).map_or(0, |slab| slab.blocks() * 512)).sum()
}

/// What others evict does not wait for the maker to come by; nor do other sizes make and remake slabs then.
fn a_maker_that_does_nothing() -> Outcome {
    const BOUND: u64 = 4 << 20;
    let place = Place::new();
    let shm = ShmConnector::open(&place.options().recycle_bytes(BOUND))?;
    let keys: Vec<Key> = (0..400).map(|seed| shm.put_bytes(object(seed, 50_000)).unwrap()).collect();
    let other = place.open();
    assert!(held(&place) >= 20_000_000);
    keys.iter().try_for_each(|key| other.evict(key))?;
    assert!(held(&place) <= BOUND, "{}", held(&place));
    let before = slabs(&place);
    for seed in 0..20_000 {
        shm.evict(&shm.put_bytes(object(seed, 1_000))?)?;
    }
    assert!(held(&place) <= BOUND && slabs(&place).len() <= before.len() + 2, "{:?}", slabs(&place));
    assert!(keys.iter().all(|key| get(&other, key).is_none() && get(&shm, key).is_none()));
    Ok(())
}

/// It finds the object or none, whatever is left of the slab when it comes.
fn a_get_beside_the_last_evict() -> Outcome {
    const ROUNDS: usize = 4_000;
    let place = Place::new();
    let keys: Vec<std::sync::OnceLock<Key>> = (0..ROUNDS).map(|_| std::sync::OnceLock::new()).collect();
    let (ready, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let found = std::thread::scope(|scope| {
        let reads = scope.spawn(|| {
            keys.iter()
                .enumerate()
                .filter(|(round, key)| {
                    let shm = place.open();
                    ready.store(*round as u64 + 1, Ordering::SeqCst);
                    let found = get(&shm, key.wait());
                    done.store(*round as u64 + 1, Ordering::SeqCst);
                    found.is_some_and(|found| is_object(&found, *round as u64))
                })
                .count()
        });
        for (round, place_of_key) in keys.iter().enumerate() {
            let (shm, other) = (place.open(), place.open());
            let key = shm.put_bytes(object(round as u64, 100_000)).unwrap();
            shm.close(&CloseOptions::default()).unwrap();
            other.exists(&key).unwrap();
            while ready.load(Ordering::SeqCst) <= round as u64 && !reads.is_finished() {
                std::hint::spin_loop();
            }
            place_of_key.set(key.clone()).unwrap();
            (0..round * 7 % 3_000).for_each(|_| std::hint::spin_loop());
            other.evict(&key).unwrap();
            while done.load(Ordering::SeqCst) <= round as u64 && !reads.is_finished() {
                std::hint::spin_loop();
            }
        }
        reads.join().unwrap()
    });
    eprintln!("{found} of {ROUNDS} found");
    assert!(place.state().is_empty(), "{:?}", place.state());
    Ok(())
}

fn nothing_is_kept_where_nothing_may_be() -> Outcome {
    let place = Place::new();
    for options in [place.options().recycle_bytes(0), place.options().max_total_bytes(1 << 30)] {
        let shm = ShmConnector::open(&options)?;
        let key = shm.put_bytes("object")?;
        assert!(slabs(&place).is_empty() && get(&shm, &key).is_some());
        shm.evict(&key)?;
    }
    Ok(())
}

fn a_maker_that_closes() -> Outcome {
    let place = Place::new();
    let (shm, other) = (place.open(), place.open());
    let stays = shm.put_bytes(object(1, 100))?;
    let goes = shm.put_bytes(object(2, 5_000))?;
    shm.evict(&goes)?;
    assert_eq!(slabs(&place).len(), 2);
    shm.close(&CloseOptions::default())?;
    assert_eq!(place.state().len(), 1, "{:?}: the slab with an object", place.state());
    ShmConnector::attach(&place.options())?;
    assert_eq!(other.gc(&GcOptions::default())?.removed, 0);
    assert!(get(&other, &stays).is_some_and(|found| is_object(&found, 1)));
    Ok(())
}

fn the_last_object_of_a_maker_that_closed() -> Outcome {
    let place = Place::new();
    let (shm, other) = (place.open(), place.open());
    let keys: Vec<Key> = (0..1_000).map(|seed| shm.put_bytes(object(seed, 100)).unwrap()).collect();
    assert!(keys.iter().all(|key| other.exists(key).unwrap()));
    shm.close(&CloseOptions::default())?;
    let (last, rest) = keys.split_last().ok_or("there are some")?;
    rest.iter().try_for_each(|key| other.evict(key))?;
    assert_eq!(slabs(&place).len(), 1);
    assert!(get(&other, last).is_some());
    other.evict(last)?;
    assert!(place.state().is_empty(), "{:?}", place.state());
    Ok(())
}

/// A child that does it and ends without closing anything.
fn in_a_killed_process(work: impl FnOnce()) {
    assert!(in_a_child(|| {
        work();
        true
    }));
}

fn slabs_of_the_dead_are_collected() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let options = place.options();
    let board = Board::new();
    in_a_killed_process(|| {
        let shm = ShmConnector::open(&options).unwrap();
        board.write(0, 1, &shm.put_bytes(object(1, 100)).unwrap());
        shm.evict(&shm.put_bytes(object(2, 1_000)).unwrap()).unwrap();
        shm.evict(&shm.put_bytes(object(3, 10_000)).unwrap()).unwrap();
        std::mem::forget(shm);
    });
    let (_, key) = board.read(0).ok_or("told")?;
    let sizes = bytes_of(&slabs(&place));
    assert_eq!(slabs(&place).len(), 3);
    let dry = shm.gc(&GcOptions::default().dry_run(true))?;
    assert_eq!((dry.removed, slabs(&place).len()), (2, 3));
    ShmConnector::attach(&options)?;
    assert_eq!((slabs(&place).len(), place.state().len()), (1, 1));
    assert_eq!(dry.bytes, sizes - bytes_of(&slabs(&place)));
    assert!(get(&shm, &key).is_some_and(|found| is_object(&found, 1)));
    shm.evict(&key)?;
    let report = shm.gc(&GcOptions::default())?;
    assert_eq!((report.removed, place.state().len()), (1, 0));
    // And what was killed while it made one.
    in_a_killed_process(|| {
        let shm = ShmConnector::open(&options).unwrap();
        shm.put_bytes("object").unwrap();
        fs::write(&slabs(&place)[0], "").unwrap();
        std::mem::forget(shm);
    });
    ShmConnector::attach(&options)?;
    assert!(place.state().is_empty(), "{:?}", place.state());
    Ok(())
}

/// It is taken for one that has ended, which costs it its empty slabs, but nobody an object.
fn a_living_maker_whose_file_somebody_removed() -> Outcome {
    let place = Place::new();
    let (shm, other, third) = (place.open(), place.open(), place.open());
    let key = shm.put_bytes(object(1, 100))?;
    let lock = place.state().into_iter().find(|name| !name.contains('.')).ok_or("its file")?;
    fs::remove_file(place.dir().join(".crossdock").join(lock))?;
    other.gc(&GcOptions::default())?;
    assert!(get(&other, &key).is_some());
    shm.evict(&key)?;
    assert_eq!(other.gc(&GcOptions::default())?.removed, 1);
    for seed in 2..200 {
        let key = shm.put_bytes(object(seed, 100))?;
        let stranger = place.open();
        assert!(get(&stranger, &key).is_some_and(|found| is_object(&found, seed)), "others find it");
    }
    // Neither while it puts, which takes some time where objects are large.
    let (removed, end) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while end.load(Ordering::SeqCst) == 0 {
                removed.fetch_add(other.gc(&GcOptions::default()).unwrap().removed, Ordering::SeqCst);
            }
        });
        let mut lost = 0;
        for seed in (0..).take_while(|_| removed.load(Ordering::SeqCst) < 100) {
            let key = shm.put_bytes(object(seed, 100_000)).unwrap();
            lost += u32::from(!get(&third, &key).is_some_and(|found| is_object(&found, seed)));
            shm.evict(&key).unwrap();
        }
        end.store(1, Ordering::SeqCst);
        assert_eq!(lost, 0);
    });
    Ok(())
}

fn clearing() -> Outcome {
    let place = Place::new();
    let (shm, other, third) = (place.open(), place.open(), place.open());
    let keys = [other.put_bytes(object(1, 100))?, shm.put_bytes(object(2, 1_000))?];
    assert!(keys.iter().all(|key| get(&third, key).is_some()), "it has them mapped");
    shm.close(&CloseOptions::default().clear(true))?;
    assert!(slabs(&place).is_empty());
    for key in &keys {
        assert!(get(&third, key).is_none() && !third.exists(key)? && get(&other, key).is_none());
    }
    // A maker whose slabs are gone puts where others find it.
    for seed in 3..200 {
        let key = other.put_bytes(object(seed, 100))?;
        assert!(get(&place.open(), &key).is_some_and(|found| is_object(&found, seed)));
    }
    Ok(())
}

/// Who opens a slab never comes upon a part of one: a clear would take it for what was left.
fn a_slab_has_its_name_once_it_is_whole() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let end = AtomicU64::new(0);
    let read = |mut file: fs::File| {
        let mut magic = [0; 7];
        std::io::Read::read(&mut file, &mut magic).unwrap();
        magic
    };
    let is_part = |slab: &PathBuf| fs::File::open(slab).is_ok_and(|file| read(file) != *b"xd-slab");
    let parts = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut parts = 0;
            while end.load(Ordering::SeqCst) == 0 {
                parts += slabs(&place).iter().filter(|slab| is_part(slab)).count();
            }
            parts
        });
        (0..1_500).for_each(|seed| drop(shm.put_bytes(object(seed, 60_000)).unwrap()));
        end.store(1, Ordering::SeqCst);
        watch.join().unwrap()
    });
    assert_eq!(parts, 0);
    // Nor does a clear take away what it cannot read of a maker that lives.
    let strange = slabs(&place).pop().ok_or("there are some")?;
    std::os::unix::fs::FileExt::write_all_at(&fs::OpenOptions::new().write(true).open(&strange)?, &[0; 8], 0)?;
    place.open().close(&CloseOptions::default().clear(true))?;
    assert_eq!(slabs(&place), [strange]);
    Ok(())
}

/// Of what another version of crossdock left, with objects perhaps, nothing is taken away.
fn slabs_of_another_layout() -> Outcome {
    let place = Place::new();
    let options = place.options();
    let shm = place.open();
    in_a_killed_process(|| {
        let shm = ShmConnector::open(&options).unwrap();
        shm.put_bytes("object").unwrap();
        let slab = &slabs(&place)[0];
        let mut bytes = fs::read(slab).unwrap();
        bytes[7] ^= 1;
        fs::write(slab, bytes).unwrap();
        std::mem::forget(shm);
    });
    ShmConnector::attach(&options)?;
    let report = shm.gc(&GcOptions::default().min_age(std::time::Duration::ZERO))?;
    assert_eq!((report.removed, report.kept, slabs(&place).len()), (0, 1, 1));
    shm.close(&CloseOptions::default().clear(true))?;
    assert!(!place.dir().exists());
    Ok(())
}

/// What is removed behind a maker's back it notices after some milliseconds.
fn a_directory_that_was_removed() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let remove_all: fn(&Place) = |place| fs::remove_dir_all(place.dir()).unwrap();
    let remove_slabs: fn(&Place) = |place| slabs(place).iter().for_each(|slab| fs::remove_file(slab).unwrap());
    for remove in [remove_all, remove_slabs, remove_all] {
        let key = shm.put_bytes(object(1, 100))?;
        remove(&place);
        assert!(get(&place.open(), &key).is_none());
        // The slots that it has are enough for all of them.
        let is_found = |_| {
            let key = shm.put_bytes(object(2, 100)).unwrap();
            let is_found = get(&place.open(), &key).is_some();
            shm.evict(&key).unwrap();
            is_found
        };
        assert!((0..100_000).any(is_found));
    }
    Ok(())
}

fn slabs_that_somebody_changed() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let key = shm.put_bytes(object(1, 100))?;
    let slab = slabs(&place).pop().ok_or("there is one")?;
    let whole = fs::read(&slab)?;
    let mut other_maker = whole.clone();
    other_maker[9] ^= 1;
    let mut other_slots = whole.clone();
    other_slots[32] ^= 1;
    let mut many_slots = whole.clone();
    many_slots[32..40].fill(0xff);
    for damaged in
        [&whole[..whole.len() - 1], &whole[..4096], &whole[..20], &[], &other_maker, &other_slots, &many_slots]
    {
        fs::remove_file(&slab)?;
        fs::write(&slab, damaged)?;
        let late = place.open();
        for error in [late.get_bytes(&key).unwrap_err(), late.exists(&key).unwrap_err(), late.evict(&key).unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{} bytes", damaged.len());
        }
        late.gc(&GcOptions::default())?;
    }
    let holes = fs::File::create(&slab)?;
    holes.set_len(whole.len() as u64)?;
    std::os::unix::fs::FileExt::write_all_at(&holes, &whole[..4096], 0)?;
    assert_eq!(place.open().get_bytes(&key).unwrap_err().kind(), ErrorKind::Corrupt, "a hole is no memory");
    fs::write(&slab, &whole)?;
    assert!(get(&place.open(), &key).is_some());
    // A word of the table that says more than there is.
    let mut too_large = whole;
    too_large[512..516].copy_from_slice(&(200_000_u32 << 2 | 2).to_le_bytes());
    fs::write(&slab, &too_large)?;
    let sized: Key = ObjectKey { size: Some(100), ..key.as_object()?.clone() }.into();
    assert_eq!(place.open().get_bytes(&sized).unwrap_err().kind(), ErrorKind::Corrupt);
    let bare: Key = ObjectKey::bare(key.as_object()?.id.clone()).into();
    assert_eq!(place.open().get_bytes(&bare).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::remove_file(&slab)?;
    symlink("/etc/passwd", &slab)?;
    assert_eq!(place.open().get_bytes(&key).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::remove_file(&slab)?;
    assert!(get(&place.open(), &key).is_none() && !place.open().exists(&key)?);
    place.open().evict(&key)?;
    Ok(())
}

fn slabs_of_others_are_refused() -> Outcome {
    let place = Place::new();
    let key = place.open().put_bytes(object(1, 100))?;
    chown(&slabs(&place)[0], Some(12_345), None)?;
    assert_eq!(place.open().get_bytes(&key).unwrap_err().kind(), ErrorKind::Corrupt);
    Ok(())
}

/// Any bits in the place of slab, slot and generation: no object but those that were put, under their own ids.
fn hostile_keys() -> Outcome {
    let place = Place::new();
    let (shm, other) = (place.open(), place.open());
    let put = |seed: u64| (id_of(&shm.put_bytes(object(seed, seed as usize % 3_000)).unwrap()), seed);
    let stored: std::collections::HashMap<String, u64> = (1..2_000).map(put).collect();
    let some = u128::from_str_radix(&stored.keys().next().ok_or("some")?.replace('-', ""), 16)?;
    let mut rng = fastrand::Rng::with_seed(11);
    let mut found = 0;
    for round in 0..400_000 {
        let uuid = match round % 4 {
            // Another turn of a slab that there is, another slab, another maker, anything.
            0 => some & !0x07ff_ffff | rng.u128(..0x4000),
            1 => some & !0x7f_ffff_ffff | rng.u128(..0x80_0000_0000),
            2 => some ^ 1 << rng.u32(..62),
            _ => some & (!0 << 96) | rng.u128(..) >> 32,
        };
        let key = key_of(uuid);
        let seed = stored.get(&id_of(&key));
        match other.get_bytes(&key) {
            Ok(Some(object)) => {
                assert!(seed.is_some_and(|seed| is_object(&object, *seed)), "{key}");
                found += 1;
            }
            Ok(None) => assert!(seed.is_none(), "{key}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidKey, "{error}"),
        }
        if seed.is_none() && round % 16 < 4 {
            let _ = (other.exists(&key), other.evict(&key));
            // Others are names of files, which may be set.
            if uuid >> 39 & 1 == 1 {
                assert!(other.set(&key, "x".into(), &PutOptions::new()).is_err());
            }
        }
    }
    assert!(found > 100, "{found}");
    for (id, seed) in &stored {
        assert!(get(&other, &ObjectKey::bare(&**id).into()).is_some_and(|found| is_object(&found, *seed)));
    }
    Ok(())
}

fn keys_that_are_set() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let key = shm.put_bytes("object")?;
    shm.set(&key, "object".into(), &PutOptions::new())?;
    let bare: Key = ObjectKey::bare(key.as_object()?.id.clone()).into();
    for key in [&key, &bare] {
        for other in ["other", "tcejbo"] {
            let refused = shm.set(key, other.into(), &PutOptions::new()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        }
    }
    shm.evict(&key)?;
    assert_eq!(shm.set(&key, "object".into(), &PutOptions::new()).unwrap_err().kind(), ErrorKind::InvalidKey);
    Ok(())
}

fn a_bound_counts_what_is_in_slabs() -> Outcome {
    let place = Place::new();
    let free = place.open();
    let keys: Vec<Key> = (0..9).map(|seed| free.put_bytes(object(seed, 100_000)).unwrap()).collect();
    let bounded = ShmConnector::open(&place.options().max_total_bytes(1_000_000))?;
    bounded.put_bytes(object(9, 100_000))?;
    assert_eq!(bounded.put_bytes(object(10, 1)).unwrap_err().kind(), ErrorKind::Full);
    // Whoever evicts makes room, at once.
    bounded.evict(&keys[0])?;
    bounded.put_bytes(object(10, 100_000))?;
    assert_eq!(bounded.put_bytes(object(11, 1)).unwrap_err().kind(), ErrorKind::Full);
    free.evict(&keys[1])?;
    bounded.put_bytes(object(11, 100_000))?;
    Ok(())
}

/// A process that makes a file longer than it may is ended by a signal.
fn a_limit_for_files() -> Outcome {
    let place = Place::new();
    place.open();
    let options = place.options();
    assert!(in_a_child(|| {
        let limit = libc::rlimit { rlim_cur: 100 << 10, rlim_max: 100 << 10 };
        // SAFETY: `limit` is one.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
        let shm = ShmConnector::open(&options).unwrap();
        (0..3_000).all(|seed| shm.put_bytes(object(seed, 1_000)).is_ok())
    }));
    assert!(slabs(&place).iter().all(|slab| fs::metadata(slab).unwrap().len() <= 100 << 10));
    Ok(())
}

fn nothing_stays_mapped() -> Outcome {
    let place = Place::new();
    let (shm, other) = (place.open(), place.open());
    let maps = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(place.dir().to_str().unwrap())).count()
    };
    let keys: Vec<Key> = (0..1_000).map(|seed| shm.put_bytes(object(seed, 1_000)).unwrap()).collect();
    assert!(keys.iter().all(|key| get(&other, key).is_some()) && maps() > 2);
    [&shm, &other].into_iter().try_for_each(|shm| shm.close(&CloseOptions::default()))?;
    assert_eq!(maps(), 0);
    Ok(())
}

fn on_a_small_file_system(work: fn(&Path) -> Outcome) -> Outcome {
    let mount = tempfile::tempdir()?;
    let run = |program: &str, arguments: &[&str]| {
        let done = std::process::Command::new(program).args(arguments).arg(mount.path()).status().unwrap();
        assert!(done.success(), "{program}");
    };
    run("mount", &["-t", "tmpfs", "-o", "size=3m", "tmpfs"]);
    let outcome = std::panic::catch_unwind(|| work(&mount.path().join("objects")));
    run("umount", &[]);
    outcome.map_err(|_| "see above")?
}

fn a_full_file_system() -> Outcome {
    on_a_small_file_system(fill)
}

/// Where there is no room for a slab as large as the next would be, there is a smaller one.
fn a_nearly_full_file_system() -> Outcome {
    on_a_small_file_system(|dir| {
        let shm = ShmConnector::open(&ShmOptions::in_dir(dir).recycle_bytes(8 << 20))?;
        // All slots of the first slabs, each twice as large as the one before.
        for seed in 0..64 * 255 {
            shm.put_bytes(object(seed, 10))?;
        }
        let system = rustix::fs::statvfs(dir)?;
        fs::write(dir.join("other"), vec![0; (system.f_bavail * system.f_frsize) as usize - (100 << 10)])?;
        // 4 KiB each, they would not fit.
        let keys: Vec<Key> = (0..500).map(|seed| shm.put_bytes(object(seed, 10)).unwrap()).collect();
        shm.put_bytes(object(1, 40_000))?;
        keys.iter().try_for_each(|key| shm.evict(key))?;
        Ok(())
    })
}

/// Puts small objects until there is no room for another, in a slab or a file; evicted, they make room for anything.
fn fill(dir: &Path) -> Outcome {
    let shm = ShmConnector::open(&ShmOptions::in_dir(dir).recycle_bytes(4 << 20))?;
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..5 {
        let mut keys: Vec<(u64, Key)> = Vec::new();
        let error = loop {
            let seed = keys.len() as u64;
            match shm.put_bytes(object(seed, rng.usize(..6_000))) {
                Ok(key) => keys.push((seed, key)),
                Err(error) => break error,
            }
        };
        assert!(error.kind() == ErrorKind::Full && keys.len() > 300, "{} {error}", keys.len());
        let other = ShmConnector::open(&ShmOptions::in_dir(dir))?;
        for (seed, key) in &keys {
            assert!(get(&other, key).is_some_and(|found| is_object(&found, *seed)));
            other.evict(key)?;
        }
        let large = shm.put_bytes(object(1, 2_900_000))?;
        shm.evict(&large)?;
    }
    Ok(())
}
