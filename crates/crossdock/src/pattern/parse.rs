//! Reads a pattern by the grammar of Python 3.11's `re`.
//!
//! Open groups are kept on a stack of our own, so that no pattern can exhaust the
//! thread's.

use std::collections::HashMap;

use super::ast::{Ast, Flags, Mode, Node, Seq, SetItem, UNBOUNDED};
use super::escape::{self, Escaped};
use super::group::{Frame, Kind, MAX_DIGITS};
use super::token::{Fault, Token, Tokens};
use super::{MAX_DEPTH, MAX_PATTERN_CHARS};

/// Members of sets that may be copied while alternatives are merged into sets. It only
/// stops patterns that nest large sets deeply for the sake of the work.
const MAX_MERGED_ITEMS: usize = 50_000;

pub(super) fn parse(pattern: &str) -> Result<Ast, Fault> {
    if pattern.chars().nth(MAX_PATTERN_CHARS).is_some() {
        return Err(Fault {
            position: MAX_PATTERN_CHARS,
            reason: format!("patterns longer than {MAX_PATTERN_CHARS} characters are not supported"),
        });
    }
    let mut parser = Parser {
        tokens: Tokens::new(pattern)?,
        ast: Ast::default(),
        names: HashMap::new(),
        frames: Vec::new(),
        frame: Frame::new(Kind::Root, 0, false),
        behind_limit: None,
        later_groups: Vec::new(),
        item_start: 0,
        merged_items: 0,
    };
    parser.ast.groups.push(None);
    parser.run()?;
    Ok(parser.ast)
}

pub(super) struct Parser {
    pub(super) tokens: Tokens,
    pub(super) ast: Ast,
    pub(super) names: HashMap<String, u32>,
    /// The open groups around `frame`.
    pub(super) frames: Vec<Frame>,
    /// The innermost open group.
    pub(super) frame: Frame,
    /// Inside a look-behind: the first group number that it defines itself.
    pub(super) behind_limit: Option<u32>,
    /// Group numbers that conditions name, to be checked at the end.
    pub(super) later_groups: Vec<(u32, usize)>,
    /// Where the item that is being read begins.
    item_start: usize,
    merged_items: usize,
}

impl Parser {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(token) = self.tokens.peek() {
            match token {
                Token::Plain('|') => self.alternative()?,
                Token::Plain(')') => self.close()?,
                _ => {
                    self.item_start = self.tokens.position();
                    self.tokens.next()?;
                    self.item(token)?;
                }
            }
        }
        if !self.frames.is_empty() {
            return Err(Fault { position: self.frame.start, reason: "missing ), unterminated subpattern".to_owned() });
        }
        if self.ast.flags.has(Flags::ASCII) && self.ast.flags.has(Flags::UNICODE) {
            return Err(Fault { position: 0, reason: "ASCII and UNICODE flags are incompatible".to_owned() });
        }
        self.ast.root = self.end_alternatives()?;
        for (group, position) in &self.later_groups {
            if self.ast.groups.len() <= *group as usize {
                return Err(Fault { position: *position, reason: format!("invalid group reference {group}") });
            }
        }
        if let (true, Some(position)) = (self.ast.flags.has(Flags::TEMPLATE), self.ast.first_repeat) {
            return Err(Fault { position, reason: "repeats are not allowed with the flag 't'".to_owned() });
        }
        Ok(())
    }

    fn item(&mut self, token: Token) -> Result<(), Fault> {
        let c = match token {
            Token::Escape(c) => return self.escaped(c),
            Token::Plain(c) => c,
        };
        match c {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' if self.frame.verbose => {}
            '#' if self.frame.verbose => loop {
                match self.tokens.next()? {
                    None | Some(Token::Plain('\n')) => break,
                    Some(_) => {}
                }
            },
            '[' => {
                let start = self.tokens.position() - 1;
                let node = escape::set(&mut self.tokens, start)?;
                self.push(node);
            }
            '*' => self.repeat(token, self.tokens.position(), 0, UNBOUNDED)?,
            '+' => self.repeat(token, self.tokens.position(), 1, UNBOUNDED)?,
            '?' => self.repeat(token, self.tokens.position(), 0, 1)?,
            '{' => self.counted(token)?,
            '.' => self.push(Node::Any),
            '^' => self.push(Node::At(super::ast::At::Begin)),
            '$' => self.push(Node::At(super::ast::At::End)),
            '(' => self.open()?,
            _ => self.push(Node::Literal(u32::from(c))),
        }
        Ok(())
    }

    pub(super) fn push(&mut self, node: Node) {
        let id = self.ast.push(node, self.item_start);
        self.frame.current.push(id);
    }

    fn escaped(&mut self, c: char) -> Result<(), Fault> {
        let node = match escape::escape(&mut self.tokens, c)? {
            Escaped::Literal(code) => Node::Literal(code),
            Escaped::At(at) => Node::At(at),
            Escaped::Category(category) => Node::Set { negated: false, items: vec![SetItem::Category(category)] },
            Escaped::Group { number, digits } => {
                match self.ast.groups.get(number as usize) {
                    None => {
                        let reason = format!("invalid group reference {number}");
                        return Err(self.tokens.fault(digits, reason));
                    }
                    Some(None) => return Err(self.open_group(digits + 1)),
                    Some(Some(_)) => {}
                }
                self.check_behind(number)?;
                Node::BackRef(number)
            }
        };
        self.push(node);
        Ok(())
    }

    pub(super) fn open_group(&self, back: usize) -> Fault {
        self.tokens.fault(back, "cannot refer to an open group")
    }

    pub(super) fn is_closed(&self, group: u32) -> bool {
        matches!(self.ast.groups.get(group as usize), Some(Some(_)))
    }

    /// A look-behind cannot refer to groups of its own.
    pub(super) fn check_behind(&self, group: u32) -> Result<(), Fault> {
        let Some(limit) = self.behind_limit else {
            return Ok(());
        };
        if !self.is_closed(group) {
            return Err(self.open_group(0));
        }
        if group >= limit {
            let reason = "cannot refer to group defined in the same lookbehind subpattern";
            return Err(self.tokens.fault(0, reason));
        }
        Ok(())
    }

    /// `{m}`, `{m,}`, `{,n}`, `{m,n}`, or else a literal brace.
    fn counted(&mut self, token: Token) -> Result<(), Fault> {
        let here = self.tokens.position();
        if self.tokens.peek() == Some(Token::Plain('}')) {
            self.push(Node::Literal(u32::from('{')));
            return Ok(());
        }
        let digits = |tokens: &mut Tokens| tokens.take_while(usize::MAX, |c| c.is_ascii_digit());
        let low = digits(&mut self.tokens)?;
        let high = if self.tokens.take(',')? { digits(&mut self.tokens)? } else { low.clone() };
        if !self.tokens.take('}')? {
            self.push(Node::Literal(u32::from('{')));
            return self.tokens.seek(here);
        }
        let count = |digits: &str, missing: u32| match digits.parse::<u32>() {
            _ if digits.is_empty() => Ok(missing),
            Ok(count) if count < UNBOUNDED && digits.len() <= MAX_DIGITS => Ok(count),
            _ => Err(Fault { position: here - 1, reason: "the repetition number is too large".to_owned() }),
        };
        let (min, max) = (count(&low, 0)?, count(&high, UNBOUNDED)?);
        if max < min {
            return Err(Fault { position: here, reason: "min repeat greater than max repeat".to_owned() });
        }
        self.repeat(token, here, min, max)
    }

    /// Repeats the last node; the quantifier's first token ends at `here`.
    fn repeat(&mut self, token: Token, here: usize, min: u32, max: u32) -> Result<(), Fault> {
        let fault = |reason: &str| Fault { position: here.saturating_sub(token.len()), reason: reason.to_owned() };
        let last = self.frame.current.last().copied();
        let Some(last) = last.filter(|id| !matches!(self.ast.node(*id), Node::At(_))) else {
            return Err(fault("nothing to repeat"));
        };
        if matches!(self.ast.node(last), Node::Repeat { .. }) {
            return Err(fault("multiple repeat"));
        }
        let mode = if self.tokens.take('?')? {
            Mode::Lazy
        } else if self.tokens.take('+')? {
            Mode::Possessive
        } else {
            Mode::Greedy
        };
        self.frame.current.pop();
        let body = self.ast.unpack(last).unwrap_or_else(|| vec![last]);
        let position = here.saturating_sub(token.len());
        self.ast.first_repeat.get_or_insert(position);
        self.push(Node::Repeat { min, max, mode, body });
        Ok(())
    }

    /// `|` in the innermost open group.
    fn alternative(&mut self) -> Result<(), Fault> {
        if let Kind::Conditional { .. } = self.frame.kind
            && !self.frame.alternatives.is_empty()
        {
            let reason = "conditional backref with more than two branches";
            return Err(self.tokens.fault(0, reason));
        }
        self.tokens.next()?;
        self.end_alternative();
        if self.frames.is_empty() {
            self.frame.verbose = self.ast.flags.has(Flags::VERBOSE);
        }
        Ok(())
    }

    fn end_alternative(&mut self) {
        let current = std::mem::take(&mut self.frame.current);
        let unpacked = self.unpacked(current);
        self.frame.alternatives.push(unpacked);
    }

    /// `)` for the innermost open group.
    fn close(&mut self) -> Result<(), Fault> {
        let Some(outer) = self.frames.pop() else {
            return Err(self.tokens.fault(0, "unbalanced parenthesis"));
        };
        self.tokens.next()?;
        let node = match self.frame.kind {
            Kind::Root => return Err(self.tokens.fault(1, "unbalanced parenthesis")),
            Kind::Group { number, add, del } => {
                let body = self.end_alternatives()?;
                let width = self.ast.seq_width(&body);
                let slot = number.and_then(|number| self.ast.groups.get_mut(number as usize));
                if let Some(slot) = slot {
                    *slot = Some(width);
                }
                Node::Group { number, add, del, body }
            }
            Kind::Atomic => Node::Atomic(self.end_alternatives()?),
            Kind::Look { behind, negated, outermost } => {
                if outermost {
                    self.behind_limit = None;
                }
                Node::Look { behind, negated, body: self.end_alternatives()? }
            }
            Kind::Conditional { group } => {
                self.end_alternative();
                let mut branches = std::mem::take(&mut self.frame.alternatives).into_iter();
                Node::Conditional { group, yes: branches.next().unwrap_or_default(), no: branches.next() }
            }
        };
        self.item_start = self.frame.start;
        self.frame = outer;
        self.push(node);
        Ok(())
    }

    /// Opens a group around what follows.
    pub(super) fn enter(&mut self, kind: Kind, start: usize, verbose: bool) -> Result<(), Fault> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(Fault {
                position: start,
                reason: format!("groups nested more than {MAX_DEPTH} deep are not supported"),
            });
        }
        let inner = Frame::new(kind, start, verbose);
        self.frames.push(std::mem::replace(&mut self.frame, inner));
        Ok(())
    }

    /// Plain `(?:...)` groups were only brackets around something: lets go of them.
    fn unpacked(&mut self, seq: Seq) -> Seq {
        let mut out = Vec::with_capacity(seq.len());
        for id in seq {
            match self.ast.unpack(id) {
                Some(mut body) if out.is_empty() => std::mem::swap(&mut out, &mut body),
                Some(body) => out.extend(body),
                None => out.push(id),
            }
        }
        out
    }

    /// The alternatives of the innermost group as one sequence.
    ///
    /// Tests that all of them begin with come first, and alternatives of one character
    /// each become a set: a repeat of a set keeps its captures differently from a repeat
    /// of alternatives, and back-references can tell.
    fn end_alternatives(&mut self) -> Result<Seq, Fault> {
        self.end_alternative();
        let mut alternatives = std::mem::take(&mut self.frame.alternatives);
        if alternatives.len() == 1 {
            return Ok(alternatives.pop().unwrap_or_default());
        }
        let shared = self.shared(&alternatives);
        let mut seq: Seq = Vec::new();
        if let Some(first) = alternatives.first() {
            seq.extend(first.iter().take(shared));
        }
        for alternative in &mut alternatives {
            alternative.drain(..shared.min(alternative.len()));
        }
        let node = match self.merged(&alternatives)? {
            Some(items) => Node::Set { negated: false, items },
            None => Node::Branch(alternatives),
        };
        seq.push(self.ast.push(node, self.frame.start));
        Ok(seq)
    }

    /// How many tests all alternatives begin with.
    fn shared(&self, alternatives: &[Seq]) -> usize {
        let Some((first, others)) = alternatives.split_first() else {
            return 0;
        };
        first
            .iter()
            .enumerate()
            .take_while(|(place, id)| {
                others.iter().all(|other| other.get(*place).is_some_and(|other| self.ast.same_test(**id, *other)))
            })
            .count()
    }

    /// The members of the set that the alternatives amount to, if they do.
    fn merged(&mut self, alternatives: &[Seq]) -> Result<Option<Vec<SetItem>>, Fault> {
        let mut merged = Vec::new();
        for alternative in alternatives {
            let [id] = alternative.as_slice() else {
                return Ok(None);
            };
            match self.ast.node(*id) {
                Node::Literal(code) => merged.push(SetItem::Literal(*code)),
                Node::Set { negated: false, items } => merged.extend(items),
                _ => return Ok(None),
            }
        }
        self.merged_items += merged.len();
        if self.merged_items > MAX_MERGED_ITEMS {
            let reason = "sets this large nested this deep are not supported";
            return Err(self.tokens.fault(0, reason));
        }
        Ok(Some(escape::unique(merged)))
    }
}
