//! A matcher for patterns that are regular: it follows all ways to match at once, and so
//! takes time in proportion to the pattern and the text, whatever they are.

use super::ast::{Mode, UNBOUNDED};
use super::program::{Op, Pc, Place, Program, Unit};

/// Most instructions after counted repeats are written out. Larger patterns are left to
/// the backtracking matcher, which counts instead.
const MAX_INSTRUCTIONS: usize = 10_000;

/// Most instructions looked at on the way, for bodies that yield none.
const MAX_WORK: usize = 50_000;

#[derive(Clone, Copy, Debug)]
enum Instruction {
    Unit(Unit),
    Place(Place),
    /// Goes on at the next instruction and at this one.
    Split(Pc),
    Jump(Pc),
    Accept,
}

/// A pattern without captures, with counted repeats written out.
#[derive(Debug)]
pub(super) struct Automaton {
    instructions: Vec<Instruction>,
}

impl Automaton {
    /// None if the pattern is not regular, or too large.
    pub(super) fn new(program: &Program) -> Option<Automaton> {
        let mut builder = Builder { program, instructions: Vec::new(), work: MAX_WORK };
        builder.range(0, program.ops.len())?;
        Some(Automaton { instructions: builder.instructions })
    }

    /// Whether the whole text matches; none if that takes more steps than `limit`.
    pub(super) fn is_match(&self, program: &Program, text: &[u32], limit: usize) -> Option<bool> {
        let mut steps = limit;
        let mut now = Threads::new(self.instructions.len());
        let mut then = Threads::new(self.instructions.len());
        self.follow(0, text, 0, &mut now, &mut steps)?;
        for (at, code) in text.iter().enumerate() {
            if now.waiting.is_empty() {
                return Some(false);
            }
            steps = steps.checked_sub(now.waiting.len())?;
            then.clear();
            for pc in &now.waiting {
                if let Some(Instruction::Unit(unit)) = self.instructions.get(*pc)
                    && program.fits(*unit, *code)
                {
                    self.follow(pc + 1, text, at + 1, &mut then, &mut steps)?;
                }
            }
            std::mem::swap(&mut now, &mut then);
        }
        Some(now.accepted)
    }

    /// Adds every test of a character that can come next, from `pc` on.
    fn follow(&self, pc: Pc, text: &[u32], at: usize, threads: &mut Threads, steps: &mut usize) -> Option<()> {
        threads.pending.push(pc);
        while let Some(pc) = threads.pending.pop() {
            *steps = steps.checked_sub(1)?;
            match threads.seen.get_mut(pc) {
                Some(seen) if *seen != threads.round => *seen = threads.round,
                _ => continue,
            }
            match self.instructions.get(pc) {
                Some(Instruction::Unit(_)) => threads.waiting.push(pc),
                Some(Instruction::Place(place)) if place.holds(text, at) => {
                    threads.pending.push(pc + 1);
                }
                Some(Instruction::Split(other)) => threads.pending.extend([*other, pc + 1]),
                Some(Instruction::Jump(to)) => threads.pending.push(*to),
                Some(Instruction::Accept) => threads.accepted = true,
                Some(Instruction::Place(_)) | None => {}
            }
        }
        Some(())
    }
}

/// The ways to match up to one place in the text.
struct Threads {
    waiting: Vec<Pc>,
    pending: Vec<Pc>,
    /// The round in which each instruction was last reached.
    seen: Vec<u32>,
    round: u32,
    accepted: bool,
}

impl Threads {
    fn new(instructions: usize) -> Threads {
        Threads { waiting: Vec::new(), pending: Vec::new(), seen: vec![0; instructions], round: 1, accepted: false }
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.accepted = false;
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.fill(0);
            self.round = 1;
        }
    }
}

struct Builder<'a> {
    program: &'a Program,
    instructions: Vec<Instruction>,
    work: usize,
}

impl Builder<'_> {
    fn emit(&mut self, instruction: Instruction) -> Option<Pc> {
        if self.instructions.len() >= MAX_INSTRUCTIONS {
            return None;
        }
        self.instructions.push(instruction);
        Some(self.instructions.len() - 1)
    }

    /// Lets instructions that wait for an end go on here.
    fn patch(&mut self, waiting: &[Pc], make: fn(Pc) -> Instruction) {
        let here = self.instructions.len();
        for at in waiting {
            if let Some(slot) = self.instructions.get_mut(*at) {
                *slot = make(here);
            }
        }
    }

    /// Writes out the instructions of the program from `from` up to `to`.
    fn range(&mut self, from: Pc, to: Pc) -> Option<()> {
        let program = self.program;
        let mut pc = from;
        while pc < to {
            self.work = self.work.checked_sub(1)?;
            match program.ops.get(pc)? {
                Op::Unit(unit) => {
                    self.emit(Instruction::Unit(*unit))?;
                }
                Op::Place(place) => {
                    self.emit(Instruction::Place(*place))?;
                }
                Op::Mark(_) => {}
                Op::Branch { alternatives, end } => {
                    self.branch(alternatives, *end)?;
                    pc = *end;
                    continue;
                }
                Op::RepeatUnit { unit, min, max, mode } => {
                    if *mode == Mode::Possessive {
                        return None;
                    }
                    self.repeat(*min, *max, |builder| builder.emit(Instruction::Unit(*unit)).map(|_| ()))?;
                }
                Op::Repeat { min, max, until } => {
                    self.repeat(*min, *max, |builder| builder.range(pc + 1, *until))?;
                    pc = *until + 1;
                    continue;
                }
                Op::Accept => {
                    self.emit(Instruction::Accept)?;
                }
                Op::Jump(_)
                | Op::Until { .. }
                | Op::Possessive { .. }
                | Op::Atomic { .. }
                | Op::Look { .. }
                | Op::EndInner
                | Op::BackRef { .. }
                | Op::IfGroup { .. } => return None,
            }
            pc += 1;
        }
        Some(())
    }

    fn branch(&mut self, alternatives: &[Pc], end: Pc) -> Option<()> {
        let mut jumps = Vec::with_capacity(alternatives.len());
        for (which, start) in alternatives.iter().enumerate() {
            let next = alternatives.get(which + 1).copied();
            let split = match next {
                Some(_) => Some(self.emit(Instruction::Split(0))?),
                None => None,
            };
            // Without the jump that ends each alternative.
            self.range(*start, next.unwrap_or(end).saturating_sub(1))?;
            if let Some(split) = split {
                jumps.push(self.emit(Instruction::Jump(0))?);
                self.patch(&[split], Instruction::Split);
            }
        }
        self.patch(&jumps, Instruction::Jump);
        Some(())
    }

    fn repeat(&mut self, min: u32, max: u32, mut body: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        for _ in 0..min {
            let before = self.instructions.len();
            body(self)?;
            if self.instructions.len() == before {
                return Some(());
            }
        }
        if max == UNBOUNDED {
            let split = self.emit(Instruction::Split(0))?;
            body(self)?;
            self.emit(Instruction::Jump(split))?;
            self.patch(&[split], Instruction::Split);
            return Some(());
        }
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.emit(Instruction::Split(0))?);
            let before = self.instructions.len();
            body(self)?;
            if self.instructions.len() == before {
                break;
            }
        }
        self.patch(&splits, Instruction::Split);
        Some(())
    }
}
