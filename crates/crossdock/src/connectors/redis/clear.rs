//! Removing all objects: those that carry our names, and nothing else.

use super::RedisConnector;
use super::call::Call;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::failure::{Cause, Failure};
use super::resp::Reply;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::interrupt;
use crate::key::ObjectId;

/// How many names the server looks at for one answer.
const AT_ONCE: &[u8] = b"1000";

impl RedisConnector {
    /// Removes every string whose name is the prefix and a UUID: what this connector and ProxyStore's write.
    pub(super) fn clear(&self) -> Result<()> {
        if !self.options.cluster {
            return self.clear_node(None);
        }
        self.slots(self.deadline(0))?.nodes().iter().try_for_each(|node| self.clear_node(Some(node)))
    }

    fn clear_node(&self, node: Option<&Endpoint>) -> Result<()> {
        let pattern = [escaped(&self.prefix).as_bytes(), &[b'?'; 36]].concat();
        let mut cursor = b"0".to_vec();
        loop {
            interrupt::check()?;
            let call = Call { node, ..Call::default() };
            cursor = self.call(call, |connection, deadline| {
                let (next, names) = scan(connection, &cursor, &pattern, deadline)?;
                let names: Vec<Vec<u8>> = names.into_iter().filter(|name| self.is_ours(name)).collect();
                unlink(connection, &names, deadline)?;
                Ok(next)
            })?;
            if cursor == b"0" {
                return Ok(());
            }
        }
    }

    fn is_ours(&self, name: &[u8]) -> bool {
        let id = name.strip_prefix(self.prefix.as_bytes()).and_then(|id| std::str::from_utf8(id).ok());
        id.is_some_and(|id| ObjectId::from(id).as_uuid().is_some())
    }
}

fn scan(
    connection: &mut Connection,
    cursor: &[u8],
    pattern: &[u8],
    deadline: &Deadline,
) -> Result<(Vec<u8>, Vec<Vec<u8>>), Failure> {
    let words: [&[u8]; 8] = [b"SCAN", cursor, b"MATCH", pattern, b"COUNT", AT_ONCE, b"TYPE", b"string"];
    match connection.ask(&words, deadline)? {
        Reply::Array(Some(parts)) => match <[Reply; 2]>::try_from(parts) {
            Ok([Reply::String(Some(next)), Reply::Array(Some(names))]) => {
                let text = |name| match name {
                    Reply::String(Some(text)) => Some(text),
                    _ => None,
                };
                Ok((next, names.into_iter().filter_map(text).collect()))
            }
            _ => Err(no_scan()),
        },
        _ => Err(no_scan()),
    }
}

fn no_scan() -> Failure {
    Failure::before_sending(Cause::Protocol("an answer to SCAN that is none"))
}

/// One request a name: those of a cluster may be in several slots.
fn unlink(connection: &mut Connection, names: &[Vec<u8>], deadline: &Deadline) -> Result<(), Failure> {
    names.iter().for_each(|name| connection.push(&[b"UNLINK", name]));
    connection.send(deadline)?;
    let mut refused = None;
    for _ in names {
        if let Reply::Refused(refusal) = connection.any_reply(deadline)? {
            refused = Some(refusal);
        }
    }
    refused.map_or(Ok(()), |refusal| Err(Failure::before_sending(Cause::Refused(refusal))))
}

/// The text as a pattern that matches it only.
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
