//! The protocol (RESP 2): requests as bytes, the heads of replies read.

use super::failure::Refusal;

/// The longest line that heads a reply, in bytes.
pub(super) const LONGEST_LINE: usize = 64 << 10;
/// The most items of a reply that is read whole, and how deeply these nest: the largest is the map of a cluster.
pub(super) const MOST_ITEMS: usize = 1 << 20;
pub(super) const MOST_DEPTH: usize = 8;
/// The longest string in a reply that is read whole, in bytes. Objects are read another way.
pub(super) const LONGEST_STRING: usize = 16 << 20;

/// Appends a request of these words.
pub(super) fn request(out: &mut Vec<u8>, words: &[&[u8]]) {
    head(out, b'*', words.len());
    words.iter().for_each(|word| string(out, word));
}

/// Appends the beginning of a request whose last word, of `size` bytes, and the end of the line follow.
pub(super) fn request_before(out: &mut Vec<u8>, words: &[&[u8]], size: usize, after: usize) {
    head(out, b'*', words.len() + 1 + after);
    words.iter().for_each(|word| string(out, word));
    head(out, b'$', size);
}

/// Appends one word.
pub(super) fn string(out: &mut Vec<u8>, word: &[u8]) {
    head(out, b'$', word.len());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

fn head(out: &mut Vec<u8>, sign: u8, count: usize) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    let mut rest = count;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push(sign);
    out.extend_from_slice(&digits[first..]);
    out.extend_from_slice(b"\r\n");
}

/// The line that heads a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    Simple(Vec<u8>),
    Refused(Refusal),
    Integer(i64),
    /// A string of that many bytes follows, or there is none.
    String(Option<usize>),
    /// So many replies follow, or there is none.
    Array(Option<usize>),
}

impl Head {
    /// A line without its end.
    pub(super) fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let (sign, rest) = line.split_first().ok_or("an empty reply")?;
        match sign {
            b'+' => Ok(Self::Simple(rest.to_vec())),
            b'-' => Ok(Self::Refused(Refusal::new(rest))),
            b':' => number(rest).map(Self::Integer),
            b'$' => length(rest).map(Self::String),
            b'*' => length(rest).map(Self::Array),
            _ => Err("a reply of an unknown kind"),
        }
    }
}

fn number(text: &[u8]) -> Result<i64, &'static str> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or("a number that is none")
}

/// Minus one stands for nothing.
fn length(text: &[u8]) -> Result<Option<usize>, &'static str> {
    match number(text)? {
        -1 => Ok(None),
        count => usize::try_from(count).map(Some).map_err(|_| "a length below zero"),
    }
}

/// A reply that is read whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Simple(Vec<u8>),
    Refused(Refusal),
    Integer(i64),
    String(Option<Vec<u8>>),
    Array(Option<Vec<Reply>>),
}

impl Reply {
    /// The text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Simple(text) | Self::String(Some(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(Some(items)) => Some(items),
            _ => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::String(None) | Self::Array(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_arrays_of_strings() {
        let mut out = Vec::new();
        request(&mut out, &[b"GET", b"a key"]);
        request_before(&mut out, &[b"SET", b"k"], 1234, 2);
        let expected = "*2\r\n$3\r\nGET\r\n$5\r\na key\r\n*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1234\r\n";
        assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
    }

    #[test]
    fn heads_are_read_or_refused() {
        assert_eq!(Head::parse(b"+OK"), Ok(Head::Simple(b"OK".to_vec())));
        assert_eq!(Head::parse(b":-7"), Ok(Head::Integer(-7)));
        assert_eq!(Head::parse(b"$0"), Ok(Head::String(Some(0))));
        assert_eq!(Head::parse(b"$-1"), Ok(Head::String(None)));
        assert_eq!(Head::parse(b"*3"), Ok(Head::Array(Some(3))));
        assert!(matches!(Head::parse(b"-ERR no"), Ok(Head::Refused(_))));
        for line in ["", "x", "$", "$x", "$-2", "*99999999999999999999", ":", "HTTP/1.1 400 Bad Request"] {
            assert!(Head::parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
