//! What this program does when it starts itself.

use std::io::{self, BufRead, Write};
use std::path::Path;

use bytes::Bytes;
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{Connector, ConnectorExt, Durability, ErrorKind, Key, KeyHint, PutOptions};

use crate::hazards;
use crate::object;
use crate::parent;
use crate::rng::Rng;
use crate::run::Outcome;
use crate::seccomp;
use crate::strace::{BEGIN, END};

/// Plays the role named by the first argument.
pub(crate) fn play(arguments: &[String]) -> Outcome {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["hazard", name, count, seed, dir] => {
            let hazard = hazards::named(name).ok_or("no such hazard")?;
            parent::serve(hazard, count.parse()?, seed.parse()?, Path::new(dir))
        }
        ["putter", dir, seed, levels, puts, ref conditions @ ..] => {
            apply(conditions)?;
            let puts = puts.parse()?;
            // Its disk may be taken away; what it said until then counts.
            put_and_wait(Path::new(dir), Rng::new(seed.parse()?), levels == "both", puts)
                .or_else(|why| say(&format!("stopped {why}")))
        }
        ["steps", dir, ref conditions @ ..] => {
            apply(conditions)?;
            take_steps(&FileOptions::new(dir))
        }
        ["bounded-steps", dir, bytes, ref conditions @ ..] => {
            apply(conditions)?;
            take_steps(&FileOptions::new(dir).max_total_bytes(bytes.parse()?))
        }
        ["shm-producer", dir, seed] => hazards::shm::produce(Path::new(dir), Rng::new(seed.parse()?)),
        ["shm-holder", dir, seed] => hazards::shm::hold(Path::new(dir), Rng::new(seed.parse()?)),
        ["setter", dir, ref conditions @ ..] => {
            apply(conditions)?;
            set_what_is_asked(Path::new(dir))
        }
        _ => Err(format!("no role is called {arguments:?}").into()),
    }
}

fn apply(conditions: &[&str]) -> Outcome {
    for condition in conditions {
        match *condition {
            "named" => seccomp::without_unnamed_files()?,
            "short" => seccomp::with_short_writes()?,
            "below" => seccomp::with_files_below(4_000)?,
            _ => return Err(format!("no condition is called {condition:?}").into()),
        }
    }
    Ok(())
}

/// One write, so that whoever reads sees whole lines, and nothing is said twice after a fork.
pub(crate) fn say(line: &str) -> Outcome {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes())?;
    Ok(stdout.flush()?)
}

fn level(host: bool) -> PutOptions {
    PutOptions::new().durability(if host { Durability::Host } else { Durability::Process })
}

/// Puts in every way there is, and says `LEVEL KEY SEED SIZE` of each object once it is stored. After so many puts it
/// waits for its end.
fn put_and_wait(dir: &Path, mut rng: Rng, both_levels: bool, puts: u64) -> Outcome {
    let files = FileConnector::open(&FileOptions::new(dir))?;
    let deferrable = files.require_deferrable()?;
    say("ready")?;
    for _ in 0..puts {
        let host = both_levels && !rng.one_in(3);
        let word = if host { "host" } else { "process" };
        let seed = rng.next();
        let object = object::make(seed, object::some_size(&mut rng));
        let told = |key: &Key, word: &str| say(&format!("{word} {key} {seed} {}", object.len()));
        match rng.below(8) {
            0 => {
                let keys = files.put_batch(&vec![object.clone(); 3], &level(host))?;
                keys.iter().try_for_each(|key| told(key, word))?;
            }
            1 => {
                let key = deferrable.new_key(&KeyHint::default())?;
                deferrable.set(&key, object.clone(), &level(host))?;
                told(&key, word)?;
            }
            2 => {
                // What was stored with little care is stored again with more.
                let key = deferrable.new_key(&KeyHint::default())?;
                deferrable.set(&key, object.clone(), &level(false))?;
                deferrable.set(&key, object.clone(), &level(host))?;
                told(&key, word)?;
            }
            _ => told(&files.put(object.clone(), &level(host))?, word)?,
        }
    }
    say("waiting")?;
    io::stdin().lines().for_each(drop);
    Ok(())
}

/// The objects of [`take_steps`]: step and item give the seed, the bytes are always the same.
pub(crate) fn step_object(step: u64, item: u64) -> Bytes {
    object::make(step * 100 + item, 5_000 + (step * 100 + item) as usize)
}

fn tell(step: u64, keys: &[Key], outcome: Result<(), crossdock::Error>) -> Outcome {
    let list = |keys: &[Key]| keys.iter().map(Key::to_string).collect::<Vec<_>>().join(",");
    match outcome {
        Ok(()) => say(&format!("{step} ok {}", list(keys))),
        Err(error) => say(&format!("{step} {:?} {}", error.kind(), list(error.keys()))),
    }
}

/// One of each: `STEP OUTCOME KEYS` is said of every step.
fn take_steps(options: &FileOptions) -> Outcome {
    say(BEGIN)?;
    match FileConnector::open(options) {
        Ok(files) => each_step(&files)?,
        Err(error) => tell(0, &[], Err(error))?,
    }
    say(END)
}

fn each_step(files: &FileConnector) -> Outcome {
    tell(0, &[], Ok(()))?;
    let mut first = None;
    for (step, host) in [(1, false), (2, true)] {
        let put = files.put(step_object(step, 0), &level(host));
        tell(step, put.as_ref().map_or(&[], std::slice::from_ref), put.as_ref().map(drop).map_err(copy))?;
        first = first.or(put.ok());
    }
    let batch = files.put_batch(&[0, 1, 2].map(|item| step_object(3, item)), &level(true));
    tell(3, batch.as_deref().unwrap_or_default(), batch.as_ref().map(drop).map_err(copy))?;

    let deferrable = files.require_deferrable()?;
    for (step, host) in [(4, false), (5, true)] {
        let key = deferrable.new_key(&KeyHint::default())?;
        let set = || deferrable.set(&key, step_object(step, 0), &level(host));
        let outcome = set();
        let stored = outcome.is_ok();
        tell(step, std::slice::from_ref(&key), outcome)?;
        if stored {
            tell(step, std::slice::from_ref(&key), set())?;
        }
    }
    if let Some(key) = first {
        tell(9, std::slice::from_ref(&key), files.evict(&key))?;
    }
    Ok(())
}

fn copy(error: &crossdock::Error) -> crossdock::Error {
    crossdock::Error::new(error.kind(), error.message()).with_keys(error.keys().iter().cloned())
}

/// Reads `KEY SEED SIZE` lines and answers how setting that object went.
fn set_what_is_asked(dir: &Path) -> Outcome {
    let files = FileConnector::open(&FileOptions::new(dir))?;
    let deferrable = files.require_deferrable()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let [key, seed, size] = line.split(' ').collect::<Vec<_>>()[..] else { return Err("not a request".into()) };
        let object = object::make(seed.parse()?, size.parse()?);
        match deferrable.set(&key.parse()?, object, &PutOptions::new()) {
            Ok(()) => say("set")?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => say("exists")?,
            Err(error) => say(&format!("error {error:?}"))?,
        }
    }
    Ok(())
}
