//! Small objects of shared memory, which share files: put, read and evicted by several at the same time.

#![expect(unsafe_code, reason = "memory that is shared with children")]

#[path = "common/children.rs"]
mod children;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/producers.rs"]
mod producers;
#[path = "common/slabs.rs"]
mod slabs;
#[path = "common/trials.rs"]
mod trials;

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crossdock::connectors::ShmConnector;
use crossdock::{
    CloseOptions, Connector, ConnectorExt, Deferrable, ErrorKind, GcOptions, GetOptions, Integrity, Key, ObjectKey,
    PutOptions,
};

use children::{end_of, in_a_child, start_child};
use memory::{Place, get, names};
use producers::{id_of, kill};
use slabs::{bytes_of, in_a_killed_process, is_object, object, slabs};
use trials::Outcome;

fn main() {
    trials::run(
        &[
            ("objects of all sizes", objects_of_all_sizes),
            ("what keys say is checked", what_keys_say_is_checked),
            ("readers while slots are used again", readers_while_slots_are_used_again),
            ("threads", threads),
            ("killed producers", killed_producers),
            ("slabs of the dead are collected", slabs_of_the_dead_are_collected),
            ("room that another process makes", room_that_another_process_makes),
            ("a child's objects are its own", a_childs_objects_are_its_own),
            ("a fork in the middle of a get", a_fork_in_the_middle_of_a_get),
            ("a get beside the last evict", a_get_beside_the_last_evict),
            ("hostile keys", hostile_keys),
            ("keys that are set", keys_that_are_set),
        ],
        &[],
    );
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
