//! Small objects, several in one file: a slab, which those who put and those who read keep mapped, so that neither is a
//! system call.
//!
//! A slab has one maker, which alone takes its slots; anybody may empty one. It is a header, a table with one word for each slot,
//! and the slots, all of one size, at fixed places (`layout`). A word says the slot's generation, the size of what is in it, and
//! whether it is free, being written, or live. An id says slab, slot and generation.
//!
//! Make: in a file with the name of a draft, which gets the slab's name when all of it is there. Nobody opens a part of one, and
//! of a killed maker the next process that attaches removes the draft.
//!
//! Put:
//!
//! 1. Take a free slot whose generations are not used up, under a lock of this process: its word becomes *writing*.
//! 2. Is the slab closed, free the slot and begin again with another slab: its memory may be gone. (Who takes it away has closed
//!    the slab before, and then looks for *writing*: it sees that, or this sees that the slab is closed.)
//! 3. Write the bytes. Killed here, the maker leaves a slot that is nobody's, in a slab that is collected once nothing else is in it.
//! 4. The word becomes *live*, in one store: the object appears.
//! 5. Was the slab closed meanwhile, empty the slot and begin again with another slab.
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
//! Retire, by anybody:
//!
//! 1. Close the slab: nothing is put into it any more, and that is never taken back. Those who have it mapped see it when they do
//!    not find an object, and look for the name again: its number may get another slab, which goes on where the generations of
//!    this one ended.
//! 2. Look for live slots. Is there one, whoever evicts the last goes on here. (Either the put has seen that the slab is closed, and
//!    empties its slot, or its object is seen.)
//! 3. Mark the slab as gone, and remove its name, unless that leads to another file by now.
//! 4. Is nobody reading from a slot or writing to one, take the memory of the slots out of the file, as maps of others may stay
//!    for long. A reader counts itself before it looks for the mark, so either it is seen here, or it sees the mark. Whoever is
//!    seen does this step when he is done. (One that was killed counts for ever: then the memory goes with the last map.)
//!
//! Who does that, and when:
//!
//! - **Whoever evicts the last object** of a slab that its maker does not hold. It holds the one whose slots it takes, one for each
//!   size, and as many others as may be kept; so the memory of evicted objects does not wait for a maker that does nothing. When a
//!   maker lets go of a slab, it looks itself whether anything is in it: either it sees the evict, or that sees the slab let go.
//! - **The maker**, where all turns are used up, where it wants to keep another slab and this one is empty, or where somebody has
//!   removed its name. When it closes, all its slabs.
//! - **`clear`**, which empties the slots between two attempts; `gc`, and the next process that attaches, for slabs of makers that
//!   have ended.

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
