//! A disk without space, or without inodes.
//!
//! A put that does not fit says `Full` and leaves nothing; evicting one object makes room for another; and with
//! `fallback = true` a multi-connector goes on to the next connector.

use std::fs;
use std::path::Path;

use crossdock::connectors::{FileConnector, FileOptions, LocalConnector};
use crossdock::{Connector, ConnectorExt, Durability, ErrorKind, GetOptions, Key, MultiConnector, Policy, PutOptions};

use super::{Hazard, Need};
use crate::object;
use crate::run::{Outcome, Run};
use crate::survey::survey;
use crate::system::Tmpfs;

pub(super) const HAZARD: Hazard = Hazard {
    name: "full-disk",
    looked_for: "half objects, wrong kinds, no way back, crashes",
    small: 8,
    full: 1_000,
    needs: &[Need::Mounts],
    run,
};

fn run(run: &mut Run) -> Outcome {
    let mount = run.path("tmpfs");
    for round in 0..run.count {
        let limits = ["size=4m", "size=4m,nr_inodes=60", "size=64k", "size=4m,nr_inodes=8"];
        let limits = limits[(round % 4) as usize];
        let disk = Tmpfs::mount(&mount, limits)?;
        let when = format!("round {round}, {limits}");
        fill(run, &mount.join("objects"), round, &when)?;
        fall_back(run, &mount.join("objects"), &when)?;
        drop(disk);
        run.did(1);
    }
    Ok(())
}

fn fill(run: &mut Run, dir: &Path, round: u64, when: &str) -> Outcome {
    let files = FileConnector::open(&FileOptions::new(dir))?;
    let mut rng = run.rng(round);
    let large = round.is_multiple_of(2);
    let level = if large { Durability::Process } else { Durability::Host };
    let options = PutOptions::new().durability(level);
    let mut stored: Vec<(Key, u64, usize)> = Vec::new();
    let mut views = Vec::new();
    let mut failures = 0;
    while failures < 20 {
        if stored.len() > 1_000 {
            run.found(format!("{when}: it is never full"));
            break;
        }
        let (seed, size) = (rng.next(), rng.below(if large { 200_000 } else { 20_000 }).max(object::MIN));
        let object = object::make(seed, size);
        let put = match rng.below(3) {
            0 => files.put_batch(&vec![object; 4], &options),
            1 => {
                let deferrable = files.require_deferrable()?;
                let key = deferrable.new_key(&crossdock::KeyHint::default())?;
                deferrable.set(&key, object, &options).map(|()| vec![key])
            }
            _ => files.put(object, &options).map(|key| vec![key]),
        };
        match put {
            Ok(keys) => stored.extend(keys.into_iter().map(|key| (key, seed, size))),
            Err(error) => {
                failures += 1;
                run.check(error.kind() == ErrorKind::Full, || format!("{when}: {error:?}"));
                let seen = survey(dir)?;
                seen.check_whole(run, when);
                run.check(seen.leftovers.is_empty(), || format!("{when}: {:?} left over", seen.leftovers));
                run.check(seen.visible.len() == stored.len(), || {
                    format!("{when}: {} visible, {} stored", seen.visible.len(), stored.len())
                });
                // Half of the time room is made.
                if failures % 2 == 0
                    && let Some((key, ..)) = stored.pop()
                {
                    views.extend(files.get(&key, &GetOptions::view())?);
                    files.evict(&key)?;
                }
            }
        }
    }
    for (key, seed, size) in &stored {
        let whole = files.get_bytes(key)?.is_some_and(|found| found == object::make(*seed, *size));
        run.check(whole, || format!("{when}: {key} is not what was put"));
    }
    // Views of what was evicted since.
    run.check(views.iter().all(|view| object::seed_of(view).is_some()), || format!("{when}: a view is torn"));
    drop(views);
    for (key, ..) in stored {
        files.evict(&key)?;
    }
    let again = files.put_bytes(object::make(1, 1_000));
    run.check(again.is_ok(), || format!("{when}: emptied, and yet {again:?}"));
    again.map_or(Ok(()), |key| Ok(files.evict(&key)?))
}

fn fall_back(run: &mut Run, dir: &Path, when: &str) -> Outcome {
    fs::write(dir.join("ballast"), vec![0; 1 << 23]).err().ok_or("the tmpfs takes 8 MiB")?;
    let mut ballast = 0;
    while fs::write(dir.join(format!("ballast-{ballast}")), "").is_ok() {
        ballast += 1;
        if ballast == 1_000 {
            break;
        }
    }
    for fallback in [true, false] {
        let first = Policy::builder().priority(1).fallback(fallback).build()?;
        let multi = MultiConnector::builder()
            .connector("disk", FileConnector::open(&FileOptions::new(dir))?, first)
            .connector("memory", LocalConnector::new(), Policy::any())
            .build()?;
        let object = object::make(7, 50_000);
        let one = multi.put(object.clone(), &PutOptions::new()).map(|key| vec![key]);
        let batch = multi.put_batch(&vec![object.clone(); 3], &PutOptions::new());
        for put in [one, batch] {
            match put {
                Ok(keys) if fallback => {
                    for key in keys {
                        let right = &*key.connector_name == "memory" && multi.get(&key)?.is_some_and(|o| o == object);
                        run.check(right, || format!("{when}: {key} after falling back"));
                    }
                }
                Err(error) if !fallback && error.kind() == ErrorKind::Full => {}
                other => run.found(format!("{when}: fallback = {fallback}, full, and {other:?}")),
            }
        }
        let seen = survey(dir)?;
        run.check(seen.visible.is_empty(), || format!("{when}: objects on a full disk"));
    }
    Ok(())
}
