//! Shared memory: whose it is, when it is used again, and what is left of processes that have ended.

#[path = "common/children.rs"]
mod children;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/producers.rs"]
mod producers;
#[path = "common/trials.rs"]
mod trials;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crossdock::connectors::{LocalConnector, ShmConnector, ShmOptions};
use crossdock::{
    Bytes, CloseOptions, Connector, ConnectorExt, Deferrable, ErrorKind, GcOptions, GetOptions, Integrity, Key,
    KeyHint, MultiConnector, ObjectKey, Policy, PutOptions, Registry,
};

use children::{end_of, in_a_child, start_child};
use memory::{Place, get, names};
use producers::{id_of, kill};
use trials::Outcome;

/// An object of this size is kept, and mapped.
const LARGE: usize = 300_000;

fn main() {
    trials::run(
        &[
            ("files and directories are private", files_and_directories_are_private),
            ("the default directory is the user's own", the_default_directory_is_the_users_own),
            ("links and other users' directories are refused", links_and_open_directories_are_refused),
            ("memory of evicted objects is used again", memory_is_used_again),
            ("whoever evicts it", whoever_evicts_it),
            ("but not while somebody has a view", not_while_somebody_has_a_view),
            ("nor while a forked child has one", nor_while_a_forked_child_has_one),
            ("sizes may differ", sizes_may_differ),
            ("what is larger than the caches is whole", what_is_larger_than_the_caches_is_whole),
            ("a child has nothing of its parent", a_child_has_nothing_of_its_parent),
            ("names that somebody removed", names_that_somebody_removed),
            ("what is kept is bounded", what_is_kept_is_bounded),
            ("an id that is set again", an_id_that_is_set_again),
            ("a killed process leaves nothing", a_killed_process_leaves_nothing),
            ("a living process is left alone", a_living_process_is_left_alone),
            ("parts of objects are collected", parts_of_objects_are_collected),
            ("keys of other places are refused", keys_of_other_places_are_refused),
            ("what was changed is refused", what_was_changed_is_refused),
            ("a directory that was removed is made again", a_removed_directory_is_made_again),
            ("clearing leaves what is foreign", clearing_leaves_what_is_foreign),
            ("a bound is kept", a_bound_is_kept),
            ("configs", configs),
        ],
        &[
            ("files and directories of others are refused", those_of_others_are_refused),
            ("a full file system", a_full_file_system),
        ],
    );
}

fn file_of(place: &Place, key: &Key) -> PathBuf {
    place.dir().join(id_of(key))
}

fn pattern(seed: usize, size: usize) -> Bytes {
    (0..size).map(|n| (n.wrapping_mul(31).wrapping_add(seed.wrapping_mul(17)) >> 2) as u8).collect::<Vec<u8>>().into()
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn files_and_directories_are_private() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&place.dir()), 0o700);
    shm.put_bytes("in a slab")?;
    let key = shm.put_bytes(pattern(1, LARGE))?;
    assert_eq!(mode(&file_of(&place, &key)), 0o600);
    let state = place.dir().join(".crossdock");
    assert_eq!(mode(&state), 0o700);
    assert!(place.state().iter().all(|name| mode(&state.join(name)) == 0o600));
    Ok(())
}

fn the_default_directory_is_the_users_own() -> Outcome {
    let shm = ShmConnector::attach(&ShmOptions::new())?;
    let expected = format!("/dev/shm/crossdock-{}", rustix::process::geteuid().as_raw());
    assert_eq!(shm.dir().to_str(), Some(&*expected));
    assert_eq!(shm.config().options.iter().count(), 0, "it is the reader's own on each host");
    Ok(())
}

fn refused(options: &ShmOptions) -> String {
    let error = ShmConnector::attach(options).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, false));
    error.message().to_owned()
}

fn links_and_open_directories_are_refused() -> Outcome {
    let place = Place::new();
    fs::create_dir(place.dir())?;
    let link = place.0.path().join("link");
    symlink(place.dir(), &link)?;
    assert!(refused(&ShmOptions::in_dir(&link)).contains("link"));
    fs::write(place.0.path().join("file"), "")?;
    refused(&ShmOptions::in_dir(place.0.path().join("file")));
    for mode in [0o770, 0o702, 0o1777] {
        fs::set_permissions(place.dir(), fs::Permissions::from_mode(mode))?;
        assert!(refused(&place.options()).contains("chmod"));
    }
    fs::set_permissions(place.dir(), fs::Permissions::from_mode(0o755))?;
    let shm = place.open();
    // A link in the place of an object leads nowhere.
    let key = shm.put_bytes(pattern(1, LARGE))?;
    let (file, elsewhere) = (file_of(&place, &key), place.0.path().join("elsewhere"));
    fs::rename(&file, &elsewhere)?;
    symlink(&elsewhere, &file)?;
    assert_eq!(shm.get_bytes(&key).unwrap_err().kind(), ErrorKind::InvalidKey);
    assert!(!shm.exists(&key)?);
    Ok(())
}

const STRANGER: u32 = 12_345;

fn those_of_others_are_refused() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let key = shm.put_bytes(pattern(1, LARGE))?;
    chown(file_of(&place, &key), Some(STRANGER), None)?;
    assert_eq!(shm.get_bytes(&key).unwrap_err().kind(), ErrorKind::InvalidKey);
    chown(place.dir(), Some(STRANGER), None)?;
    assert!(refused(&place.options()).contains("12345"));
    Ok(())
}

/// Puts an object, and says which file it is in.
fn put(place: &Place, shm: &ShmConnector, seed: usize) -> (Key, u64) {
    let key = shm.put_bytes(pattern(seed, LARGE)).unwrap();
    let inode = inode(&file_of(place, &key));
    (key, inode)
}

fn memory_is_used_again() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let (mut key, first) = put(&place, &shm, 0);
    for round in 1..20 {
        shm.evict(&key)?;
        let (next, inode) = put(&place, &shm, round);
        assert_eq!(inode, first);
        assert_eq!(get(&shm, &key), None);
        assert!(get(&shm, &next).is_some_and(|found| found == pattern(round, LARGE)));
        key = next;
    }
    shm.evict(&key)?;
    shm.close(&CloseOptions::default())?;
    assert!(place.state().is_empty(), "what is kept is given back");
    Ok(())
}

fn whoever_evicts_it() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let (key, first) = put(&place, &shm, 1);
    let options = place.options();
    assert!(in_a_child(|| {
        let theirs = ShmConnector::attach(&options).unwrap();
        let view = theirs.get_bytes(&key).unwrap();
        theirs.evict(&key).is_ok() && view.is_some_and(|view| view == pattern(1, LARGE))
    }));
    assert_eq!(put(&place, &shm, 2).1, first);
    Ok(())
}

fn not_while_somebody_has_a_view() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let (key, first) = put(&place, &shm, 1);
    let view = get(&shm, &key).ok_or("it is there")?;
    let part = view.slice(LARGE - 10..);
    shm.evict(&key)?;
    let (other, second) = put(&place, &shm, 2);
    assert_ne!(second, first);
    drop(view);
    shm.evict(&other)?;
    let (other, third) = put(&place, &shm, 3);
    assert_eq!(third, second, "there is a part of the view left");
    assert_eq!(part, pattern(1, LARGE).slice(LARGE - 10..));
    drop(part);
    assert_eq!(put(&place, &shm, 4).1, first);
    assert!(get(&shm, &other).is_some_and(|found| found == pattern(3, LARGE)));
    Ok(())
}

fn nor_while_a_forked_child_has_one() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let (key, first) = put(&place, &shm, 1);
    let view = get(&shm, &key).ok_or("it is there")?;
    let child = start_child(|| {
        std::thread::sleep(std::time::Duration::from_secs(600));
        view.is_empty()
    });
    drop(view);
    shm.evict(&key)?;
    let (_, second) = put(&place, &shm, 2);
    assert_ne!(second, first, "the child has inherited the view");
    kill(child);
    assert_eq!(put(&place, &shm, 3).1, first, "who was killed has it no more");
    Ok(())
}

fn sizes_may_differ() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let mut key = put(&place, &shm, 0).0;
    let first = inode(&file_of(&place, &key));
    for (round, size) in
        [LARGE - 1, LARGE * 2 / 3, LARGE, LARGE + 5_000, LARGE * 3 / 2, LARGE * 4 / 5, LARGE].into_iter().enumerate()
    {
        shm.evict(&key)?;
        let object = pattern(round, size);
        key = shm.put_bytes(object.clone())?;
        let file = fs::metadata(file_of(&place, &key))?;
        assert_eq!((file.ino(), file.len()), (first, size as u64 + 64), "size {size}");
        assert!(file.blocks() * 512 >= file.len(), "no hole");
        assert!(get(&shm, &key) == Some(object));
    }
    Ok(())
}

fn what_is_larger_than_the_caches_is_whole() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let first = shm.put_bytes(pattern(0, 33 << 20))?;
    let file = inode(&file_of(&place, &first));
    shm.evict(&first)?;
    // In several parts, whose ends are nowhere in particular.
    for size in [(32_usize << 20) + 5, (40 << 20) + 23, 32 << 20] {
        // No part is like another.
        let object: Bytes = (0..size).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect();
        let key = shm.put_bytes(object.clone())?;
        assert_eq!(inode(&file_of(&place, &key)), file, "size {size}");
        assert!(get(&shm, &key) == Some(object), "size {size}");
        shm.evict(&key)?;
    }
    Ok(())
}

fn a_child_has_nothing_of_its_parent() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let (key, first) = put(&place, &shm, 1);
    shm.evict(&key)?;
    let file = place.dir().join(".crossdock");
    let works = || {
        let (key, inode) = put(&place, &shm, 2);
        inode != first && names(&file).len() >= 4 && get(&shm, &key).is_some_and(|found| found == pattern(2, LARGE))
    };
    assert!((0..20).map(|_| start_child(works)).collect::<Vec<_>>().into_iter().all(|child| end_of(child) == 0));
    assert_eq!(put(&place, &shm, 3).1, first, "the parent's is the parent's");
    // Neither does it give back what its parent has when it drops the connector.
    let kept = place.state();
    let shm = std::cell::Cell::new(Some(shm));
    assert!(in_a_child(|| {
        drop(shm.take());
        true
    }));
    assert!(kept.iter().all(|name| place.state().contains(name)));
    Ok(())
}

/// What somebody has removed by hand is not what was evicted.
fn names_that_somebody_removed() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let (key, first) = put(&place, &shm, 1);
    for name in place.state() {
        fs::remove_file(place.dir().join(".crossdock").join(name))?;
    }
    let (other, second) = put(&place, &shm, 2);
    assert_ne!(second, first);
    shm.evict(&other)?;
    fs::remove_dir_all(place.dir().join(".crossdock"))?;
    let (last, _) = put(&place, &shm, 3);
    for (seed, key) in [(1, key), (3, last)] {
        assert!(get(&shm, &key).is_some_and(|found| found == pattern(seed, LARGE)));
    }
    Ok(())
}

fn what_is_kept_is_bounded() -> Outcome {
    let place = Place::new();
    let shm = ShmConnector::open(&place.options().recycle_bytes(3 * LARGE as u64))?;
    let bytes = || -> u64 {
        let state = place.dir().join(".crossdock");
        place.state().iter().map(|name| fs::metadata(state.join(name)).unwrap().len()).sum()
    };
    let keys: Vec<Key> = (0..10).map(|seed| put(&place, &shm, seed).0).collect();
    assert!(bytes() > LARGE as u64 && bytes() <= 3 * LARGE as u64);
    for key in &keys {
        shm.evict(key)?;
    }
    assert!(bytes() <= 3 * LARGE as u64);
    let larger = shm.put_bytes(pattern(1, 2 * LARGE))?;
    shm.evict(&larger)?;
    assert!(bytes() <= 3 * LARGE as u64, "it takes the place of smaller ones");
    let again = shm.put_bytes(pattern(1, 2 * LARGE))?;
    shm.evict(&again)?;
    let off = ShmConnector::open(&place.options().recycle_bytes(0))?;
    let before = place.state();
    let key = off.put_bytes(pattern(1, LARGE))?;
    off.evict(&key)?;
    assert_eq!(place.state().len(), before.len() + 1, "nothing is kept but the file of the process");
    Ok(())
}

fn an_id_that_is_set_again() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let key = shm.new_key(&KeyHint::new())?;
    for round in 0..10 {
        let object = pattern(round, LARGE + round);
        shm.set(&key, object.clone(), &PutOptions::new())?;
        assert!(get(&shm, &key) == Some(object));
        let refused = shm.set(&key, pattern(99, LARGE), &PutOptions::new()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        shm.evict(&key)?;
    }
    Ok(())
}

/// Kept, written, half published: what a process had when it was killed.
fn a_killed_process_leaves_nothing() -> Outcome {
    let place = Place::new();
    place.open();
    let (options, dir) = (place.options(), place.dir());
    let child = start_child(|| {
        let shm = ShmConnector::open(&options).unwrap();
        let keys: Vec<Key> = (0..3).map(|seed| shm.put_bytes(pattern(seed, LARGE)).unwrap()).collect();
        shm.evict(&keys[0]).unwrap();
        fs::write(dir.join("ready"), keys[1].to_string()).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(600));
        true
    });
    let key = loop {
        match fs::read_to_string(place.dir().join("ready")).unwrap_or_default() {
            text if text.is_empty() => std::thread::yield_now(),
            text => break text.parse()?,
        }
    };
    let shm = ShmConnector::attach(&place.options())?;
    let view = get(&shm, &key).ok_or("it is there")?;
    assert_eq!(place.state().len(), 4, "the process and its three files");
    kill(child);
    let report = shm.gc(&GcOptions::default().dry_run(true))?;
    assert_eq!((report.removed, report.bytes), (3, LARGE as u64 + 64));
    ShmConnector::attach(&place.options())?;
    assert!(place.state().is_empty(), "{:?}", place.state());
    assert!(view == pattern(1, LARGE) && get(&shm, &key).is_some_and(|found| found == view));
    assert_eq!(names(&place.dir()).len(), 4, "two objects are left, the directory of state, and what the test said");
    Ok(())
}

fn a_living_process_is_left_alone() -> Outcome {
    let place = Place::new();
    let (first, second) = (place.open(), place.open());
    let (key, _) = put(&place, &first, 1);
    first.evict(&key)?;
    put(&place, &second, 2);
    let before = place.state();
    let now = GcOptions::default().min_age(std::time::Duration::ZERO);
    for shm in [&first, &second] {
        assert_eq!(shm.gc(&now)?.removed, 0);
    }
    assert!(in_a_child(|| first.gc(&now).is_ok_and(|report| report.removed == 0)));
    assert_eq!(place.state(), before);
    Ok(())
}

fn parts_of_objects_are_collected() -> Outcome {
    let place = Place::new();
    place.open();
    // Without slabs, which take no memory that is not to be kept.
    let (options, dir) = (place.options().recycle_bytes(0), place.dir());
    // As if it was killed between opening and writing, and in the middle of writing.
    assert!(in_a_child(|| {
        let shm = ShmConnector::open(&options).unwrap();
        let keys: Vec<Key> = (0..3).map(|_| shm.put_bytes(pattern(1, 10_000)).unwrap()).collect();
        for (key, size) in keys.iter().zip([0, 4096]) {
            fs::File::options().write(true).open(dir.join(id_of(key))).unwrap().set_len(size).unwrap();
        }
        std::mem::forget(shm);
        true
    }));
    assert_eq!(names(&place.dir()).len(), 4);
    let shm = ShmConnector::attach(&options)?;
    assert_eq!((names(&place.dir()).len(), place.state().len()), (2, 0));
    // Where somebody has removed the file of their maker, they must be old.
    let key = shm.put_bytes("whole")?;
    let part = shm.put_bytes("part")?;
    fs::File::options().write(true).open(file_of(&place, &part))?.set_len(66)?;
    for name in place.state() {
        fs::remove_file(place.dir().join(".crossdock").join(name))?;
    }
    assert_eq!(shm.gc(&GcOptions::default())?.kept, 1);
    assert_eq!(shm.gc(&GcOptions::default().min_age(std::time::Duration::ZERO))?.removed, 1);
    assert_eq!(get(&shm, &key).as_deref(), Some(&b"whole"[..]));
    Ok(())
}

fn keys_of_other_places_are_refused() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let key = shm.put_bytes("object")?;
    let id = id_of(&key);
    let other = if id.starts_with('0') { "1" } else { "0" };
    let foreign: Key = ObjectKey::bare(&*format!("{other}{}", &id[1..])).into();
    for error in [
        shm.get_bytes(&foreign).unwrap_err(),
        shm.exists(&foreign).unwrap_err(),
        shm.evict(&foreign).unwrap_err(),
        shm.set(&foreign, "object".into(), &PutOptions::new()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidKey);
        assert!(error.message().contains("another host"), "{error}");
    }
    // On another file system (another container's, say) it is another place too.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let elsewhere = ShmConnector::open(&ShmOptions::in_dir(disk.path()))?;
    assert_eq!(elsewhere.get_bytes(&key).unwrap_err().kind(), ErrorKind::InvalidKey);
    assert_eq!(elsewhere.check()?.warnings.len(), 1, "it is no memory");
    assert!(shm.check()?.warnings.is_empty());
    Ok(())
}

fn what_was_changed_is_refused() -> Outcome {
    let place = Place::new();
    // Both are files.
    let shm = ShmConnector::open(&place.options().recycle_bytes(0))?;
    for size in [100, LARGE] {
        let key = shm.put_bytes(pattern(1, size))?;
        let (file, whole) = (file_of(&place, &key), fs::read(file_of(&place, &key))?);
        let other = fs::read(file_of(&place, &shm.put_bytes(pattern(2, size))?))?;
        let header = [&[b'?'][..], &whole[1..]].concat();
        for damaged in [
            &whole[..whole.len() - 1],
            &whole[..64],
            &whole[..63],
            &[],
            &header,
            &other,
            &[whole.clone(), vec![0]].concat(),
        ] {
            fs::write(&file, damaged)?;
            for options in [GetOptions::default(), GetOptions::view()] {
                let refused = shm.get(&key, &options).map(|found| found.map(|found| found.len())).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Corrupt, "{} bytes", damaged.len());
                let into = shm.get_into(&key, &options, |size| Ok(Box::new_uninit_slice(size)));
                assert_eq!(into.map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
            }
        }
        fs::write(&file, &whole)?;
        assert!(get(&shm, &key) == Some(pattern(1, size)));
    }
    // Other bytes are noticed where a checksum is asked for.
    let checked = ShmConnector::open(&place.options().integrity(Integrity::Checksum))?;
    let key = checked.put_bytes(pattern(1, LARGE))?;
    let mut bytes = fs::read(file_of(&place, &key))?;
    bytes[5_000] ^= 1;
    fs::write(file_of(&place, &key), bytes)?;
    assert_eq!(checked.get_bytes(&key).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(checked.get(&key, &GetOptions::view())?.is_some(), "a view is not read");
    Ok(())
}

fn a_removed_directory_is_made_again() -> Outcome {
    let place = Place::new();
    let shm = place.open();
    let key = shm.put_bytes(pattern(1, LARGE))?;
    let view = get(&shm, &key);
    for size in [10, LARGE] {
        fs::remove_dir_all(place.dir())?;
        assert_eq!(get(&shm, &key), None);
        let again = shm.put_bytes(pattern(2, size))?;
        assert!(get(&shm, &again) == Some(pattern(2, size)));
    }
    assert!(view.is_some_and(|view| view == pattern(1, LARGE)));
    let late = ShmConnector::attach(&ShmOptions::in_dir(place.0.path().join("late")))?;
    assert_eq!(late.get_bytes(&key).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(late.gc(&GcOptions::default())?.removed, 0);
    late.put_bytes("made by the first put")?;
    Ok(())
}

fn clearing_leaves_what_is_foreign() -> Outcome {
    let place = Place::new();
    let shm = ShmConnector::open(&place.options().clear(true))?;
    let other = place.open();
    for size in [10, LARGE] {
        shm.put_bytes(pattern(1, size))?;
        other.put_bytes(pattern(2, size))?;
    }
    fs::write(place.dir().join("notes"), "mine")?;
    fs::write(place.dir().join(".crossdock/notes"), "mine")?;
    assert!(in_a_child(|| shm.close(&CloseOptions::default()).is_ok()));
    assert_eq!(names(&place.dir()).len(), 4, "a child was not asked to clear");
    shm.close(&CloseOptions::default())?;
    assert_eq!(names(&place.dir()), [".crossdock", "notes"]);
    let key = other.put_bytes(pattern(3, LARGE))?;
    assert!(get(&other, &key).is_some_and(|found| found == pattern(3, LARGE)));
    fs::remove_file(place.dir().join("notes"))?;
    fs::remove_file(place.dir().join(".crossdock/notes"))?;
    other.close(&CloseOptions::default().clear(true))?;
    assert!(!place.dir().exists());
    Ok(())
}

fn a_bound_is_kept() -> Outcome {
    let place = Place::new();
    let options = place.options().max_total_bytes(1_000_000);
    let (first, second) = (ShmConnector::open(&options)?, ShmConnector::open(&options)?);
    let keys: Vec<Key> = (0..3).map(|seed| first.put_bytes(pattern(seed, LARGE)).unwrap()).collect();
    assert_eq!(second.put_bytes(pattern(3, LARGE)).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(second.put_bytes(pattern(3, 1_000_001)).unwrap_err().kind(), ErrorKind::TooLarge);
    second.put_bytes(pattern(3, 100_000))?;
    second.evict(&keys[1])?;
    second.put_bytes(pattern(4, LARGE))?;
    let batch = vec![pattern(5, 1); 3];
    assert_eq!(first.put_batch(&batch, &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
    Ok(())
}

/// Puts until it is full; what is kept makes room; where a policy says so, others take what does not fit.
fn a_full_file_system() -> Outcome {
    let mount = tempfile::tempdir()?;
    let run = |program: &str, arguments: &[&str]| {
        let done = std::process::Command::new(program).args(arguments).arg(mount.path()).status().unwrap();
        assert!(done.success(), "{program}");
    };
    run("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
    let outcome = std::panic::catch_unwind(|| fill(&mount.path().join("objects")));
    run("umount", &[]);
    outcome.map_err(|_| "see above")?
}

fn fill(dir: &Path) -> Outcome {
    let shm = ShmConnector::open(&ShmOptions::in_dir(dir).recycle_bytes(1 << 20))?;
    let mut keys = Vec::new();
    let error = loop {
        match shm.put_bytes(pattern(keys.len(), LARGE)) {
            Ok(key) => keys.push(key),
            Err(error) => break error,
        }
    };
    assert!(error.kind() == ErrorKind::Full && keys.len() >= 12, "{error}");
    for (seed, key) in keys.iter().enumerate() {
        assert!(get(&shm, key) == Some(pattern(seed, LARGE)));
    }
    let multi = MultiConnector::builder()
        .connector(
            "fast",
            ShmConnector::open(&ShmOptions::in_dir(dir))?,
            Policy::builder().priority(1).fallback(true).build()?,
        )
        .connector("rest", LocalConnector::new(), Policy::any())
        .build()?;
    assert_eq!(&*multi.put(pattern(0, LARGE), &PutOptions::new())?.connector_name, "rest");
    // What was evicted is kept, but gives way to what needs the room.
    for key in keys.drain(..3) {
        shm.evict(&key)?;
    }
    keys.push(shm.put_bytes(pattern(7, 3 * LARGE))?);
    assert!(get(&shm, &keys[keys.len() - 1]) == Some(pattern(7, 3 * LARGE)));
    for key in keys {
        shm.evict(&key)?;
    }
    shm.put_bytes(pattern(8, 9 * LARGE))?;
    Ok(())
}

fn configs() -> Outcome {
    let place = Place::new();
    let text = format!(
        "[connectors.fast]\ntype = \"shm\"\ndir = {:?}\nmax_total_bytes = \"1 MiB\"\nrecycle_bytes = 0\n\
         [connectors.plain]\ntype = \"crossdock.connectors.shm.SharedMemoryConnector\"",
        place.dir()
    );
    let config = crossdock::config::Config::from_text(&text)?;
    let registry = Registry::builtin();
    let multi = registry.connect(&config)?;
    assert!(!place.dir().exists(), "reading a config makes nothing");
    let key = multi.put("object", &PutOptions::new())?;
    assert_eq!(multi.get(&key)?.as_deref(), Some(&b"object"[..]));
    assert_eq!(multi.config().to_table(), registry.canonical(&config)?.to_table());
    let wrong = |options: &str| {
        let text = format!("[connectors.x]\ntype = \"shm\"\n{options}");
        registry.connect(&crossdock::config::Config::from_text(&text).unwrap()).unwrap_err().message().to_owned()
    };
    assert!(wrong("dir = \"relative\"").contains("not absolute"));
    assert!(wrong("durability = \"host\"").contains("unknown field"));
    assert!(wrong("integrity = \"both\"").contains("integrity"));
    Ok(())
}
