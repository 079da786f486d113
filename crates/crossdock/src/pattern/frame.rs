//! What the backtracking matcher can still go back to.

use super::captures::Marks;
use super::program::Pc;

/// What to do when the attempt made on top of it has failed.
pub(super) enum Frame {
    /// Try the next alternative.
    Branch { pc: Pc, next: usize, at: usize, marks: Marks },
    /// Give back a character.
    Greedy { pc: Pc, min: usize, count: usize, at: usize, marks: Marks },
    /// Take another character.
    Lazy { pc: Pc, count: usize, at: usize, marks: Marks },
    /// Leave the repeat.
    Entered { repeat: usize },
    /// Undo a repetition.
    Counted { repeat: usize },
    /// Undo an optional repetition, and go on after the repeat.
    More { repeat: usize, until: Pc, at: usize, last: usize, marks: Marks },
    /// Return into the repeat.
    After { repeat: usize },
    /// Return into the lazy repeat, and try another repetition.
    LazyAfter { repeat: usize, at: usize, marks: Marks },
    /// Undo an optional repetition of a lazy repeat.
    LazyMore { repeat: usize, last: usize },
    /// A match of its own has failed.
    Inner(Inner),
}

/// A match of its own: look-around, atomic group or possessive repeat.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    pub(super) pc: Pc,
    /// Where to go on after a look-around, or where the repetition began.
    pub(super) at: usize,
    /// Completed repetitions.
    pub(super) count: u32,
    pub(super) marks: Marks,
    pub(super) repeat: Option<usize>,
    pub(super) repeats: usize,
    pub(super) outer: Option<usize>,
}

impl Frame {
    /// The captures that it has kept.
    pub(super) fn kept(&self) -> Option<Marks> {
        match self {
            Frame::Branch { marks, .. }
            | Frame::Greedy { marks, .. }
            | Frame::Lazy { marks, .. }
            | Frame::More { marks, .. }
            | Frame::LazyAfter { marks, .. }
            | Frame::Inner(Inner { marks, .. }) => Some(*marks).filter(Marks::is_kept),
            Frame::Entered { .. } | Frame::Counted { .. } | Frame::After { .. } | Frame::LazyMore { .. } => None,
        }
    }
}
