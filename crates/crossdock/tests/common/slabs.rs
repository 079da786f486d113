//! Objects that tell whose they are, and the files that they are in.

use std::fs;
use std::path::PathBuf;

use crossdock::Bytes;

use crate::children::in_a_child;
use crate::memory::{Place, names};

/// An object all of whose words are the seed's: no part of it can be taken for another's.
pub(crate) fn object(seed: u64, size: usize) -> Bytes {
    let mut bytes = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().repeat(size.div_ceil(8));
    bytes.truncate(size);
    bytes.into()
}

pub(crate) fn is_object(found: &[u8], seed: u64) -> bool {
    let word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    // Comparing it with itself, a word further, is the fastest way.
    found.len() <= 8 && word.starts_with(found) || found.starts_with(&word) && found[8..] == found[..found.len() - 8]
}

pub(crate) fn slabs(place: &Place) -> Vec<PathBuf> {
    let state = place.dir().join(".crossdock");
    if !state.exists() {
        return Vec::new();
    }
    names(&state).iter().filter(|name| name.contains('.')).map(|name| state.join(name)).collect()
}

pub(crate) fn bytes_of(slabs: &[PathBuf]) -> u64 {
    slabs.iter().map(|slab| fs::metadata(slab).unwrap().len()).sum()
}

/// A child that does it and ends without closing anything.
pub(crate) fn in_a_killed_process(work: impl FnOnce()) {
    assert!(in_a_child(|| {
        work();
        true
    }));
}
