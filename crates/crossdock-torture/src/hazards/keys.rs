//! Keys from strangers: nothing outside the directory is read, written or deleted, and nothing inside but objects.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crossdock::connectors::{FileConnector, FileOptions, LocalConnector};
use crossdock::{
    Connector, ConnectorExt, Error, ErrorKind, GetOptions, Key, MultiConnector, MultiKey, ObjectKey, Policy, PutOptions,
};

use super::{Hazard, Need};
use crate::rng::Rng;
use crate::run::{Outcome, Run};
use crate::system;

pub(super) const HAZARD: Hazard = Hazard {
    name: "keys",
    looked_for: "anything touched but objects, panics, hangs",
    small: 20_000,
    full: 1_000_000,
    needs: &[Need::Root],
    run,
};

const CANARY: &str = "the canary outside";
/// The world is inspected after so many keys.
const KEYS: u64 = 500;

/// Texts that ids are made of.
pub(super) const PIECES: &[&str] = &[
    "..",
    "../",
    "../../",
    "/",
    "//",
    "\\",
    ".",
    "./",
    "outside",
    "canary",
    "objects",
    "secret",
    "%2e%2e%2f",
    "%2F",
    "%00",
    "\0",
    "\n",
    "\r",
    "\u{7f}",
    "ü",
    "\u{202e}",
    "𝔘",
    "\u{feff}",
    "~",
    "$HOME",
    "${env:HOME}",
    ".ready",
    "-rf",
    "*",
    "?",
    ":",
    "%",
    "%%",
    "%zz",
    "C:",
    "etc/passwd",
    "proc/self/environ",
    "dev/zero",
    " ",
    "\t",
    "'",
    "\"",
    "[",
    "]",
    "{",
    "null",
    "0",
    "18446744073709551615",
    "-1",
    "a",
];

struct World {
    root: PathBuf,
    objects: PathBuf,
    /// The names of what was planted.
    planted: Vec<String>,
    /// Files of other people in the directory.
    strangers: Vec<String>,
}

fn run(run: &mut Run) -> Outcome {
    let mut world = build(run)?;
    let outside = outside(&world)?;
    let files = FileConnector::open(&FileOptions::new(&world.objects))?;
    let multi = MultiConnector::builder()
        .connector("disk", FileConnector::open(&FileOptions::new(&world.objects))?, Policy::any())
        .connector("memory", LocalConnector::new(), Policy::any())
        .build()?;
    for index in 0..run.count {
        let mut rng = run.rng(index);
        let id = some_id(&mut rng, &world);
        run.about_to(&format!("key {index}: {id:?}"))?;
        let touched = world.planted.contains(&id);
        run.guarded(|| format!("key {index}: {id:?}"), || try_texts(&files, &multi, &id, &mut rng));
        let outcome = run.guarded(|| format!("key {index}: {id:?}"), || try_values(&files, &multi, &id, &mut rng));
        if let Some(Err(what)) = outcome {
            run.found(format!("key {index} {id:?}: {what}"));
        }
        if touched {
            plant(&mut world, &mut rng)?;
        }
        if index % KEYS == KEYS - 1 || index + 1 == run.count {
            inspect(run, &mut world, &outside, index)?;
        }
        run.did(1);
    }
    Ok(())
}

/// A key as text and as JSON must be parsed or refused.
fn try_texts(files: &FileConnector, multi: &MultiConnector, id: &str, rng: &mut Rng) {
    let texts = [id.to_owned(), format!("disk/{id}"), format!("{id}/{id}"), format!("disk/{id}:{id}"), {
        let size = rng.next();
        format!("disk/{id}:{size}:{size:016x}")
    }];
    for key in texts.iter().filter_map(|text| text.parse::<Key>().ok()) {
        drop(files.exists(&key));
        drop(Connector::exists(multi, &key));
        drop(files.get_bytes(&key));
        drop(multi.get_bytes(&key));
        // What was parsed is written so that it is parsed to the same again.
        assert_eq!(key.to_string().parse::<Key>().as_ref(), Ok(&key));
    }
}

/// The same id as a value, in every operation.
fn try_values(files: &FileConnector, multi: &MultiConnector, id: &str, rng: &mut Rng) -> Result<(), String> {
    let size = rng.one_in(2).then(|| *rng.pick(&[0, 1, 18, u64::MAX, 1 << 40]));
    let checksum = rng.one_in(2).then(|| rng.next());
    let single = Key::from(ObjectKey { id: id.into(), size, checksum });
    let names = ["disk", "memory", "", "..", id];
    let nested = Key::from(MultiKey::new(*rng.pick(&names), single.clone()));
    let double = Key::from(MultiKey::new("disk", nested.clone()));
    let subjects: [(&dyn Connector, &Key); 4] =
        [(files, &single), (multi, &nested), (files, &nested), (multi, &double)];
    for (connector, key) in subjects {
        known(connector.exists(key).map(drop))?;
        for options in [GetOptions::default(), GetOptions::view()] {
            let found = connector.get(key, &options);
            if found.as_ref().is_ok_and(|found| found.as_deref().is_some_and(|bytes| bytes.starts_with(b"the canary")))
            {
                return Err(format!("{key:?} reads the canary"));
            }
            known(found.map(drop))?;
        }
        if rng.one_in(3) {
            let deferrable = connector.deferrable().ok_or("not deferrable")?;
            known(deferrable.set(key, Bytes::from_static(b"hostile"), &PutOptions::new()))?;
        }
        if rng.one_in(3) {
            known(connector.evict(key))?;
        }
    }
    Ok(())
}

/// Only kinds that say what is wrong with the key or the object; `Unavailable` where a directory is in the way.
fn known(outcome: Result<(), Error>) -> Result<(), String> {
    use ErrorKind::{AlreadyExists, Corrupt, InvalidKey, Unavailable, UnknownConnector};
    match outcome {
        Err(error) if ![InvalidKey, UnknownConnector, Corrupt, AlreadyExists, Unavailable].contains(&error.kind()) => {
            Err(format!("{error:?}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn some_id(rng: &mut Rng, world: &World) -> String {
    match rng.below(12) {
        0 => rng.pick(&world.planted).clone(),
        1 => rng.pick(&world.strangers).clone(),
        2 => world.root.join(rng.pick(&["canary", "outside/secret", "objects"])).display().to_string(),
        3 => rng.uuid(),
        4 => rng.pick(PIECES).repeat(rng.below(300)),
        5 => (0..rng.below(12)).filter_map(|_| char::from_u32(rng.next() as u32 % 0x11_0000)).collect(),
        6 => format!("{}{}", rng.pick(PIECES), rng.pick(&world.planted)),
        _ => (0..=rng.below(6)).map(|_| *rng.pick(PIECES)).collect(),
    }
}

fn build(run: &Run) -> Outcome<World> {
    let root = run.path("world");
    let objects = root.join("objects");
    fs::create_dir_all(root.join("outside"))?;
    for name in ["canary", "canary.ready", "outside/secret", "outside/secret.ready", "secret", "secret.ready", "a"] {
        fs::write(root.join(name), CANARY)?;
    }
    fs::create_dir(&objects)?;
    let strangers = ["notes.txt", "outside", "canary", "Makefile"].map(str::to_owned).to_vec();
    let mut world = World { root, objects, planted: Vec::new(), strangers };
    for name in &world.strangers {
        fs::write(world.objects.join(name), "a stranger's")?;
    }
    plant(&mut world, &mut run.rng(u64::MAX))?;
    Ok(world)
}

/// Plants under fresh names of objects, each with its marker, what is none.
fn plant(world: &mut World, rng: &mut Rng) -> Outcome {
    for name in world.planted.drain(..) {
        let path = world.objects.join(&name);
        drop(fs::remove_dir_all(&path));
        drop(fs::remove_file(&path));
        drop(fs::remove_file(world.objects.join(format!("{name}.ready"))));
    }
    let mut fresh = || -> Outcome<PathBuf> {
        let name = rng.uuid();
        fs::write(world.objects.join(format!("{name}.ready")), "")?;
        let path = world.objects.join(&name);
        world.planted.push(name);
        Ok(path)
    };
    symlink(world.root.join("canary"), fresh()?)?;
    symlink("../outside/secret", fresh()?)?;
    symlink("../outside", fresh()?)?;
    symlink("/dev/zero", fresh()?)?;
    fs::create_dir(fresh()?)?;
    system::make_node(&fresh()?, libc::S_IFIFO | 0o600, 0)?;
    // A device without bound, and one that waits.
    system::make_node(&fresh()?, libc::S_IFCHR | 0o600, libc::makedev(1, 5))?;
    system::make_node(&fresh()?, libc::S_IFCHR | 0o600, libc::makedev(5, 0))?;
    drop(std::os::unix::net::UnixListener::bind(fresh()?));
    let foreign = fresh()?;
    fs::write(&foreign, CANARY)?;
    chown(&foreign, Some(65_534), Some(65_534))?;
    Ok(())
}

/// What is beside the directory of the objects.
fn outside(world: &World) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for dir in [world.root.clone(), world.root.join("outside")] {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let bytes = if path.is_file() { fs::read(&path)? } else { Vec::new() };
            all.insert(path, bytes);
        }
    }
    Ok(all)
}

fn inspect(run: &mut Run, world: &mut World, before: &BTreeMap<PathBuf, Vec<u8>>, index: u64) -> Outcome {
    run.check(outside(world)? == *before, || format!("up to key {index}: something outside has changed"));
    for name in &world.strangers {
        let path = world.objects.join(name);
        let there = fs::read(&path).is_ok_and(|bytes| bytes == b"a stranger's");
        run.check(there, || format!("up to key {index}: {name}, which is no object, was changed or removed"));
        fs::write(&path, "a stranger's")?;
    }
    tidy(&world.objects, world)
}

/// Removes what hostile keys have set, inside the directory, where that is allowed.
fn tidy(dir: &Path, world: &World) -> Outcome {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let kept = world.planted.iter().chain(&world.strangers);
        if !kept.into_iter().any(|kept| name.strip_suffix(".ready").unwrap_or(&name) == kept) {
            drop(fs::remove_file(dir.join(name)));
        }
    }
    Ok(())
}
