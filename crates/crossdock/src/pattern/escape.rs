//! Backslash escapes and sets in brackets.

use std::collections::HashSet;

use super::ast::{At, Category, CategoryKind, Node, SetItem};
use super::token::{Fault, Token, Tokens};

/// What an escape stands for.
pub(super) enum Escaped {
    Literal(u32),
    Category(Category),
    At(At),
    /// A number to refer back to; whether that group exists is for the caller to say.
    Group {
        number: u32,
        digits: usize,
    },
}

/// Reads the rest of the escape `\c` outside brackets, after the token itself.
pub(super) fn escape(tokens: &mut Tokens, c: char) -> Result<Escaped, Fault> {
    let at = match c {
        'A' => Some(At::BeginText),
        'Z' => Some(At::EndText),
        'b' => Some(At::Boundary),
        'B' => Some(At::NotBoundary),
        _ => None,
    };
    if let Some(at) = at {
        return Ok(Escaped::At(at));
    }
    match c {
        '0' => {
            let more = tokens.take_while(2, is_octal)?;
            Ok(Escaped::Literal(number(&more, 8)))
        }
        '1'..='9' => {
            let mut digits = c.to_string();
            digits += &tokens.take_while(1, |c| c.is_ascii_digit())?;
            if digits.len() == 2 && digits.chars().all(is_octal) {
                digits += &tokens.take_while(1, is_octal)?;
                if digits.len() == 3 {
                    return octal(tokens, &digits);
                }
            }
            Ok(Escaped::Group { number: number(&digits, 10), digits: digits.len() })
        }
        _ => common(tokens, c),
    }
}

/// Reads the rest of the escape `\c` inside brackets, after the token itself.
fn set_escape(tokens: &mut Tokens, c: char) -> Result<SetItem, Fault> {
    let escaped = match c {
        'b' => Escaped::Literal(8),
        '0'..='7' => {
            let digits = c.to_string() + &tokens.take_while(2, is_octal)?;
            octal(tokens, &digits)?
        }
        '8' | '9' => return Err(bad_escape(tokens, c)),
        _ => common(tokens, c)?,
    };
    match escaped {
        Escaped::Literal(code) => Ok(SetItem::Literal(code)),
        Escaped::Category(category) => Ok(SetItem::Category(category)),
        Escaped::At(_) | Escaped::Group { .. } => Err(bad_escape(tokens, c)),
    }
}

/// The escapes that mean the same inside and outside of brackets.
fn common(tokens: &mut Tokens, c: char) -> Result<Escaped, Fault> {
    let category = |kind, negated| Ok(Escaped::Category(Category { kind, negated }));
    match c {
        'd' | 'D' => category(CategoryKind::Digit, c == 'D'),
        's' | 'S' => category(CategoryKind::Space, c == 'S'),
        'w' | 'W' => category(CategoryKind::Word, c == 'W'),
        'a' => Ok(Escaped::Literal(7)),
        't' => Ok(Escaped::Literal(9)),
        'n' => Ok(Escaped::Literal(10)),
        'v' => Ok(Escaped::Literal(11)),
        'f' => Ok(Escaped::Literal(12)),
        'r' => Ok(Escaped::Literal(13)),
        'x' => hexadecimal(tokens, c, 2),
        'u' => hexadecimal(tokens, c, 4),
        'U' => hexadecimal(tokens, c, 8),
        'N' => Err(tokens.fault(2, r"named characters (\N{...}) are not supported, write \xhh or \uhhhh")),
        _ if c.is_ascii_alphabetic() => Err(bad_escape(tokens, c)),
        _ => Ok(Escaped::Literal(u32::from(c))),
    }
}

fn hexadecimal(tokens: &mut Tokens, c: char, wanted: usize) -> Result<Escaped, Fault> {
    let digits = tokens.take_while(wanted, |c| c.is_ascii_hexdigit())?;
    let length = digits.len() + 2;
    if digits.len() < wanted {
        return Err(tokens.fault(length, format!("incomplete escape \\{c}{digits}")));
    }
    let code = number(&digits, 16);
    if code > u32::from(char::MAX) {
        return Err(tokens.fault(length, format!("bad escape \\{c}{digits}")));
    }
    Ok(Escaped::Literal(code))
}

fn octal(tokens: &Tokens, digits: &str) -> Result<Escaped, Fault> {
    let code = number(digits, 8);
    if code > 0o377 {
        let reason = format!("octal escape value \\{digits} outside of range 0-0o377");
        return Err(tokens.fault(digits.len() + 1, reason));
    }
    Ok(Escaped::Literal(code))
}

fn bad_escape(tokens: &Tokens, c: char) -> Fault {
    tokens.fault(2, format!("bad escape \\{c}"))
}

fn is_octal(c: char) -> bool {
    matches!(c, '0'..='7')
}

/// Digits known to be few and good; none at all are zero.
fn number(digits: &str, radix: u32) -> u32 {
    u32::from_str_radix(digits, radix).unwrap_or(0)
}

/// Reads a set after its opening bracket, which stands at `start`.
pub(super) fn set(tokens: &mut Tokens, start: usize) -> Result<Node, Fault> {
    let unterminated = || Fault { position: start, reason: "unterminated character set".to_owned() };
    let negated = tokens.take('^')?;
    let mut items = Vec::new();
    loop {
        let Some(first) = tokens.next()? else {
            return Err(unterminated());
        };
        // A bracket that would close an empty set is a member of it.
        if first == Token::Plain(']') && !items.is_empty() {
            break;
        }
        let low = set_item(tokens, first)?;
        if !tokens.take('-')? {
            items.push(low);
            continue;
        }
        let Some(last) = tokens.next()? else {
            return Err(unterminated());
        };
        if last == Token::Plain(']') {
            items.push(low);
            items.push(SetItem::Literal(u32::from('-')));
            break;
        }
        let high = set_item(tokens, last)?;
        match (low, high) {
            (SetItem::Literal(low), SetItem::Literal(high)) if low <= high => {
                items.push(SetItem::Range(low, high));
            }
            _ => {
                // Python counts both ends as their first token only.
                let reason = format!("bad character range {}-{}", first.text(), last.text());
                return Err(tokens.fault(first.len() + 1 + last.len(), reason));
            }
        }
    }
    let items = unique(items);
    Ok(match (items.as_slice(), negated) {
        ([SetItem::Literal(code)], false) => Node::Literal(*code),
        ([SetItem::Literal(code)], true) => Node::NotLiteral(*code),
        _ => Node::Set { negated, items },
    })
}

fn set_item(tokens: &mut Tokens, token: Token) -> Result<SetItem, Fault> {
    match token {
        Token::Escape(c) => set_escape(tokens, c),
        Token::Plain(c) => Ok(SetItem::Literal(u32::from(c))),
    }
}

/// Drops repeated members, keeping the order of the first ones.
pub(super) fn unique(mut items: Vec<SetItem>) -> Vec<SetItem> {
    let mut seen = HashSet::with_capacity(items.len());
    items.retain(|item| seen.insert(*item));
    items
}
