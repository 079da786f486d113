//! What a pattern says, as read.
//!
//! Nodes live in one arena and name each other by number, so that building,
//! copying and dropping a deeply nested pattern is cheap and never recursive.

/// The number of a node in [`Ast::nodes`].
pub(super) type NodeId = u32;

/// Nodes one after the other.
pub(super) type Seq = Vec<NodeId>;

/// `max` of a repeat without an upper bound; also the first count Python refuses.
pub(super) const UNBOUNDED: u32 = u32::MAX;

/// Python caps computed widths here, and compares only capped ones.
const MAX_WIDTH: u128 = 1 << 64;

/// Inline flags, `(?ims)` and friends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) const IGNORE_CASE: Flags = Flags(1);
    pub(super) const MULTILINE: Flags = Flags(2);
    pub(super) const DOT_ALL: Flags = Flags(4);
    pub(super) const VERBOSE: Flags = Flags(8);
    pub(super) const ASCII: Flags = Flags(16);
    pub(super) const UNICODE: Flags = Flags(32);
    /// Python's leftover `t`: it only forbids repeats.
    pub(super) const TEMPLATE: Flags = Flags(64);
    /// Those of which only one can hold.
    pub(super) const KIND: Flags = Flags(16 | 32);

    pub(super) fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub(super) fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    pub(super) fn only(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flags inside a group `(?add-del:...)`.
    pub(super) fn scoped(self, add: Flags, del: Flags) -> Flags {
        let outer = if add.has(Flags::KIND) { self.without(Flags::KIND) } else { self };
        outer.with(add).without(del)
    }

    pub(super) fn unicode(self) -> bool {
        !self.has(Flags::ASCII)
    }
}

/// A class escape such as `\d`; `negated` for the capital letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Category {
    pub(super) kind: CategoryKind,
    pub(super) negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CategoryKind {
    Digit,
    Space,
    Word,
}

/// One member of a set in brackets. Code points may be surrogates, hence `u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SetItem {
    Literal(u32),
    Range(u32, u32),
    Category(Category),
}

/// A place in the text rather than a character of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// `^`
    Begin,
    /// `\A`
    BeginText,
    /// `$`
    End,
    /// `\Z`
    EndText,
    /// `\b`
    Boundary,
    /// `\B`
    NotBoundary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Greedy,
    Lazy,
    Possessive,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Literal(u32),
    NotLiteral(u32),
    Any,
    Set {
        negated: bool,
        items: Vec<SetItem>,
    },
    At(At),
    Repeat {
        min: u32,
        max: u32,
        mode: Mode,
        body: Seq,
    },
    /// A group; without a number it exists for its flags, or until it is unpacked.
    Group {
        number: Option<u32>,
        add: Flags,
        del: Flags,
        body: Seq,
    },
    Atomic(Seq),
    Branch(Vec<Seq>),
    Look {
        behind: bool,
        negated: bool,
        body: Seq,
    },
    BackRef(u32),
    Conditional {
        group: u32,
        yes: Seq,
        no: Option<Seq>,
    },
}

/// Fewest and most characters something takes, by Python's reckoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Width {
    pub(super) min: u128,
    pub(super) max: u128,
}

impl Width {
    const ONE: Width = Width { min: 1, max: 1 };

    fn either(self, other: Width) -> Width {
        Width { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

#[derive(Debug)]
struct Entry {
    node: Node,
    width: Width,
    position: usize,
}

/// A parsed pattern.
#[derive(Debug, Default)]
pub(super) struct Ast {
    nodes: Vec<Entry>,
    pub(super) root: Seq,
    pub(super) flags: Flags,
    /// Width of each closed group; entry 0 is unused, an open group has `None`.
    pub(super) groups: Vec<Option<Width>>,
    /// Where the first repeat stands.
    pub(super) first_repeat: Option<usize>,
}

impl Ast {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        static NOTHING: Node = Node::Branch(Vec::new());
        // Every id comes from `push`, so that the default is never taken.
        self.nodes.get(id as usize).map_or(&NOTHING, |entry| &entry.node)
    }

    /// Where a node begins in the pattern.
    pub(super) fn position(&self, id: NodeId) -> usize {
        self.nodes.get(id as usize).map_or(0, |entry| entry.position)
    }

    pub(super) fn push(&mut self, node: Node, position: usize) -> NodeId {
        let width = self.width(&node);
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Entry { node, width, position });
        id
    }

    /// Takes the content of a plain `(?:...)` group, which then is no node of its own.
    pub(super) fn unpack(&mut self, id: NodeId) -> Option<Seq> {
        match self.nodes.get_mut(id as usize).map(|entry| &mut entry.node) {
            Some(Node::Group { number: None, add, del, body }) if add.is_empty() && del.is_empty() => {
                Some(std::mem::take(body))
            }
            _ => None,
        }
    }

    pub(super) fn seq_width(&self, seq: &[NodeId]) -> Width {
        let mut sum = Width::default();
        for id in seq {
            if let Some(entry) = self.nodes.get(*id as usize) {
                sum.min += entry.width.min;
                sum.max += entry.width.max;
            }
        }
        Width { min: sum.min.min(MAX_WIDTH), max: sum.max.min(MAX_WIDTH) }
    }

    fn width(&self, node: &Node) -> Width {
        match node {
            Node::Literal(_) | Node::NotLiteral(_) | Node::Any | Node::Set { .. } => Width::ONE,
            Node::At(_) | Node::Look { .. } => Width::default(),
            Node::Repeat { min, max, body, .. } => {
                let body = self.seq_width(body);
                Width {
                    min: body.min * u128::from(*min),
                    max: if *max == UNBOUNDED && body.max > 0 { MAX_WIDTH } else { body.max * u128::from(*max) },
                }
            }
            Node::Group { body, .. } | Node::Atomic(body) => self.seq_width(body),
            Node::Branch(alternatives) => {
                alternatives.iter().map(|seq| self.seq_width(seq)).reduce(Width::either).unwrap_or_default()
            }
            Node::BackRef(group) => self.groups.get(*group as usize).copied().flatten().unwrap_or_default(),
            Node::Conditional { yes, no, .. } => {
                let no = no.as_ref().map(|seq| self.seq_width(seq));
                self.seq_width(yes).either(no.unwrap_or_default())
            }
        }
    }

    /// Whether two nodes are the same test of one place, so that alternatives which
    /// begin with them share it. Groups and repeats never are, even if written alike.
    pub(super) fn same_test(&self, one: NodeId, other: NodeId) -> bool {
        match (self.node(one), self.node(other)) {
            (Node::Literal(a), Node::Literal(b)) => a == b,
            (Node::NotLiteral(a), Node::NotLiteral(b)) => a == b,
            (Node::Any, Node::Any) => true,
            (Node::At(a), Node::At(b)) => a == b,
            (Node::BackRef(a), Node::BackRef(b)) => a == b,
            (Node::Set { negated, items }, Node::Set { negated: other_negated, items: other_items }) => {
                negated == other_negated && items == other_items
            }
            _ => false,
        }
    }

    /// Whether a repeated body is a single test of one character.
    pub(super) fn is_simple(&self, body: &[NodeId]) -> bool {
        let mut body = body;
        loop {
            let [id] = body else { return false };
            match self.node(*id) {
                Node::Literal(_) | Node::NotLiteral(_) | Node::Any | Node::Set { .. } => {
                    return true;
                }
                Node::Group { number: None, body: inner, .. } => body = inner,
                _ => return false,
            }
        }
    }
}
