//! What the groups have matched, while a match is looked for.
//!
//! Which captures survive a failed attempt is observable through back-references and
//! conditions, and Python does not simply restore all of them: it always restores how
//! many are set, but what they hold only inside of a repeat. The matcher keeps to that,
//! so that its answers are Python's even where those look odd.

/// A mark that was passed over.
const UNSET: usize = usize::MAX;

/// The captures at some moment.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    set: usize,
    /// Where their content begins in [`Captures::kept`], if it was kept.
    kept: Option<usize>,
}

impl Marks {
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// How much work it is to restore them.
    pub(super) fn cost(&self) -> usize {
        self.kept.map_or(0, |_| self.set)
    }
}

/// Both ends of every group, as places in the text.
pub(super) struct Captures {
    /// Only the first `set` of them mean something.
    marks: Vec<usize>,
    set: usize,
    /// Earlier contents, the latest last.
    kept: Vec<usize>,
}

impl Captures {
    pub(super) fn new(marks: usize) -> Captures {
        Captures { marks: vec![UNSET; marks], set: 0, kept: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.set
    }

    /// Sets a mark, and says how many others it had to unset.
    pub(super) fn mark(&mut self, mark: usize, at: usize) -> usize {
        let skipped = mark.saturating_sub(self.set);
        if mark >= self.set {
            for other in self.marks.iter_mut().take(mark).skip(self.set) {
                *other = UNSET;
            }
            self.set = mark + 1;
        }
        if let Some(slot) = self.marks.get_mut(mark) {
            *slot = at;
        }
        skipped
    }

    /// Both ends of the group whose first mark it is, if the group is set.
    pub(super) fn group(&self, mark: usize) -> Option<(usize, usize)> {
        if mark + 1 >= self.set {
            return None;
        }
        match (self.marks.get(mark), self.marks.get(mark + 1)) {
            (Some(&start), Some(&end)) if start != UNSET && end != UNSET && start <= end => Some((start, end)),
            _ => None,
        }
    }

    /// Whether a group ends before it begins.
    pub(super) fn any_crossed(&self) -> bool {
        let ends = self.marks.get(..self.set).unwrap_or_default();
        ends.chunks_exact(2).any(|ends| match *ends {
            [start, end] => start != UNSET && end != UNSET && start > end,
            _ => false,
        })
    }

    /// Remembers only how many are set.
    pub(super) fn count_only(&self) -> Marks {
        Marks { set: self.set, kept: None }
    }

    /// Remembers what they hold, too.
    pub(super) fn keep(&mut self) -> Marks {
        let kept = self.kept.len();
        let marks = self.marks.get(..self.set).unwrap_or_default();
        self.kept.extend_from_slice(marks);
        Marks { set: self.set, kept: Some(kept) }
    }

    /// Goes back to what was remembered, without forgetting it.
    pub(super) fn restore(&mut self, marks: Marks) {
        self.set = marks.set;
        if let Some(kept) = marks.kept {
            let kept = self.kept.iter().skip(kept);
            for (mark, kept) in self.marks.iter_mut().take(marks.set).zip(kept) {
                *mark = *kept;
            }
        }
    }

    /// Forgets these, and all that were kept after them.
    pub(super) fn forget(&mut self, marks: Marks) {
        if let Some(kept) = marks.kept {
            self.kept.truncate(kept);
        }
    }
}
