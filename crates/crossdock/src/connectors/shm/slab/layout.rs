//! What is where in a slab, and what is in its words. All of them are numbers of 64 bits, as the machine has them.
//!
//! | at | what |
//! |---|---|
//! | 0 | the magic number, with the version of the layout |
//! | 8, 16 | the maker; the number of this slab |
//! | 24, 32 | the size of a slot in bytes; how many there are |
//! | 64 | 0; 1 if it is closed, and nothing is put into it any more; 2 if it is gone |
//! | 128 | whether its maker holds it, also empty: 1 while its slots are taken, 2 if it is kept for later |
//! | 192 | how many are reading from slots |
//! | 512 | the table: a word for each slot |
//! | from the next page on | the slots |
//!
//! A word of the table: 2 bits for the status, 18 for the size, from bit 32 on the generation.

use super::super::owner;

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"xd-slab2");

/// The places of the fields, in words.
pub(super) const MAKER: usize = 1;
pub(super) const NUMBER: usize = 2;
pub(super) const SLOT_SIZE: usize = 3;
pub(super) const SLOTS: usize = 4;
pub(super) const END: usize = 8;
pub(super) const HELD: usize = 16;
pub(super) const READERS: usize = 24;
pub(super) const TABLE: usize = 512 / WORD;

pub(super) const WORD: usize = 8;
const PAGE: usize = 4096;

/// The sizes of slots, in bytes. Where a file would take a page, they may be far apart.
pub(super) const CLASSES: [usize; 9] = [64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10];
/// The largest object in a slab, in bytes.
pub(in super::super) const LARGEST: usize = 128 << 10;
/// The slots of a class's first slab take so many bytes, or there is one: a process that puts one object takes little more than
/// that.
const FIRST: usize = 4 << 10;
/// Each further one is twice as large, up to so many bytes.
const MOST: usize = 1 << 20;
/// How often a class's slabs are doubled at most.
pub(super) const DOUBLINGS: usize = (MOST / FIRST).trailing_zeros() as usize;
/// More slots than any slab has.
const MOST_SLOTS: usize = MOST / 64 + 1;

/// The class of an object of that size in bytes.
pub(super) fn class_of(size: usize) -> Option<usize> {
    CLASSES.iter().position(|slot| size <= *slot)
}

/// The slots of a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) slot_size: usize,
    pub(super) slots: usize,
}

impl Shape {
    /// Of the next slab where there are so many of that size of slots.
    pub(super) fn next(slot_size: usize, slabs: usize) -> Self {
        let bytes = (FIRST << slabs.min(DOUBLINGS)).clamp(slot_size, MOST);
        Self { slot_size, slots: bytes / slot_size }
    }

    /// What a header says, unless that cannot be.
    pub(super) fn from_words(slot_size: u64, slots: u64) -> Option<Self> {
        let shape = Self { slot_size: usize::try_from(slot_size).ok()?, slots: usize::try_from(slots).ok()? };
        (CLASSES.contains(&shape.slot_size) && (1..MOST_SLOTS).contains(&shape.slots)).then_some(shape)
    }

    /// Where the slots begin, in bytes.
    pub(super) fn start(self) -> usize {
        ((TABLE + self.slots) * WORD).next_multiple_of(PAGE)
    }

    /// The bytes of the file.
    pub(super) fn file_size(self) -> usize {
        self.start() + self.slots * self.slot_size
    }

    /// How many bits of a turn say the slot.
    fn slot_bits(self) -> u32 {
        self.slots.next_power_of_two().trailing_zeros()
    }

    /// How many generations of each slot are among so many turns.
    pub(super) fn generations(self, turns: u32) -> u32 {
        turns >> self.slot_bits()
    }

    /// The first generation of which no slot has had a turn before this one.
    pub(super) fn generation_from(self, turn: u32) -> u32 {
        turn.div_ceil(1 << self.slot_bits())
    }

    pub(super) fn turn(self, slot: usize, generation: u32) -> u32 {
        generation << self.slot_bits() | slot as u32
    }

    /// The slot and the generation of a turn. There may be no such slot.
    pub(super) fn slot_of(self, turn: u32) -> (usize, u32) {
        let generation = turn >> self.slot_bits();
        ((turn ^ generation << self.slot_bits()) as usize, generation)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Its generation is that of the next object.
    Free,
    Writing,
    Live,
}

/// A word of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) status: Status,
    pub(super) generation: u32,
    /// In bytes, of what is live.
    pub(super) size: usize,
}

const SIZE_BITS: u32 = 18;

impl State {
    pub(super) fn free(generation: u32) -> Self {
        Self { status: Status::Free, generation, size: 0 }
    }

    pub(super) fn writing(generation: u32) -> Self {
        Self { status: Status::Writing, generation, size: 0 }
    }

    pub(super) fn live(generation: u32, size: usize) -> Self {
        Self { status: Status::Live, generation, size }
    }

    pub(super) fn to_word(self) -> u64 {
        let status = match self.status {
            Status::Free => 0,
            Status::Writing => 1,
            Status::Live => 2,
        };
        u64::from(self.generation) << 32 | (self.size as u64) << 2 | status
    }

    pub(super) fn from_word(word: u64) -> Self {
        let status = match word & 3 {
            0 => Status::Free,
            2 => Status::Live,
            _ => Status::Writing,
        };
        Self { status, generation: (word >> 32) as u32, size: (word >> 2 & ((1 << SIZE_BITS) - 1)) as usize }
    }

    /// The generation that nothing has been put in yet.
    pub(super) fn next_generation(self) -> u32 {
        if self.status == Status::Free { self.generation } else { self.generation + 1 }
    }
}

/// The name of a slab's file.
pub(in super::super) fn file_name(maker: u64, number: u16) -> String {
    format!("{}.{number}", owner::file_name(maker))
}

/// The maker and the number of the slab with that file.
pub(in super::super) fn parse_file_name(name: &str) -> Option<(u64, u16)> {
    let (maker, number) = name.split_once('.')?;
    let (maker, is_draft) = owner::parse_file_name(maker)?;
    let number = number.parse().ok()?;
    (!is_draft && file_name(maker, number) == name).then_some((maker, number))
}

#[cfg(test)]
mod tests {
    use super::super::super::name::TURN_BITS;
    use super::*;

    fn shapes() -> impl Iterator<Item = Shape> {
        CLASSES.into_iter().flat_map(|slot_size| (0..10).map(move |slabs| Shape::next(slot_size, slabs)))
    }

    #[test]
    fn nothing_lies_over_anything_else() {
        for shape in shapes() {
            assert!(shape.slots >= 1 && shape.slots < MOST_SLOTS);
            assert!(TABLE > READERS && shape.start() >= (TABLE + shape.slots) * WORD);
            assert_eq!(shape.file_size(), shape.start() + shape.slots * shape.slot_size);
            assert_eq!(Shape::from_words(shape.slot_size as u64, shape.slots as u64), Some(shape));
        }
        assert_eq!(CLASSES.last(), Some(&LARGEST));
        for (size, slots) in [(0, 1), (63, 1), (64, 0), (64, MOST_SLOTS as u64), (u64::MAX, u64::MAX)] {
            assert_eq!(Shape::from_words(size, slots), None);
        }
    }

    #[test]
    fn each_turn_is_of_one_slot_and_generation() {
        for shape in shapes() {
            let last = shape.generations(1 << TURN_BITS) - 1;
            for generation in [0, 1, last] {
                for slot in [0, shape.slots / 2, shape.slots - 1] {
                    let turn = shape.turn(slot, generation);
                    assert!(turn >> TURN_BITS == 0 && shape.slot_of(turn) == (slot, generation));
                    assert!(
                        shape.generation_from(turn + 1) > generation && shape.generation_from(turn) <= generation + 1
                    );
                }
            }
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        for state in [State::free(0), State::free(u32::MAX), State::writing(7), State::live(1 << 26, LARGEST)] {
            assert_eq!(State::from_word(state.to_word()), state);
        }
        assert_eq!(State::free(0).to_word(), 0, "what the kernel has cleared is free");
        assert_eq!(State::live(1, 2).to_word(), 1 << 32 | 2 << 2 | 2);
    }

    #[test]
    fn files_are_named_after_their_maker_and_number() {
        assert_eq!(parse_file_name(&file_name(5, 4095)), Some((5, 4095)));
        for foreign in ["0000000000005", "0000000000005-1.2", "0000000000005.02", "0000000000005.", "5.1", "notes.1"] {
            assert_eq!(parse_file_name(foreign), None, "{foreign}");
        }
    }
}
