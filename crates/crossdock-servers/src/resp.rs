//! As much of Redis's protocol as it takes to set servers up and to look into them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What a Redis server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing is there.
    Nil,
    /// A number.
    Integer(i64),
    /// A status or a value.
    Bytes(Vec<u8>),
    /// A refusal, as the server words it.
    Error(String),
    /// Several.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a status, a value or a number; empty for anything else.
    pub fn text(&self) -> String {
        match self {
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Integer(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// The value after `name` in an answer of names and values.
    pub fn field(&self, name: &str) -> Option<&Reply> {
        let Self::Array(items) = self else { return None };
        let (pairs, _) = items.as_chunks::<2>();
        pairs.iter().find(|[key, _]| key.text() == name).map(|[_, value]| value)
    }
}

/// A connection to one server.
pub(crate) struct Client<S: Read + Write>(BufReader<S>);

impl Client<UnixStream> {
    pub(crate) fn unix(path: &Path, limit: Duration) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self(BufReader::new(stream)))
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn call(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.0.get_mut().write_all(&request)?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let odd = || io::Error::other(format!("an answer that is not Redis's: {line:?}"));
        let (kind, rest) = line.split_at_checked(1).ok_or_else(odd)?;
        let number = || rest.parse::<i64>().map_err(|_| odd());
        Ok(match kind {
            "+" => Reply::Bytes(rest.as_bytes().to_vec()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.0.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bytes(bytes)
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => Reply::Array((0..length).map(|_| self.reply()).collect::<io::Result<_>>()?),
            },
            _ => return Err(odd()),
        })
    }
}
