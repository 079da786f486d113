//! A pattern as instructions, flags resolved.

use super::ast::{self, Ast, CategoryKind, Flags, Mode, Node, NodeId, SetItem, UNBOUNDED};
use super::charset::{CharSet, Fold, is_kind};
use super::token::Fault;

/// A place in [`Program::ops`].
pub(super) type Pc = usize;

/// A test of one character.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Char(u32),
    NotNewline,
    Anything,
    /// An index into [`Program::sets`].
    Set(usize),
}

/// A test of a place, flags resolved.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Start,
    LineStart,
    /// The end, or before a newline that ends the text.
    End,
    LineEnd,
    TextEnd,
    Boundary {
        unicode: bool,
        negated: bool,
    },
}

impl Place {
    pub(super) fn holds(self, text: &[u32], at: usize) -> bool {
        const NEWLINE: u32 = 0x0a;
        let before = at.checked_sub(1).and_then(|at| text.get(at)).copied();
        let after = text.get(at).copied();
        match self {
            Place::Start => before.is_none(),
            Place::LineStart => before.is_none_or(|code| code == NEWLINE),
            Place::End => match after {
                None => true,
                Some(code) => code == NEWLINE && at + 1 == text.len(),
            },
            Place::LineEnd => after.is_none_or(|code| code == NEWLINE),
            Place::TextEnd => after.is_none(),
            // In an empty text neither of the two holds.
            Place::Boundary { .. } if text.is_empty() => false,
            Place::Boundary { unicode, negated } => {
                let word = |code: Option<u32>| code.is_some_and(|code| is_kind(CategoryKind::Word, unicode, code));
                (word(before) == word(after)) == negated
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Unit(Unit),
    Place(Place),
    /// Notes the place as one end of a group: `2 * (group - 1)`, plus one for its end.
    Mark(usize),
    Jump(Pc),
    /// Alternatives, in order; each ends with a jump to `end`.
    Branch {
        alternatives: Vec<Pc>,
        end: Pc,
    },
    /// Repeats one character; what follows comes next.
    RepeatUnit {
        unit: Unit,
        min: u32,
        max: u32,
        mode: Mode,
    },
    /// Repeats what comes next up to `until`, where an [`Op::Until`] decides.
    Repeat {
        min: u32,
        max: u32,
        until: Pc,
    },
    Until {
        lazy: bool,
    },
    /// Repeats what comes next, each time as a match of its own; goes on at `end`.
    Possessive {
        min: u32,
        max: u32,
        end: Pc,
    },
    /// A match of its own; goes on at `end`.
    Atomic {
        end: Pc,
    },
    /// A match of its own that moves nothing, `back` characters ago; goes on at `end`.
    Look {
        back: usize,
        negated: bool,
        end: Pc,
    },
    /// Ends the body of one of the three above.
    EndInner,
    /// `2 * (group - 1)`, and how to compare.
    BackRef {
        mark: usize,
        fold: Fold,
    },
    /// Goes on with the next instruction if the group is set.
    IfGroup {
        mark: usize,
        otherwise: Pc,
    },
    /// The end of the pattern.
    Accept,
}

#[derive(Debug)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    pub(super) sets: Vec<CharSet>,
    /// How many marks there are.
    pub(super) marks: usize,
    /// Python refuses shorter texts without a try.
    pub(super) min_width: u128,
}

impl Program {
    pub(super) fn new(ast: &Ast) -> Result<Program, Fault> {
        let mut compiler = Compiler {
            ast,
            program: Program {
                ops: Vec::new(),
                sets: Vec::new(),
                marks: 2 * ast.groups.len().saturating_sub(1),
                min_width: ast.seq_width(&ast.root).min.min(MAX_CODE),
            },
        };
        compiler.seq(&ast.root, ast.flags)?;
        compiler.emit(Op::Accept);
        Ok(compiler.program)
    }

    pub(super) fn fits(&self, unit: Unit, code: u32) -> bool {
        match unit {
            Unit::Char(wanted) => code == wanted,
            Unit::NotNewline => code != 0x0a,
            Unit::Anything => true,
            Unit::Set(index) => self.sets.get(index).is_some_and(|set| set.contains(code)),
        }
    }
}

/// The largest number in Python's own instructions.
const MAX_CODE: u128 = u32::MAX as u128;

struct Compiler<'a> {
    ast: &'a Ast,
    program: Program,
}

impl Compiler<'_> {
    fn emit(&mut self, op: Op) -> Pc {
        self.program.ops.push(op);
        self.here() - 1
    }

    fn here(&self) -> Pc {
        self.program.ops.len()
    }

    /// Completes an instruction whose end was not known yet.
    fn patch(&mut self, at: Pc, op: Op) {
        if let Some(slot) = self.program.ops.get_mut(at) {
            *slot = op;
        }
    }

    // Recursive, as deep as the parser let groups be nested.
    fn seq(&mut self, seq: &[NodeId], flags: Flags) -> Result<(), Fault> {
        for id in seq {
            self.node(*id, flags)?;
        }
        Ok(())
    }

    fn node(&mut self, id: NodeId, flags: Flags) -> Result<(), Fault> {
        let ast = self.ast;
        match ast.node(id) {
            node @ (Node::Literal(_) | Node::NotLiteral(_) | Node::Any | Node::Set { .. }) => {
                let unit = self.unit(node, ast.position(id), flags)?;
                self.emit(Op::Unit(unit));
            }
            Node::At(at) => {
                self.emit(Op::Place(place(*at, flags)));
            }
            Node::Repeat { min, max, mode, body, .. } => self.repeat(body, (*min, *max), *mode, flags)?,
            Node::Group { number, add, del, body } => {
                let mark = number.map(|number| 2 * (number as usize).saturating_sub(1));
                if let Some(mark) = mark {
                    self.emit(Op::Mark(mark));
                }
                self.seq(body, flags.scoped(*add, *del))?;
                if let Some(mark) = mark {
                    self.emit(Op::Mark(mark + 1));
                }
            }
            Node::Atomic(body) => {
                let at = self.emit(Op::Atomic { end: 0 });
                self.seq(body, flags)?;
                self.emit(Op::EndInner);
                let end = self.here();
                self.patch(at, Op::Atomic { end });
            }
            Node::Branch(alternatives) => self.branch(alternatives, flags)?,
            Node::Look { behind, negated, body } => {
                let position = ast.position(id);
                let (negated, back) = (*negated, self.back(*behind, body, position)?);
                let at = self.emit(Op::Atomic { end: 0 });
                self.seq(body, flags)?;
                self.emit(Op::EndInner);
                let end = self.here();
                self.patch(at, Op::Look { back, negated, end });
            }
            Node::BackRef(group) => {
                let mark = 2 * (*group as usize).saturating_sub(1);
                let fold = Fold::of(flags);
                self.emit(Op::BackRef { mark, fold });
            }
            Node::Conditional { group, yes, no } => {
                let mark = 2 * (*group as usize).saturating_sub(1);
                let at = self.emit(Op::Jump(0));
                self.seq(yes, flags)?;
                let mut otherwise = self.here();
                if let Some(no) = no {
                    let jump = self.emit(Op::Jump(0));
                    otherwise = self.here();
                    self.seq(no, flags)?;
                    let end = self.here();
                    self.patch(jump, Op::Jump(end));
                }
                self.patch(at, Op::IfGroup { mark, otherwise });
            }
        }
        Ok(())
    }

    fn back(&self, behind: bool, body: &[NodeId], position: usize) -> Result<usize, Fault> {
        if !behind {
            return Ok(0);
        }
        let fault = |reason: &str| Fault { position, reason: reason.to_owned() };
        let width = self.ast.seq_width(body);
        if width.min > MAX_CODE {
            return Err(fault("looks too much behind"));
        }
        if width.min != width.max {
            return Err(fault("look-behind requires fixed-width pattern"));
        }
        usize::try_from(width.min).map_err(|_| fault("looks too much behind"))
    }

    fn branch(&mut self, alternatives: &[ast::Seq], flags: Flags) -> Result<(), Fault> {
        let at = self.emit(Op::Jump(0));
        let mut starts = Vec::with_capacity(alternatives.len());
        let mut jumps = Vec::with_capacity(alternatives.len());
        for alternative in alternatives {
            starts.push(self.here());
            self.seq(alternative, flags)?;
            jumps.push(self.emit(Op::Jump(0)));
        }
        let end = self.here();
        for jump in jumps {
            self.patch(jump, Op::Jump(end));
        }
        let alternatives = starts;
        self.patch(at, Op::Branch { alternatives, end });
        Ok(())
    }

    fn repeat(&mut self, body: &[NodeId], (min, max): (u32, u32), mode: Mode, flags: Flags) -> Result<(), Fault> {
        if self.ast.is_simple(body) {
            let unit = self.simple(body, flags)?;
            self.emit(Op::RepeatUnit { unit, min, max, mode });
            return Ok(());
        }
        let at = self.emit(Op::Jump(0));
        self.seq(body, flags)?;
        if mode == Mode::Possessive {
            self.emit(Op::EndInner);
            let end = self.here();
            self.patch(at, Op::Possessive { min, max, end });
        } else {
            let lazy = mode == Mode::Lazy;
            let until = self.emit(Op::Until { lazy });
            self.patch(at, Op::Repeat { min, max, until });
        }
        Ok(())
    }

    /// The one character that a simple body tests, within groups that only set flags.
    fn simple(&mut self, body: &[NodeId], mut flags: Flags) -> Result<Unit, Fault> {
        let ast = self.ast;
        let mut body = body;
        while let [id] = body {
            match ast.node(*id) {
                Node::Group { add, del, body: inner, .. } => {
                    flags = flags.scoped(*add, *del);
                    body = inner;
                }
                node => return self.unit(node, ast.position(*id), flags),
            }
        }
        Ok(Unit::Anything)
    }

    fn unit(&mut self, node: &Node, position: usize, flags: Flags) -> Result<Unit, Fault> {
        let (items, negated) = match node {
            Node::Any if flags.has(Flags::DOT_ALL) => return Ok(Unit::Anything),
            Node::Literal(code) if !flags.has(Flags::IGNORE_CASE) => return Ok(Unit::Char(*code)),
            Node::Literal(code) => (&[SetItem::Literal(*code)][..], false),
            Node::NotLiteral(code) => (&[SetItem::Literal(*code)][..], true),
            Node::Set { negated, items } => (items.as_slice(), *negated),
            _ => return Ok(Unit::NotNewline),
        };
        let set =
            CharSet::new(items, negated, flags).map_err(|reason| Fault { position, reason: reason.to_owned() })?;
        self.program.sets.push(set);
        Ok(Unit::Set(self.program.sets.len() - 1))
    }
}

fn place(at: ast::At, flags: Flags) -> Place {
    let lines = flags.has(Flags::MULTILINE);
    let unicode = flags.unicode();
    match at {
        ast::At::Begin if lines => Place::LineStart,
        ast::At::Begin | ast::At::BeginText => Place::Start,
        ast::At::End if lines => Place::LineEnd,
        ast::At::End => Place::End,
        ast::At::EndText => Place::TextEnd,
        ast::At::Boundary => Place::Boundary { unicode, negated: false },
        ast::At::NotBoundary => Place::Boundary { unicode, negated: true },
    }
}

/// Whether another repetition is allowed after `count` of them.
pub(super) fn below(count: u32, max: u32) -> bool {
    max == UNBOUNDED || count < max
}
