//! Memory runs out in the middle of puts.
//!
//! A put that does not fit says `Full` and leaves nothing, nobody meets a bus error, what is evicted makes room, and with
//! `fallback = true` a multi-connector goes on to the next connector.

use bytes::Bytes;
use crossdock::connectors::{LocalConnector, ShmConnector, ShmOptions};
use crossdock::{Connector, ConnectorExt, ErrorKind, GetOptions, Key, MultiConnector, Policy, PutOptions};

use super::{check_whole, some_size};
use crate::hazards::{Hazard, Need};
use crate::object;
use crate::run::{Outcome, Run};
use crate::system::Tmpfs;

pub(in crate::hazards) const HAZARD: Hazard = Hazard {
    name: "shm-full",
    looked_for: "half objects, bus errors, wrong kinds, no way back",
    small: 8,
    full: 1_000,
    needs: &[Need::Mounts],
    run,
};

fn run(run: &mut Run) -> Outcome {
    let mount = run.path("tmpfs");
    let mut failures = 0;
    for round in 0..run.count {
        let limits = ["size=4m", "size=4m,nr_inodes=60", "size=1m", "size=700k,nr_inodes=20"];
        let limits = limits[(round % 4) as usize];
        let disk = Tmpfs::mount(&mount, limits)?;
        failures += fill(run, &ShmOptions::in_dir(mount.join("objects")), round, &format!("round {round}, {limits}"))?;
        drop(disk);
        run.did(1);
    }
    run.note(format_args!("{failures} puts did not fit"));
    Ok(())
}

fn fill(run: &mut Run, options: &ShmOptions, round: u64, when: &str) -> Outcome<u64> {
    let shm = ShmConnector::open(options)?;
    let mut rng = run.rng(round);
    let mut stored: Vec<(Key, u64)> = Vec::new();
    let mut views: Vec<Bytes> = Vec::new();
    let mut failures = 0;
    while failures < 30 {
        let seed = rng.next();
        let object = object::make(seed, some_size(&mut rng));
        let put = if rng.one_in(4) {
            shm.put_batch(&vec![object; 3], &PutOptions::new())
        } else {
            shm.put_bytes(object).map(|key| vec![key])
        };
        match put {
            Ok(keys) => stored.extend(keys.into_iter().map(|key| (key, seed))),
            Err(error) => {
                failures += 1;
                run.check(error.kind() == ErrorKind::Full, || format!("{when}: {error:?}"));
                if failures % 2 == 0 && !stored.is_empty() {
                    let (key, _) = stored.swap_remove(rng.below(stored.len()));
                    views.extend(shm.get(&key, &GetOptions::view())?);
                    shm.evict(&key)?;
                    views.truncate(5);
                }
            }
        }
    }
    for (key, seed) in &stored {
        let found = shm.get_bytes(key)?;
        run.check(found.is_some_and(|found| object::seed_of(&found) == Some(*seed)), || {
            format!("{when}: {key} is not what was put")
        });
    }
    fall_back(run, options, when)?;
    run.check(views.iter().all(|view| object::seed_of(view).is_some()), || format!("{when}: a view is torn"));
    drop(views);
    let dir = shm.dir().to_owned();
    shm.close(&crossdock::CloseOptions::default())?;
    let seen = check_whole(run, &dir, when)?;
    run.check(seen == stored.len(), || format!("{when}: {seen} objects, {} stored", stored.len()));
    let shm = ShmConnector::open(options)?;
    for (key, _) in &stored {
        shm.evict(key)?;
    }
    let again = shm.put_bytes(object::make(1, 300_000));
    run.check(again.is_ok(), || format!("{when}: emptied, and yet {again:?}"));
    Ok(failures)
}

fn fall_back(run: &mut Run, options: &ShmOptions, when: &str) -> Outcome {
    for fallback in [true, false] {
        let multi = MultiConnector::builder()
            .connector("fast", ShmConnector::open(options)?, Policy::builder().priority(1).fallback(fallback).build()?)
            .connector("rest", LocalConnector::new(), Policy::any())
            .build()?;
        let object = object::make(7, 5_000_000);
        match multi.put(object.clone(), &PutOptions::new()) {
            Ok(key) if fallback => {
                let right = &*key.connector_name == "rest" && multi.get(&key)?.is_some_and(|found| found == object);
                run.check(right, || format!("{when}: {key} after falling back"));
            }
            Err(error) if !fallback && error.kind() == ErrorKind::Full => {}
            other => run.found(format!("{when}: fallback = {fallback}, full, and {other:?}")),
        }
    }
    Ok(())
}
