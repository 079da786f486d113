//! The files that small objects of shared memory share: what becomes of them, and whom they keep out.

#![expect(unsafe_code, reason = "system calls without a safe form")]

#[path = "common/children.rs"]
mod children;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/slabs.rs"]
mod slabs;
#[path = "common/trials.rs"]
mod trials;

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crossdock::connectors::{ShmConnector, ShmOptions};
use crossdock::{CloseOptions, Connector, ConnectorExt, ErrorKind, GcOptions, Key, ObjectKey};

use children::in_a_child;
use memory::{Place, get};
use slabs::{bytes_of, in_a_killed_process, is_object, object, slabs};
use trials::Outcome;

fn main() {
    trials::run(
        &[
            ("memory is given back", memory_is_given_back),
            ("a maker that does nothing", a_maker_that_does_nothing),
            ("nothing is kept where nothing may be", nothing_is_kept_where_nothing_may_be),
            ("a maker that closes", a_maker_that_closes),
            ("the last object of a maker that closed", the_last_object_of_a_maker_that_closed),
            ("a living maker whose file somebody removed", a_living_maker_whose_file_somebody_removed),
            ("clearing", clearing),
            ("a slab has its name once it is whole", a_slab_has_its_name_once_it_is_whole),
            ("slabs of another layout", slabs_of_another_layout),
            ("a directory that was removed", a_directory_that_was_removed),
            ("slabs that somebody changed", slabs_that_somebody_changed),
            ("a bound counts what is in slabs", a_bound_counts_what_is_in_slabs),
            ("a limit for files", a_limit_for_files),
            ("nothing stays mapped", nothing_stays_mapped),
        ],
        &[
            ("slabs of others are refused", slabs_of_others_are_refused),
            ("a full file system", a_full_file_system),
            ("a nearly full file system", a_nearly_full_file_system),
        ],
    );
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
