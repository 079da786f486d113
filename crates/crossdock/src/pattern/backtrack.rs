//! A backtracking matcher for everything that Python's `re` knows.
//!
//! What to try next is kept on a stack of our own, and every piece of work counts
//! against a limit.

use super::ast::Mode;
use super::captures::{Captures, Marks};
use super::frame::{Frame, Inner};
use super::program::{Op, Pc, Program, below};

/// Why there is no answer.
pub(super) enum Trouble {
    /// The limit was reached.
    OutOfSteps,
    /// A match was found, but with a group that ends before it begins: Python then raises
    /// a `SystemError`.
    CrossedGroup,
}

/// Whether the whole text matches.
pub(super) fn is_match(program: &Program, text: &[u32], limit: usize) -> Result<bool, Trouble> {
    let mut matcher = Matcher {
        program,
        text,
        at: 0,
        captures: Captures::new(program.marks),
        repeats: Vec::new(),
        repeat: None,
        frames: Vec::new(),
        inner: None,
        steps: limit,
    };
    matcher.run()
}

/// No place in the text.
const NOWHERE: usize = usize::MAX;

/// A repeat that is under way.
struct Repeat {
    /// Its instruction.
    pc: Pc,
    /// Repetitions begun so far.
    count: u64,
    /// Where the last optional repetition began: another one from there is useless.
    last: usize,
    outer: Option<usize>,
}

struct Matcher<'a> {
    program: &'a Program,
    text: &'a [u32],
    at: usize,
    captures: Captures,
    repeats: Vec<Repeat>,
    repeat: Option<usize>,
    frames: Vec<Frame>,
    /// The frame of the innermost match of its own.
    inner: Option<usize>,
    steps: usize,
}

impl Matcher<'_> {
    fn run(&mut self) -> Result<bool, Trouble> {
        let mut pc = Some(0);
        loop {
            self.step(1)?;
            pc = match pc {
                Some(at) => {
                    let program = self.program;
                    let Some(op) = program.ops.get(at) else {
                        return Err(Trouble::OutOfSteps);
                    };
                    if matches!(op, Op::Accept) && self.at == self.text.len() {
                        return self.accept();
                    }
                    self.execute(op, at)?
                }
                None => match self.frames.pop() {
                    Some(frame) => self.resume(frame)?,
                    None => return Ok(false),
                },
            };
        }
    }

    fn accept(&self) -> Result<bool, Trouble> {
        if self.captures.any_crossed() {
            return Err(Trouble::CrossedGroup);
        }
        Ok(true)
    }

    fn step(&mut self, steps: usize) -> Result<(), Trouble> {
        self.steps = self.steps.checked_sub(steps).ok_or(Trouble::OutOfSteps)?;
        Ok(())
    }

    /// Runs one instruction and says which one is next; none if the attempt failed.
    fn execute(&mut self, op: &Op, pc: Pc) -> Result<Option<Pc>, Trouble> {
        let next = match op {
            Op::Unit(unit) => match self.text.get(self.at) {
                Some(code) if self.program.fits(*unit, *code) => {
                    self.at += 1;
                    Some(pc + 1)
                }
                _ => None,
            },
            Op::Place(place) => place.holds(self.text, self.at).then_some(pc + 1),
            Op::Mark(mark) => {
                let skipped = self.captures.mark(*mark, self.at);
                self.step(skipped)?;
                Some(pc + 1)
            }
            Op::Jump(to) => Some(*to),
            Op::Branch { .. } => {
                let marks = self.keep_in_repeat()?;
                self.branch(pc, 0, self.at, marks)
            }
            Op::RepeatUnit { min, max, mode, .. } => {
                return self.repeat_unit(pc, (*min, *max), *mode);
            }
            Op::Repeat { until, .. } => {
                let repeat = self.repeats.len();
                self.repeats.push(Repeat { pc, count: 0, last: NOWHERE, outer: self.repeat });
                self.repeat = Some(repeat);
                self.frames.push(Frame::Entered { repeat });
                Some(*until)
            }
            Op::Until { lazy } => return self.until(pc, *lazy),
            Op::Possessive { .. } => {
                let marks = self.captures.count_only();
                return self.possessive(pc, 0, marks);
            }
            Op::Atomic { .. } => {
                let marks = self.captures.count_only();
                self.enter(pc, self.at, 0, marks);
                Some(pc + 1)
            }
            Op::Look { back, negated, end } => match self.at.checked_sub(*back) {
                None => negated.then_some(*end),
                Some(start) => {
                    let marks = if *negated { self.keep_in_repeat()? } else { self.captures.count_only() };
                    self.enter(pc, self.at, 0, marks);
                    self.at = start;
                    Some(pc + 1)
                }
            },
            Op::EndInner => return self.end_inner(),
            Op::BackRef { mark, fold } => {
                let Some((start, end)) = self.captures.group(*mark) else {
                    return Ok(None);
                };
                let length = end - start;
                self.step(length)?;
                let group = self.text.get(start..end).unwrap_or_default();
                match self.text.get(self.at..self.at.saturating_add(length)) {
                    Some(here) if here.iter().zip(group).all(|(a, b)| a == b || fold.apply(*a) == fold.apply(*b)) => {
                        self.at += length;
                        Some(pc + 1)
                    }
                    _ => None,
                }
            }
            Op::IfGroup { mark, otherwise } => match self.captures.group(*mark) {
                Some(_) => Some(pc + 1),
                None => Some(*otherwise),
            },
            Op::Accept => None,
        };
        Ok(next)
    }

    /// Takes back what a failed attempt did, and says what to try instead.
    fn resume(&mut self, frame: Frame) -> Result<Option<Pc>, Trouble> {
        match frame {
            Frame::Branch { pc, next, at, marks } => {
                self.restore(marks)?;
                Ok(self.branch(pc, next, at, marks))
            }
            Frame::Greedy { pc, min, count, at, marks } => {
                self.restore(marks)?;
                if count <= min {
                    self.captures.forget(marks);
                    return Ok(None);
                }
                Ok(Some(self.greedy(pc, min, count - 1, at - 1, marks)))
            }
            Frame::Lazy { pc, count, at, marks } => {
                self.restore(marks)?;
                self.lazy(pc, count, at, marks)
            }
            Frame::Entered { repeat } => {
                self.repeat = self.repeats.get(repeat).and_then(|repeat| repeat.outer);
                self.repeats.truncate(repeat);
                Ok(None)
            }
            Frame::Counted { repeat } => {
                self.recount(repeat, None);
                Ok(None)
            }
            Frame::More { repeat, until, at, last, marks } => {
                self.restore(marks)?;
                self.captures.forget(marks);
                self.recount(repeat, Some(last));
                self.at = at;
                Ok(Some(self.after(repeat, until)))
            }
            Frame::After { repeat } => {
                self.repeat = Some(repeat);
                Ok(None)
            }
            Frame::LazyAfter { repeat, at, marks } => {
                self.restore(marks)?;
                self.captures.forget(marks);
                self.repeat = Some(repeat);
                self.at = at;
                Ok(self.lazy_more(repeat))
            }
            Frame::LazyMore { repeat, last } => {
                self.recount(repeat, Some(last));
                Ok(None)
            }
            Frame::Inner(inner) => self.inner_failed(inner),
        }
    }

    // Alternatives and repeats of one character.

    fn branch(&mut self, pc: Pc, which: usize, at: usize, marks: Marks) -> Option<Pc> {
        let alternatives = match self.program.ops.get(pc) {
            Some(Op::Branch { alternatives, .. }) => alternatives.as_slice(),
            _ => &[],
        };
        let Some(start) = alternatives.get(which) else {
            self.captures.forget(marks);
            return None;
        };
        self.at = at;
        self.frames.push(Frame::Branch { pc, next: which + 1, at, marks });
        Some(*start)
    }

    fn repeat_unit(&mut self, pc: Pc, (min, max): (u32, u32), mode: Mode) -> Result<Option<Pc>, Trouble> {
        let min = min as usize;
        if min > self.text.len() - self.at {
            return Ok(None);
        }
        let most = match mode {
            Mode::Lazy => min,
            _ if below(u32::MAX, max) => usize::MAX,
            _ => max as usize,
        };
        let count = self.count(pc, most)?;
        if count < min {
            return Ok(None);
        }
        let at = self.at + count;
        if mode == Mode::Possessive {
            self.at = at;
            return Ok(Some(pc + 1));
        }
        let marks = self.keep_in_repeat()?;
        if mode == Mode::Lazy {
            self.at = at;
            self.frames.push(Frame::Lazy { pc, count, at, marks });
            return Ok(Some(pc + 1));
        }
        Ok(Some(self.greedy(pc, min, count, at, marks)))
    }

    fn greedy(&mut self, pc: Pc, min: usize, count: usize, at: usize, marks: Marks) -> Pc {
        self.at = at;
        self.frames.push(Frame::Greedy { pc, min, count, at, marks });
        pc + 1
    }

    fn lazy(&mut self, pc: Pc, count: usize, at: usize, marks: Marks) -> Result<Option<Pc>, Trouble> {
        self.at = at;
        let more = match self.program.ops.get(pc) {
            Some(Op::RepeatUnit { max, .. }) => {
                below(u32::try_from(count).unwrap_or(u32::MAX), *max) && self.count(pc, 1)? == 1
            }
            _ => false,
        };
        if !more {
            self.captures.forget(marks);
            return Ok(None);
        }
        self.at = at + 1;
        self.frames.push(Frame::Lazy { pc, count: count + 1, at: at + 1, marks });
        Ok(Some(pc + 1))
    }

    /// How many characters from here on fit the repeat's test, at most `most`.
    fn count(&mut self, pc: Pc, most: usize) -> Result<usize, Trouble> {
        let Some(Op::RepeatUnit { unit, .. }) = self.program.ops.get(pc) else {
            return Ok(0);
        };
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest
            .iter()
            .take(most.min(self.steps.saturating_add(1)))
            .take_while(|code| self.program.fits(*unit, **code))
            .count();
        self.step(count)?;
        Ok(count)
    }

    // Repeats of anything else.

    fn until(&mut self, pc: Pc, lazy: bool) -> Result<Option<Pc>, Trouble> {
        let Some(index) = self.repeat else {
            return Err(Trouble::OutOfSteps);
        };
        let program = self.program;
        let Some(repeat) = self.repeats.get_mut(index) else {
            return Err(Trouble::OutOfSteps);
        };
        let Some(Op::Repeat { min, max, .. }) = program.ops.get(repeat.pc) else {
            return Err(Trouble::OutOfSteps);
        };
        if repeat.count < u64::from(*min) {
            repeat.count += 1;
            self.frames.push(Frame::Counted { repeat: index });
            return Ok(Some(repeat.pc + 1));
        }
        if lazy {
            let outer = repeat.outer;
            self.repeat = outer;
            let marks = self.keep_in_repeat()?;
            self.frames.push(Frame::LazyAfter { repeat: index, at: self.at, marks });
            return Ok(Some(pc + 1));
        }
        let count = u32::try_from(repeat.count).unwrap_or(u32::MAX);
        if below(count, *max) && repeat.last != self.at {
            let (body, last) = (repeat.pc + 1, repeat.last);
            repeat.count += 1;
            repeat.last = self.at;
            let marks = self.keep()?;
            self.frames.push(Frame::More { repeat: index, until: pc, at: self.at, last, marks });
            return Ok(Some(body));
        }
        Ok(Some(self.after(index, pc)))
    }

    /// Goes on after a repeat.
    fn after(&mut self, repeat: usize, until: Pc) -> Pc {
        self.repeat = self.repeats.get(repeat).and_then(|repeat| repeat.outer);
        self.frames.push(Frame::After { repeat });
        until + 1
    }

    /// Another repetition of a lazy repeat, where what follows has failed.
    fn lazy_more(&mut self, index: usize) -> Option<Pc> {
        let repeat = self.repeats.get_mut(index)?;
        let Some(Op::Repeat { max, .. }) = self.program.ops.get(repeat.pc) else {
            return None;
        };
        let count = u32::try_from(repeat.count).unwrap_or(u32::MAX);
        if !below(count, *max) || repeat.last == self.at {
            return None;
        }
        let (body, last) = (repeat.pc + 1, repeat.last);
        repeat.count += 1;
        repeat.last = self.at;
        self.frames.push(Frame::LazyMore { repeat: index, last });
        Some(body)
    }

    fn recount(&mut self, repeat: usize, last: Option<usize>) {
        if let Some(repeat) = self.repeats.get_mut(repeat) {
            repeat.count = repeat.count.saturating_sub(1);
            repeat.last = last.unwrap_or(repeat.last);
        }
    }

    // Matches of their own.

    fn enter(&mut self, pc: Pc, at: usize, count: u32, marks: Marks) {
        let inner = Inner { pc, at, count, marks, repeat: self.repeat, repeats: self.repeats.len(), outer: self.inner };
        self.inner = Some(self.frames.len());
        self.frames.push(Frame::Inner(inner));
    }

    /// The next repetition of a possessive repeat, or what follows.
    fn possessive(&mut self, pc: Pc, count: u32, marks: Marks) -> Result<Option<Pc>, Trouble> {
        let Some(Op::Possessive { min, max, end }) = self.program.ops.get(pc) else {
            return Ok(None);
        };
        if count < *min {
            self.enter(pc, self.at, count, marks);
            return Ok(Some(pc + 1));
        }
        if below(count, *max) {
            let marks = self.keep()?;
            self.enter(pc, self.at, count, marks);
            return Ok(Some(pc + 1));
        }
        Ok(Some(*end))
    }

    /// The body of a match of its own has matched: nothing in it is tried again.
    fn end_inner(&mut self) -> Result<Option<Pc>, Trouble> {
        let Some(index) = self.inner else {
            return Err(Trouble::OutOfSteps);
        };
        let Some(Frame::Inner(inner)) = self.frames.get(index) else {
            return Err(Trouble::OutOfSteps);
        };
        let inner = *inner;
        self.step(self.frames.len() - index)?;
        self.leave(inner, index);
        match self.program.ops.get(inner.pc) {
            Some(Op::Look { negated: true, .. }) => Ok(None),
            Some(Op::Look { end, .. }) => {
                self.at = inner.at;
                Ok(Some(*end))
            }
            Some(Op::Possessive { min, end, .. }) => {
                // An empty optional repetition is the last one.
                if inner.count >= *min && self.at == inner.at {
                    return Ok(Some(*end));
                }
                let marks = self.captures.count_only();
                self.possessive(inner.pc, inner.count.saturating_add(1), marks)
            }
            Some(Op::Atomic { end }) => Ok(Some(*end)),
            _ => Err(Trouble::OutOfSteps),
        }
    }

    fn inner_failed(&mut self, inner: Inner) -> Result<Option<Pc>, Trouble> {
        self.repeat = inner.repeat;
        self.inner = inner.outer;
        let program = self.program;
        match program.ops.get(inner.pc) {
            Some(Op::Look { negated: true, end, .. }) => {
                self.restore(inner.marks)?;
                self.captures.forget(inner.marks);
                self.at = inner.at;
                Ok(Some(*end))
            }
            Some(Op::Possessive { min, end, .. }) if inner.count >= *min => {
                self.restore(inner.marks)?;
                self.captures.forget(inner.marks);
                self.at = inner.at;
                Ok(Some(*end))
            }
            _ => Ok(None),
        }
    }

    fn leave(&mut self, inner: Inner, index: usize) {
        // What was kept since then belongs to frames that are dropped here.
        let dropped = self.frames.get(index..).unwrap_or_default().iter();
        if let Some(marks) = dropped.filter_map(Frame::kept).next() {
            self.captures.forget(marks);
        }
        self.frames.truncate(index);
        self.repeats.truncate(inner.repeats);
        self.repeat = inner.repeat;
        self.inner = inner.outer;
    }

    /// Keeps the captures where Python does: only inside of a repeat.
    fn keep_in_repeat(&mut self) -> Result<Marks, Trouble> {
        match self.repeat {
            Some(_) => self.keep(),
            None => Ok(self.captures.count_only()),
        }
    }

    fn keep(&mut self) -> Result<Marks, Trouble> {
        self.step(self.captures.len())?;
        Ok(self.captures.keep())
    }

    fn restore(&mut self, marks: Marks) -> Result<(), Trouble> {
        self.step(marks.cost())?;
        self.captures.restore(marks);
        Ok(())
    }
}
