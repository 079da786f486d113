//! Readers read an object while somebody evicts it: they get all of it or nothing, never an error.

use std::sync::Barrier;
use std::thread;

use bytes::Bytes;
use crossdock::connectors::{FileConnector, FileOptions, LocalConnector};
use crossdock::{Connector, ConnectorExt, Error, GetOptions, Integrity, Key, MultiConnector, Policy};

use super::Hazard;
use crate::object;
use crate::run::{Outcome, Run};

pub(super) const HAZARD: Hazard =
    Hazard { name: "evict-race", looked_for: "errors and wrong bytes", small: 2_000, full: 100_000, needs: &[], run };

type Read = Result<Option<Bytes>, Error>;

fn run(run: &mut Run) -> Outcome {
    let multi = MultiConnector::builder()
        .connector("small", LocalConnector::new(), Policy::builder().max_size_bytes(100).build()?)
        .connector("rest", FileConnector::open(&FileOptions::new(run.path("rest")))?, Policy::any())
        .build()?;
    let connectors: [(&str, Box<dyn Connector>); 3] = [
        ("file", Box::new(FileConnector::open(&FileOptions::new(run.path("objects")))?)),
        ("local", Box::new(LocalConnector::new())),
        ("multi", Box::new(multi)),
    ];
    let mut seen = 0_u64;
    for (index, (name, connector)) in connectors.iter().enumerate() {
        let share = (run.count + index as u64) / connectors.len() as u64;
        seen += race(run, name, &**connector, share)?;
    }
    run.note(format_args!("{seen} reads saw the object, the others nothing"));
    Ok(())
}

/// Three threads meet at every object: two read it in a way of their own, one evicts it.
fn race(run: &mut Run, name: &str, connector: &dyn Connector, races: u64) -> Outcome<u64> {
    let mut seen = 0;
    let chunk = 500;
    for start in (0..races).step_by(chunk) {
        let mut objects: Vec<(Key, Bytes)> = Vec::new();
        for index in start..races.min(start + chunk as u64) {
            let mut rng = run.rng(index);
            let object = object::make(rng.next(), rng.below(8_000));
            objects.push((connector.put_bytes(object.clone())?, object));
        }
        let barrier = Barrier::new(3);
        let each = |work: &mut dyn FnMut(&Key)| {
            for (key, _) in &objects {
                barrier.wait();
                work(key);
            }
        };
        let read = |options: GetOptions| -> Vec<Read> {
            let mut reads = Vec::new();
            each(&mut |key| reads.push(connector.get(key, &options)));
            reads
        };
        let (copies, views, evicts) = thread::scope(|scope| {
            let copies = scope.spawn(|| read(GetOptions::default()));
            let views = scope.spawn(|| read(GetOptions::view().integrity(Integrity::Checksum)));
            let mut evicts = Vec::new();
            each(&mut |key| evicts.push(connector.evict(key)));
            (copies.join(), views.join(), evicts)
        });
        let reads = [copies.map_err(|_| "a reader panicked")?, views.map_err(|_| "a reader panicked")?];
        for (read, (key, object)) in reads.iter().flat_map(|reads| reads.iter().zip(&objects)) {
            match read {
                Ok(None) => {}
                Ok(Some(bytes)) if bytes == object => seen += 1,
                Ok(Some(bytes)) => run.found(format!("{name}, {key}: {} wrong bytes", bytes.len())),
                Err(error) => run.found(format!("{name}, {key}: {error}")),
            }
        }
        for (evict, (key, _)) in evicts.iter().zip(&objects) {
            let gone = evict.is_ok() && !connector.exists(key)?;
            run.check(gone, || format!("{name}, {key}: evicting: {evict:?}"));
            run.did(1);
        }
    }
    Ok(seen)
}
