//! The ids of objects in shared memory: UUIDs of version 8 that say where the object is and who made the id.
//!
//! | bits | what |
//! |---|---|
//! | 32 | the place: host, boot, mounted file system and user, hashed. A key of another place is refused |
//! | 50 | the maker: a random number of one connector in one process |
//! | 1 | whether the object is in a slab |
//! | 39 | of a file: how many such ids the maker had made before. Of a slab: 12 bits for its number, 27 for the turn, which is a slot and its generation |
//!
//! (Six bits more are the version and the variant.) So an id costs no system call, and whoever finds a file that is no
//! object knows whether its writer is still alive.

use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::key::ObjectId;

const MAKER_BITS: u32 = 50;
const COUNT_BITS: u32 = 40;
/// Of a count: says that it is of a slab.
const IN_SLAB: u64 = 1 << (COUNT_BITS - 1);
/// The bits of a count that say which slab.
pub(super) const SLAB_BITS: u32 = 12;
/// The bits of a count that say the turn within it.
pub(super) const TURN_BITS: u32 = COUNT_BITS - 1 - SLAB_BITS;
/// What of an id is below the version and the variant.
const LOW: u128 = (1 << 62) - 1;

/// The id with these parts.
fn compose(place: u32, maker: u64, count: u64) -> Uuid {
    let tail = u128::from(maker) << COUNT_BITS | u128::from(count);
    let high = u64::from(place) << 32 | ((tail >> 74) as u64) << 16 | (tail >> 62 & 0xfff) as u64;
    let uuid = Uuid::from_u64_pair(high, (tail & LOW) as u64);
    uuid::Builder::from_custom_bytes(*uuid.as_bytes()).into_uuid()
}

/// The place, the maker and the count of an id.
fn parts(uuid: Uuid) -> (u32, u64, u64) {
    let (high, low) = uuid.as_u64_pair();
    let tail = u128::from(high >> 16 & 0xffff) << 74 | u128::from(high & 0xfff) << 62 | u128::from(low) & LOW;
    ((high >> 32) as u32, (tail >> COUNT_BITS) as u64, tail as u64 & ((1 << COUNT_BITS) - 1))
}

/// Where an object is that is in a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) place: u32,
    pub(super) maker: u64,
    /// The number of the slab.
    pub(super) slab: u16,
    pub(super) turn: u32,
}

impl Spot {
    /// `None` if the object of that id is in no slab.
    pub(super) fn of(id: &ObjectId) -> Option<Self> {
        let (place, maker, count) = parts(id.as_uuid().filter(|uuid| uuid.get_version_num() == 8)?);
        let slab = (count >> TURN_BITS & ((1 << SLAB_BITS) - 1)) as u16;
        (count & IN_SLAB != 0).then_some(Self { place, maker, slab, turn: (count & ((1 << TURN_BITS) - 1)) as u32 })
    }

    pub(super) fn id(&self) -> ObjectId {
        let count = IN_SLAB | u64::from(self.slab) << TURN_BITS | u64::from(self.turn);
        ObjectId::from_uuid(compose(self.place, self.maker, count))
    }
}

/// The name of one object's file, which is the text of its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    uuid: Uuid,
    text: [u8; 36],
}

impl Name {
    fn new(uuid: Uuid) -> Self {
        let mut text = [0; 36];
        uuid.hyphenated().encode_lower(&mut text);
        Self { uuid, text }
    }

    /// The `count`-th name of that maker.
    ///
    /// # Errors
    /// `Unavailable` once a maker has made 2^39.
    pub(super) fn make(place: u32, maker: u64, count: u64) -> Result<Self> {
        if count >= IN_SLAB {
            let message = "this connector has made all the keys that it can, 2^39; build a new one";
            return Err(Error::new(ErrorKind::Unavailable, message).permanent());
        }
        Ok(Self::new(compose(place, maker, count)))
    }

    /// The name of a key's object.
    ///
    /// # Errors
    /// `InvalidKey` unless the id was made for this place.
    pub(super) fn of(id: &ObjectId, place: u32) -> Result<Self> {
        let Some(uuid) = id.as_uuid().filter(|uuid| uuid.get_version_num() == 8) else {
            let shown: String = id.to_string().chars().take(80).collect();
            let message = format!("{shown:?} cannot be the key of shared memory; use keys as put returned them");
            return Err(Error::new(ErrorKind::InvalidKey, message));
        };
        let name = Self::new(uuid);
        if name.place() != place {
            let message = format!(
                "the key {id} was made on another host, in another container, before this host was started, or by \
                 another user: its object is not in this memory; use a connector that both sides share, such as \"file\""
            );
            return Err(Error::new(ErrorKind::InvalidKey, message));
        }
        Ok(name)
    }

    /// The name of a file that could be an object's.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uuid = ObjectId::from(text).as_uuid()?;
        (uuid.get_version_num() == 8).then(|| Self::new(uuid))
    }

    /// A random maker.
    pub(super) fn random_maker() -> u64 {
        Uuid::new_v4().as_u64_pair().0 & 0xffff_ffff
            | (Uuid::new_v4().as_u64_pair().1 & ((1 << (MAKER_BITS - 32)) - 1)) << 32
    }

    pub(super) fn id(&self) -> ObjectId {
        ObjectId::from(self.as_str())
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        self.uuid.as_bytes()
    }

    pub(super) fn place(&self) -> u32 {
        parts(self.uuid).0
    }

    pub(super) fn maker(&self) -> u64 {
        parts(self.uuid).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_place_and_its_maker() {
        for maker in [0, 1, (1 << MAKER_BITS) - 1, Name::random_maker(), Name::random_maker()] {
            for count in [0, 1, IN_SLAB - 1] {
                let name = Name::make(0xfedc_ba98, maker, count).unwrap();
                assert_eq!((name.place(), name.maker()), (0xfedc_ba98, maker));
                assert_eq!(Name::of(&name.id(), 0xfedc_ba98).unwrap().as_bytes(), name.as_bytes());
                assert_eq!(Name::of(&name.id(), 1).unwrap_err().kind(), ErrorKind::InvalidKey);
                assert!(name.as_str().starts_with("fedcba98-"));
                assert_eq!(Spot::of(&name.id()), None);
            }
        }
        assert!(Name::make(0, 0, IN_SLAB).is_err());
    }

    #[test]
    fn an_id_says_slab_and_turn() {
        let (last, maker) = ((1 << TURN_BITS) - 1, Name::random_maker());
        for (slab, turn) in [(0, 0), (0, last), ((1 << SLAB_BITS) - 1, 0), (77, 12_345)] {
            let spot = Spot { place: 0xfedc_ba98, maker, slab, turn };
            assert_eq!(Spot::of(&spot.id()), Some(spot));
            assert_eq!(Name::of(&spot.id(), spot.place).unwrap().maker(), maker);
        }
        assert_eq!(Spot::of(&ObjectId::random()), None);
        assert_eq!(Spot::of(&"text".into()), None);
    }

    #[test]
    fn names_of_one_maker_differ() {
        let names: std::collections::HashSet<_> =
            (0..1_000).map(|count| *Name::make(7, 5, count << 29).unwrap().as_bytes()).collect();
        assert_eq!(names.len(), 1_000);
    }
}
