//! Objects that tell by themselves whether they are whole: their length and the seed of their bytes are in front.

use bytes::Bytes;

use crate::rng::Rng;

const MAGIC: &[u8; 8] = b"XDOCKOBJ";
/// The smallest such object, in bytes.
pub(crate) const MIN: usize = 24;

/// The object of that seed with `size` bytes, [`MIN`] at least.
pub(crate) fn make(seed: u64, size: usize) -> Bytes {
    let size = size.max(MIN);
    let mut bytes = Vec::with_capacity(size + 8);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(size as u64).to_le_bytes());
    bytes.extend_from_slice(&seed.to_le_bytes());
    let mut rng = Rng::new(seed);
    while bytes.len() < size {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

/// The seed of these bytes, if they are one whole object.
pub(crate) fn seed_of(bytes: &[u8]) -> Option<u64> {
    let (head, _) = bytes.split_at_checked(MIN)?;
    let word = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let (size, seed) = (word(8)?, word(16)?);
    (head.starts_with(MAGIC) && size == bytes.len() as u64 && make(seed, bytes.len()) == bytes).then_some(seed)
}

/// A size: mostly small, now and then several pages, seldom some hundred kilobytes.
pub(crate) fn some_size(rng: &mut Rng) -> usize {
    match rng.below(20) {
        0 => 100_000 + rng.below(300_000),
        1..=5 => rng.below(40_000),
        _ => rng.below(2_000),
    }
    .max(MIN)
}
