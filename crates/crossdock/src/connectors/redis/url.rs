//! URLs of servers: `redis://user:password@host:6379/0`, `rediss://…`, `unix:///path/of/socket?db=0`.
//!
//! In a config, a password in a URL must be a reference. References may hold any character, so a URL is taken apart before
//! they are resolved.

use crate::config::Reference;

/// The port of Redis where none is given.
pub(super) const PORT: u16 = 6379;

/// A URL taken apart. Its texts may hold references.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) tls: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) unix_socket: Option<String>,
    pub(super) database: Option<u32>,
}

/// Stands for a reference while the rest of a URL is taken apart: no URL has it.
const STAND_IN: char = '\u{1}';

/// Whether the scheme itself is part of a reference, so that nothing can be taken apart before it is resolved.
pub(super) fn is_hidden(text: &str) -> bool {
    text.starts_with("${")
}

/// What is wrong with the name or the address of a host. References in it may stand for anything.
pub(super) fn host_mistake(text: &str) -> Option<&'static str> {
    let Ok((host, _)) = mask(text) else { return Some("has a reference in it that does not end") };
    let is_address = || host.split('%').next().is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    if host.contains(['/', '@', '?', '#', '[', ']']) || host.contains(char::is_whitespace) {
        Some("must be the name or the address of a host; write a URL as url, an address of IPv6 without brackets")
    } else if host.contains(':') && !is_address() {
        Some("must be the name or the address of a host; write its port as port")
    } else {
        None
    }
}

impl Url {
    /// # Errors
    /// What is wrong, in a sentence that shows no part of the URL.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (masked, references) = mask(text)?;
        Masked { references: references.into_iter() }.parse(&masked)
    }

    /// A URL as it came out of a reference: what looks like one in it is none.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(super) fn parse_resolved(text: &str) -> Result<Self, String> {
        Masked { references: Vec::new().into_iter() }.parse(text)
    }
}

/// The URL with one character in place of each reference, and the references.
fn mask(text: &str) -> Result<(String, Vec<&str>), String> {
    if text.contains(STAND_IN) {
        return Err("it has a control character in it".to_owned());
    }
    let (mut masked, mut references, mut rest) = (String::new(), Vec::new(), text);
    while let Some(start) = rest.find("${") {
        let end = rest[start..].find('}').ok_or("a reference in it does not end")? + start + 1;
        masked.push_str(&rest[..start]);
        masked.push(STAND_IN);
        references.push(&rest[start..end]);
        rest = &rest[end..];
    }
    masked.push_str(rest);
    Ok((masked, references))
}

struct Masked<'t> {
    references: std::vec::IntoIter<&'t str>,
}

impl Masked<'_> {
    /// From left to right, as references are put back in their order.
    fn parse(mut self, masked: &str) -> Result<Url, String> {
        let (scheme, rest) = masked.split_once("://").ok_or("a URL looks like redis://host:6379/0")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Url { tls: scheme == "rediss", ..Url::default() };
        match scheme {
            "redis" | "rediss" | "valkey" => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
                self.user(user, &mut url)?;
                self.host(host, &mut url)?;
                url.database = database(path)?;
            }
            "unix" | "redis+unix" => {
                let (user, path) = rest.split_once('@').unwrap_or(("", rest));
                self.user(user, &mut url)?;
                url.unix_socket = Some(self.whole(path)?);
                if !path.starts_with(['/', STAND_IN]) {
                    return Err("the path of a unix socket is absolute: unix:///run/redis.sock".to_owned());
                }
            }
            _ => return Err("its scheme is not redis, rediss or unix".to_owned()),
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("db", number)) => url.database = database(number)?,
                _ => return Err("it has a parameter other than db".to_owned()),
            }
        }
        for field in [&mut url.username, &mut url.password, &mut url.hostname, &mut url.unix_socket] {
            *field = field.take().filter(|text| !text.is_empty());
        }
        Ok(url)
    }

    fn user(&mut self, user: &str, url: &mut Url) -> Result<(), String> {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        url.username = Some(self.whole(name)?);
        url.password = Some(self.whole(password)?);
        Ok(())
    }

    fn host(&mut self, host: &str, url: &mut Url) -> Result<(), String> {
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (name, port) = match bracketed {
            Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or(rest)),
            None => host.rsplit_once(':').unwrap_or((host, "")),
        };
        url.hostname = Some(self.whole(name)?);
        if !port.is_empty() {
            let number = port.parse().ok().filter(|port| *port > 0);
            url.port = Some(number.ok_or("its port is not a number from 1 to 65535")?);
        }
        Ok(())
    }

    /// The text with its references back in place, and what was percent-encoded as it is.
    fn whole(&mut self, masked: &str) -> Result<String, String> {
        let mut parts = masked.split(STAND_IN);
        let mut text = decode(parts.next().unwrap_or_default())?;
        for part in parts {
            text.push_str(self.references.next().unwrap_or_default());
            text.push_str(&decode(part)?);
        }
        Ok(text)
    }
}

fn database(text: &str) -> Result<Option<u32>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "its database is not a number".to_owned())
}

fn decode(text: &str) -> Result<String, String> {
    let wrong = || "it has a '%' that is not followed by two hexadecimal digits of UTF-8".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        bytes.push(u8::from_str_radix(digits.ok_or_else(wrong)?, 16).map_err(|_| wrong())?);
        rest = after;
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    // What was encoded is no reference.
    Ok(Reference::literal(&text).as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_around_their_references() {
        let url = Url::parse("rediss://me:${env:A@B:/C}@cache.example:6380/2").unwrap();
        assert!(url.tls);
        assert_eq!((url.username.as_deref(), url.password.as_deref()), (Some("me"), Some("${env:A@B:/C}")));
        assert_eq!((url.hostname.as_deref(), url.port, url.database), (Some("cache.example"), Some(6380), Some(2)));
        let url = Url::parse("redis://:a%40b@[::1]").unwrap();
        assert_eq!((url.password.as_deref(), url.hostname.as_deref(), url.port), (Some("a@b"), Some("::1"), None));
        let url = Url::parse("unix://:${file:/run/pw}@${env:DIR}/redis.sock?db=3").unwrap();
        assert_eq!(url.password.as_deref(), Some("${file:/run/pw}"));
        assert_eq!((url.unix_socket.as_deref(), url.database), (Some("${env:DIR}/redis.sock"), Some(3)));
        assert_eq!(Url::parse("redis://h/").unwrap(), Url { hostname: Some("h".to_owned()), ..Url::default() });
    }

    #[test]
    fn what_is_no_url_is_refused_without_showing_it() {
        for text in [
            "",
            "host",
            "http://s3cret",
            "redis://h:x",
            "redis://h:0",
            "redis://h/s3cret",
            "redis://${env:X",
            "redis://%zz@h",
            "redis://%e4@h",
            "redis://h?s3cret=1",
            "unix://relative",
            "redis://a\u{1}b",
        ] {
            let refused = Url::parse(text).unwrap_err();
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }
}
