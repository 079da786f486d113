//! A pattern cut into characters and backslash pairs, one ahead.
//!
//! Python reads one token ahead too, and a lone backslash at the end is an error as
//! soon as it is *seen*; keeping to that keeps the reported positions the same.

/// Why a pattern is refused, and where (in characters from its start).
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) position: usize,
    pub(super) reason: String,
}

/// A character, or a backslash and the character after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Plain(char),
    Escape(char),
}

impl Token {
    /// How many characters of the pattern it takes.
    pub(super) fn len(self) -> usize {
        match self {
            Token::Plain(_) => 1,
            Token::Escape(_) => 2,
        }
    }

    pub(super) fn push_to(self, text: &mut String) {
        match self {
            Token::Plain(c) => text.push(c),
            Token::Escape(c) => text.extend(['\\', c]),
        }
    }

    pub(super) fn text(self) -> String {
        let mut text = String::new();
        self.push_to(&mut text);
        text
    }
}

pub(super) struct Tokens {
    chars: Vec<char>,
    index: usize,
    next: Option<Token>,
}

impl Tokens {
    pub(super) fn new(pattern: &str) -> Result<Tokens, Fault> {
        let mut tokens = Tokens { chars: pattern.chars().collect(), index: 0, next: None };
        tokens.advance()?;
        Ok(tokens)
    }

    fn advance(&mut self) -> Result<(), Fault> {
        self.next = match self.chars.get(self.index) {
            None => None,
            Some('\\') => match self.chars.get(self.index + 1) {
                Some(c) => Some(Token::Escape(*c)),
                None => {
                    return Err(Fault {
                        position: self.chars.len().saturating_sub(1),
                        reason: "bad escape (end of pattern)".to_owned(),
                    });
                }
            },
            Some(c) => Some(Token::Plain(*c)),
        };
        self.index += self.next.map_or(0, Token::len);
        Ok(())
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.next
    }

    pub(super) fn next(&mut self) -> Result<Option<Token>, Fault> {
        let token = self.next;
        self.advance()?;
        Ok(token)
    }

    /// Takes the next token if it is this plain character.
    pub(super) fn take(&mut self, wanted: char) -> Result<bool, Fault> {
        if self.next == Some(Token::Plain(wanted)) {
            self.advance()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes up to `most` plain characters that fit.
    pub(super) fn take_while(&mut self, most: usize, fits: impl Fn(char) -> bool) -> Result<String, Fault> {
        let mut text = String::new();
        for _ in 0..most {
            match self.next {
                Some(Token::Plain(c)) if fits(c) => text.push(c),
                _ => break,
            }
            self.advance()?;
        }
        Ok(text)
    }

    /// The text up to `end`, which is taken too; `what` names it in errors.
    pub(super) fn take_until(&mut self, end: char, what: &str) -> Result<String, Fault> {
        let mut text = String::new();
        let mut length = 0;
        loop {
            let token = self.next()?;
            match token {
                None if length == 0 => return Err(self.fault(0, format!("missing {what}"))),
                None => {
                    let reason = format!("missing {end}, unterminated name");
                    return Err(self.fault(length, reason));
                }
                Some(Token::Plain(c)) if c == end => {
                    if length == 0 {
                        return Err(self.fault(1, format!("missing {what}")));
                    }
                    return Ok(text);
                }
                Some(token) => {
                    token.push_to(&mut text);
                    length += token.len();
                }
            }
        }
    }

    /// Where the next token begins, or the pattern ends.
    pub(super) fn position(&self) -> usize {
        self.index - self.next.map_or(0, Token::len)
    }

    pub(super) fn seek(&mut self, position: usize) -> Result<(), Fault> {
        self.index = position;
        self.advance()
    }

    /// A fault so many characters before the next token.
    pub(super) fn fault(&self, back: usize, reason: impl Into<String>) -> Fault {
        Fault { position: self.position().saturating_sub(back), reason: reason.into() }
    }
}
