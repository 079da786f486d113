//! Small objects, several in one file: a slab, which those who put and those who read keep mapped, so that neither is a
//! system call.
//!
//! A slab has one maker, which alone takes its slots; anybody may empty one. It is a header, a table with one word for each slot,
//! and the slots, all of one size, at fixed places (`layout`). A word says the slot's generation, the size of what is in it, and
//! whether it is free, being written, or live. An id says slab, slot and generation.
//!
//! Put:
//!
//! 1. Take a free slot whose generations are not used up, under a lock of this process: its word becomes *writing*.
//! 2. Write the bytes. Killed here, the maker leaves a slot that is nobody's, in a slab that is collected once nothing else is in it.
//! 3. The word becomes *live*, in one store: the object appears.
//! 4. Was the slab retired meanwhile, empty the slot and begin again with another slab.
//!
//! Get:
//!
//! 1. The word is *live* with the id's generation, else there is no such object.
//! 2. Copy the bytes, by atomic words: another process may already be writing the next object there.
//! 3. The word is still the same, else what was copied is nobody's, and the object is gone.
//!
//! Evict: from *live* to *free* with the next generation, by one compare-and-exchange, by whoever comes first. A word so
//! never has the same value twice, and an id never means two objects. The maker finds the free slots when it has no more, by looking
//! at its tables; all free slots of a slab are used before one is used again.
//!
//! Retire:
//!
//! 1. Mark the slab as retired. Those who have it mapped see the mark when they do not find an object, and look for the name
//!    again: its number may get another slab, which goes on where the generations of this one ended.
//! 2. Remove its name.
//! 3. Is nobody reading from a slot, take the memory of the slots out of the file, as maps of others may stay for long. A reader counts
//!    itself before it looks for the mark, so either it is seen here, or it sees the mark. (A reader that was killed counts for
//!    ever: then the memory goes with the last map.)
//!
//! Whoever retires what another maker may be writing to (`clear`, `gc`) does not do 3, and looks for live slots after 1: either
//! the put sees the mark, or the object is seen.
//!
//! When a maker closes, it retires its empty slabs and marks the others as left: who evicts the last object takes such a
//! slab away. Those of killed makers are taken away by the next process that attaches.

mod layout;
mod maker;
mod map;
mod maps;
mod read;

pub(super) use layout::{LARGEST, file_name, parse_file_name};
pub(super) use maker::Slabs;
pub(super) use map::{Defect, Map};
pub(super) use maps::Maps;
pub(super) use read::Reader;
