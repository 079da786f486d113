//! Every byte of an object is flipped in turn, and the object is cut off at every length; also it grows.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{Connector, ConnectorExt, ErrorKind, GetOptions, Integrity, Key};

use super::Hazard;
use crate::object;
use crate::run::{Outcome, Run};

pub(super) const HAZARD: Hazard =
    Hazard { name: "corrupt", looked_for: "damaged objects handed out", small: 20, full: 1_000, needs: &[], run };

fn run(run: &mut Run) -> Outcome {
    let dir = run.path("objects");
    let files = FileConnector::open(&FileOptions::new(&dir))?;
    let mut damages = 0_u64;
    for index in 0..run.count {
        let mut rng = run.rng(index);
        let size = object::MIN + rng.below(4_000);
        let original = object::make(rng.next(), size);
        let key = files.put_bytes(original.clone())?;
        let Key::Object(object_key) = &key else { return Err("a file's key is an object's".into()) };
        let path = dir.join(object_key.id.to_string());
        let file = OpenOptions::new().write(true).open(&path)?;
        for (at, byte) in original.iter().enumerate() {
            let flip = 1_u8.wrapping_shl(rng.below(8) as u32);
            file.write_all_at(&[byte ^ flip], at as u64)?;
            refused(run, &files, &key, || format!("object {index}, byte {at} of {size} xor {flip}"));
            file.write_all_at(&[*byte], at as u64)?;
        }
        file.write_all_at(b"x", size as u64)?;
        refused_by_size(run, &files, &key, size + 1);
        refused(run, &files, &key, || format!("object {index}, one byte more than {size}"));
        for length in (0..size).rev() {
            file.set_len(length as u64)?;
            refused_by_size(run, &files, &key, length);
            refused(run, &files, &key, || format!("object {index}, {length} of {size} bytes"));
        }
        swapped(run, &files, &path, &key, &original)?;
        damages += 2 * size as u64 + 2;
        files.evict(&key)?;
        run.did(1);
    }
    run.note(format_args!("{damages} damages, each read as a copy, a checked view and in a batch"));
    Ok(())
}

/// Another length is seen where no checksum is asked for.
fn refused_by_size(run: &mut Run, files: &FileConnector, key: &Key, length: usize) {
    for options in [GetOptions::view(), GetOptions::default().integrity(Integrity::Size)] {
        let outcome = files.get(key, &options).map(drop);
        let refused = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt);
        run.check(refused, || format!("{key} with {length} bytes and {options:?}: {outcome:?}"));
    }
}

/// A whole object of the same size, but another one.
fn swapped(run: &mut Run, files: &FileConnector, path: &Path, key: &Key, original: &[u8]) -> Outcome {
    let mut other = original.to_vec();
    other.reverse();
    fs::write(path, &other)?;
    refused(run, files, key, || "another object's bytes".to_owned());
    fs::write(path, original)?;
    let found = files.get_bytes(key)?;
    run.check(found.as_deref() == Some(original), || "a repaired object is refused".to_owned());
    Ok(())
}

fn refused(run: &mut Run, files: &FileConnector, key: &Key, damage: impl Fn() -> String) {
    let view = GetOptions::view().integrity(Integrity::Checksum);
    let outcomes = [
        ("copy", files.get(key, &GetOptions::default()).map(drop)),
        ("view", files.get(key, &view).map(drop)),
        ("batch", files.get_batch(std::slice::from_ref(key), &GetOptions::default()).map(drop)),
    ];
    for (way, outcome) in outcomes {
        let refused = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt);
        run.check(refused, || format!("{}, as a {way}: {outcome:?}", damage()));
    }
}
