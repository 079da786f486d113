//! Everything that opens with a parenthesis.

use super::ast::{Flags, Node, Seq};
use super::parse::Parser;
use super::token::{Fault, Token};

/// A group that is being read.
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Where its parenthesis stands.
    pub(super) start: usize,
    /// Whether white space inside it means nothing.
    pub(super) verbose: bool,
    pub(super) alternatives: Vec<Seq>,
    pub(super) current: Seq,
}

impl Frame {
    pub(super) fn new(kind: Kind, start: usize, verbose: bool) -> Frame {
        Frame { kind, start, verbose, alternatives: Vec::new(), current: Vec::new() }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The whole pattern.
    Root,
    Group {
        number: Option<u32>,
        add: Flags,
        del: Flags,
    },
    Atomic,
    Look {
        behind: bool,
        negated: bool,
        /// Whether it is a look-behind that is in no other one.
        outermost: bool,
    },
    Conditional {
        group: u32,
    },
}

/// Python converts no longer decimal number, not even one of leading zeros.
pub(super) const MAX_DIGITS: usize = 4300;

/// What a run of flags turned out to be.
enum FlagGroup {
    Global,
    Scoped { add: Flags, del: Flags },
}

fn flag(c: char) -> Option<Flags> {
    Some(match c {
        'i' => Flags::IGNORE_CASE,
        'm' => Flags::MULTILINE,
        's' => Flags::DOT_ALL,
        'x' => Flags::VERBOSE,
        'a' => Flags::ASCII,
        'u' => Flags::UNICODE,
        't' => Flags::TEMPLATE,
        _ => return None,
    })
}

impl Parser {
    /// Reads what follows an opening parenthesis.
    pub(super) fn open(&mut self) -> Result<(), Fault> {
        let start = self.tokens.position() - 1;
        let verbose = self.frame.verbose;
        if !self.tokens.take('?')? {
            return self.open_capture(start, None);
        }
        let plain = |add, del| Kind::Group { number: None, add, del };
        let token = self.required()?;
        let c = match token {
            Token::Plain(c) => c,
            Token::Escape(_) => return Err(self.unknown("?", token)),
        };
        match c {
            'P' => self.open_python(start),
            ':' => self.enter(plain(Flags::default(), Flags::default()), start, verbose),
            '>' => self.enter(Kind::Atomic, start, verbose),
            '#' => self.comment(start),
            '=' | '!' => {
                let kind = Kind::Look { behind: false, negated: c == '!', outermost: false };
                self.enter(kind, start, verbose)
            }
            '<' => {
                let token = self.required()?;
                let negated = match token {
                    Token::Plain('=') => false,
                    Token::Plain('!') => true,
                    _ => return Err(self.unknown("?<", token)),
                };
                let outermost = self.behind_limit.is_none();
                let groups = self.ast.groups.len() as u32;
                self.behind_limit.get_or_insert(groups);
                let kind = Kind::Look { behind: true, negated, outermost };
                self.enter(kind, start, verbose)
            }
            '(' => self.open_conditional(start),
            '-' | 'L' => self.open_flags(c, start),
            _ if flag(c).is_some() => self.open_flags(c, start),
            _ => Err(self.unknown("?", token)),
        }
    }

    fn required(&mut self) -> Result<Token, Fault> {
        match self.tokens.next()? {
            Some(token) => Ok(token),
            None => Err(self.tokens.fault(0, "unexpected end of pattern")),
        }
    }

    fn unknown(&self, before: &str, token: Token) -> Fault {
        let reason = format!("unknown extension {before}{}", token.text());
        self.tokens.fault(before.len() + token.len(), reason)
    }

    fn comment(&mut self, start: usize) -> Result<(), Fault> {
        loop {
            match self.tokens.next()? {
                None => {
                    return Err(Fault { position: start, reason: "missing ), unterminated comment".to_owned() });
                }
                Some(Token::Plain(')')) => return Ok(()),
                Some(_) => {}
            }
        }
    }

    fn open_capture(&mut self, start: usize, name: Option<String>) -> Result<(), Fault> {
        let number = self.ast.groups.len() as u32;
        if let Some(name) = name {
            let length = name.chars().count();
            if let Some(earlier) = self.names.get(&name) {
                let reason = format!("redefinition of group name '{name}' as group {number}; was group {earlier}");
                return Err(self.tokens.fault(length + 1, reason));
            }
            self.names.insert(name, number);
        }
        self.ast.groups.push(None);
        let kind = Kind::Group { number: Some(number), add: Flags::default(), del: Flags::default() };
        self.enter(kind, start, self.frame.verbose)
    }

    /// `(?P<name>...)` and `(?P=name)`.
    fn open_python(&mut self, start: usize) -> Result<(), Fault> {
        if self.tokens.take('<')? {
            let name = self.tokens.take_until('>', "group name")?;
            self.check_name(&name)?;
            return self.open_capture(start, Some(name));
        }
        if self.tokens.take('=')? {
            let name = self.tokens.take_until(')', "group name")?;
            self.check_name(&name)?;
            let group = self.named(&name)?;
            if !self.is_closed(group) {
                return Err(self.open_group(name.chars().count() + 1));
            }
            self.check_behind(group)?;
            self.push(Node::BackRef(group));
            return Ok(());
        }
        let token = self.required()?;
        Err(self.unknown("?P", token))
    }

    fn named(&self, name: &str) -> Result<u32, Fault> {
        self.names.get(name).copied().ok_or_else(|| {
            let reason = format!("unknown group name '{name}'");
            self.tokens.fault(name.chars().count() + 1, reason)
        })
    }

    fn check_name(&self, name: &str) -> Result<(), Fault> {
        if is_identifier(name) {
            return Ok(());
        }
        Err(self.bad_name(name))
    }

    fn bad_name(&self, name: &str) -> Fault {
        let reason = if name.is_ascii() {
            format!("bad character in group name '{name}'")
        } else {
            format!("group names beyond ASCII are not supported ('{name}')")
        };
        self.tokens.fault(name.chars().count() + 1, reason)
    }

    /// `(?(name)yes|no)` and `(?(number)yes|no)`.
    fn open_conditional(&mut self, start: usize) -> Result<(), Fault> {
        let name = self.tokens.take_until(')', "group name")?;
        let back = name.chars().count() + 1;
        let group = if is_identifier(&name) {
            self.named(&name)?
        } else {
            if name.len() > MAX_DIGITS || !name.bytes().all(|b| b.is_ascii_digit()) {
                return Err(self.bad_number(&name));
            }
            let number = name.trim_start_matches('0');
            if number.is_empty() {
                return Err(self.tokens.fault(back, "bad group number"));
            }
            // Python's limit: half of what fits into 31 bits.
            let group = number.parse::<u32>().ok().filter(|g| *g < 0x3fff_ffff);
            let Some(group) = group else {
                let reason = format!("invalid group reference {number}");
                return Err(self.tokens.fault(back, reason));
            };
            let position = self.tokens.position().saturating_sub(back);
            self.later_groups.push((group, position));
            group
        };
        self.check_behind(group)?;
        self.enter(Kind::Conditional { group }, start, self.frame.verbose)
    }

    /// A condition that is neither a name nor plain digits. Python still takes some of
    /// them as numbers (a plus sign, blanks, underscores), with a warning.
    fn bad_number(&self, name: &str) -> Fault {
        let blank = |c: char| c.is_whitespace() || matches!(c, '\x1c'..='\x1f');
        let digits = name.trim_matches(blank);
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        let number = !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_ascii_digit());
        if !number {
            return self.bad_name(name);
        }
        let reason = format!("group numbers other than plain digits are not supported ('{name}')");
        self.tokens.fault(name.chars().count() + 1, reason)
    }

    /// `(?flags)`, `(?flags:...)` and `(?flags-flags:...)`, from the first character on.
    fn open_flags(&mut self, first: char, start: usize) -> Result<(), Fault> {
        match self.flags(first)? {
            FlagGroup::Global => {
                let at_start =
                    self.frames.is_empty() && self.frame.alternatives.is_empty() && self.frame.current.is_empty();
                if !at_start {
                    return Err(Fault {
                        position: start,
                        reason: "global flags not at the start of the expression".to_owned(),
                    });
                }
                self.frame.verbose = self.ast.flags.has(Flags::VERBOSE);
                Ok(())
            }
            FlagGroup::Scoped { add, del } => {
                let verbose = (self.frame.verbose || add.has(Flags::VERBOSE)) && !del.has(Flags::VERBOSE);
                let kind = Kind::Group { number: None, add, del };
                self.enter(kind, start, verbose)
            }
        }
    }

    fn flags(&mut self, first: char) -> Result<FlagGroup, Fault> {
        let mut add = Flags::default();
        let mut end = first;
        while end != '-' && end != ':' && end != ')' {
            let Some(new) = flag(end) else {
                let reason = "bad inline flags: cannot use 'L' flag with a str pattern";
                return Err(self.tokens.fault(0, reason));
            };
            add = add.with(new);
            if new.has(Flags::KIND) && add.only(Flags::KIND) != new {
                let reason = "bad inline flags: flags 'a', 'u' and 'L' are incompatible";
                return Err(self.tokens.fault(0, reason));
            }
            end = self.flag_or(&['-', ':', ')'], "missing -, : or )")?;
        }
        if end == ')' {
            self.ast.flags = self.ast.flags.with(add);
            return Ok(FlagGroup::Global);
        }
        if add.has(Flags::TEMPLATE) {
            let reason = "bad inline flags: cannot turn on global flag";
            return Err(self.tokens.fault(1, reason));
        }
        let mut del = Flags::default();
        if end == '-' {
            let mut next = self.flag_or(&[], "missing flag")?;
            while next != ':' {
                match flag(next) {
                    Some(new) if !new.has(Flags::KIND) => del = del.with(new),
                    _ => {
                        let reason = "bad inline flags: cannot turn off flags 'a', 'u' and 'L'";
                        return Err(self.tokens.fault(0, reason));
                    }
                }
                next = self.flag_or(&[':'], "missing :")?;
            }
        }
        if del.has(Flags::TEMPLATE) {
            let reason = "bad inline flags: cannot turn off global flag";
            return Err(self.tokens.fault(1, reason));
        }
        if !add.only(del).is_empty() {
            let reason = "bad inline flags: flag turned on and off";
            return Err(self.tokens.fault(1, reason));
        }
        Ok(FlagGroup::Scoped { add, del })
    }

    /// The next flag, or one of the characters that may end them.
    fn flag_or(&mut self, ends: &[char], missing: &str) -> Result<char, Fault> {
        let Some(token) = self.tokens.next()? else {
            return Err(self.tokens.fault(0, missing));
        };
        match token {
            Token::Plain(c) if ends.contains(&c) || c == 'L' || flag(c).is_some() => Ok(c),
            Token::Plain(c) if c.is_alphabetic() => Err(self.tokens.fault(1, "unknown flag")),
            _ => Err(self.tokens.fault(token.len(), missing)),
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
}
