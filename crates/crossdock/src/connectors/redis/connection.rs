//! One connection: requests go out, replies come in.

use std::mem::MaybeUninit;

use super::endpoint::Endpoint;
use super::failure::{Cause, Failure};
use super::resp::{self, Head, LONGEST_LINE, LONGEST_STRING, MOST_DEPTH, MOST_ITEMS, Reply};
use super::server::{Client, Server};
use super::stream::Stream;
use crate::deadline::Deadline;

/// What is read at once where the object does not say how much, in bytes.
const INBOX: usize = 64 << 10;
/// Up to this size, in bytes, copying an object behind its head is cheaper than a longer list for the system.
const SMALL: usize = 16 << 10;
/// How much is gathered before it is sent, in bytes.
const OUTBOX: usize = 64 << 10;

pub(super) struct Connection {
    stream: Stream,
    endpoint: Endpoint,
    server: Server,
    client: Option<Client>,
    outbox: Vec<u8>,
    inbox: Vec<u8>,
    /// Where in the inbox that begins which was not looked at yet.
    looked: usize,
}

impl Connection {
    pub(super) fn new(stream: Stream, endpoint: Endpoint) -> Self {
        let (outbox, inbox) = (Vec::new(), Vec::with_capacity(INBOX));
        Self { stream, endpoint, server: Server::default(), client: None, outbox, inbox, looked: 0 }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the server said of itself when the connection was made.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// As the server knows it, if it has told.
    pub(super) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    pub(super) fn know(&mut self, server: Server, client: Option<Client>) {
        (self.server, self.client) = (server, client);
    }

    /// Whether it can be used for another call.
    pub(super) fn rests(&self) -> bool {
        self.unread().is_empty() && self.stream.rests()
    }

    /// A request of these words goes out with the next `send`.
    pub(super) fn push(&mut self, words: &[&[u8]]) {
        resp::request(&mut self.outbox, words);
    }

    /// The same, with an object behind `before` and words behind the object; much is sent at once. When that fails, the server
    /// has not got all of the request, so it did nothing about it.
    pub(super) fn push_object(
        &mut self,
        before: &[&[u8]],
        object: &[u8],
        after: &[&[u8]],
        deadline: &Deadline,
    ) -> Result<(), Failure> {
        resp::request_before(&mut self.outbox, before, object.len(), after.len());
        if object.len() <= SMALL {
            self.outbox.extend_from_slice(object);
        } else {
            self.stream.write_all(&self.outbox, object, deadline).map_err(Failure::before_sending)?;
            self.outbox.clear();
        }
        self.outbox.extend_from_slice(b"\r\n");
        after.iter().for_each(|word| resp::string(&mut self.outbox, word));
        if self.outbox.len() >= OUTBOX { self.send(deadline) } else { Ok(()) }
    }

    /// Sends what was pushed. When that fails, the server has not got all of the last request.
    pub(super) fn send(&mut self, deadline: &Deadline) -> Result<(), Failure> {
        let sent = self.stream.write_all(&self.outbox, &[], deadline);
        self.outbox.clear();
        sent.map_err(Failure::before_sending)
    }

    /// Sends a request and reads its reply; what the server refuses is a failure.
    pub(super) fn ask(&mut self, words: &[&[u8]], deadline: &Deadline) -> Result<Reply, Failure> {
        self.push(words);
        self.send(deadline)?;
        self.reply(deadline)
    }

    /// The next reply, whole; what the server refuses is a failure.
    pub(super) fn reply(&mut self, deadline: &Deadline) -> Result<Reply, Failure> {
        match self.any_reply(deadline)? {
            Reply::Refused(refusal) => Err(Failure::before_sending(Cause::Refused(refusal))),
            reply => Ok(reply),
        }
    }

    /// The next reply, whole, whatever it is.
    pub(super) fn any_reply(&mut self, deadline: &Deadline) -> Result<Reply, Failure> {
        self.nested_reply(deadline, 0).map_err(Failure::after_sending)
    }

    fn nested_reply(&mut self, deadline: &Deadline, depth: usize) -> Result<Reply, Cause> {
        Ok(match self.head(deadline)? {
            Head::Simple(text) => Reply::Simple(text),
            Head::Refused(refusal) => Reply::Refused(refusal),
            Head::Integer(value) => Reply::Integer(value),
            Head::String(None) => Reply::String(None),
            Head::String(Some(length)) if length > LONGEST_STRING => {
                return Err(Cause::Protocol("a string that is too long"));
            }
            Head::String(Some(length)) => {
                let mut text = Vec::with_capacity(length);
                self.fill(&mut text.spare_capacity_mut()[..length], deadline)?;
                #[expect(unsafe_code, reason = "the length of a buffer that was filled")]
                // SAFETY: `fill` has written all `length` bytes.
                unsafe {
                    text.set_len(length);
                }
                self.end_of_line(deadline)?;
                Reply::String(Some(text))
            }
            Head::Array(None) => Reply::Array(None),
            Head::Array(Some(count)) if count > MOST_ITEMS || depth >= MOST_DEPTH => {
                return Err(Cause::Protocol("a list that is too long or too deep"));
            }
            Head::Array(Some(count)) => {
                let items = (0..count).map(|_| self.nested_reply(deadline, depth + 1));
                Reply::Array(Some(items.collect::<Result<_, _>>()?))
            }
        })
    }

    /// The head of the next reply, which must be an object: its size in bytes, or `None` where there is none.
    pub(super) fn object_head(&mut self, deadline: &Deadline) -> Result<Option<usize>, Failure> {
        match self.head(deadline).map_err(Failure::after_sending)? {
            Head::String(size) => Ok(size),
            Head::Refused(refusal) => Err(Failure::before_sending(Cause::Refused(refusal))),
            _ => Err(Failure::after_sending(Cause::Protocol("something else than a string"))),
        }
    }

    /// The bytes of the object whose head was read, into memory of just its size.
    pub(super) fn object<'m>(
        &mut self,
        memory: &'m mut [MaybeUninit<u8>],
        deadline: &Deadline,
    ) -> Result<&'m mut [u8], Failure> {
        let filled = self.fill(memory, deadline).map_err(Failure::after_sending)?;
        self.end_of_line(deadline).map_err(Failure::after_sending)?;
        Ok(filled)
    }

    /// Fills all of the memory: first from the inbox, then past it.
    #[expect(unsafe_code, reason = "looking at memory that was filled")]
    fn fill<'m>(&mut self, memory: &'m mut [MaybeUninit<u8>], deadline: &Deadline) -> Result<&'m mut [u8], Cause> {
        let mut filled = self.take(memory);
        while filled < memory.len() {
            let rest = &mut memory[filled..];
            // What little is left comes with the heads of further replies.
            filled += if rest.len() < SMALL {
                self.refill(deadline)?;
                self.take(rest)
            } else {
                self.stream.read(rest, deadline)?
            };
        }
        // SAFETY: `filled` has reached the length of the memory, and counts bytes that were written one after the other.
        Ok(unsafe { memory.assume_init_mut() })
    }

    fn unread(&self) -> &[u8] {
        self.inbox.get(self.looked..).unwrap_or_default()
    }

    /// Moves what fits from the inbox to the beginning of the memory. How many bytes that was.
    fn take(&mut self, memory: &mut [MaybeUninit<u8>]) -> usize {
        let count = self.unread().len().min(memory.len());
        memory[..count].write_copy_of_slice(&self.unread()[..count]);
        self.looked += count;
        count
    }

    /// Waits for more, once all that came was looked at.
    #[expect(unsafe_code, reason = "the length of a buffer that was filled")]
    fn refill(&mut self, deadline: &Deadline) -> Result<(), Cause> {
        self.inbox.clear();
        self.looked = 0;
        let read = self.stream.read(self.inbox.spare_capacity_mut(), deadline)?;
        // SAFETY: `read` has written that many bytes to the beginning of the spare capacity, and the inbox was empty.
        unsafe { self.inbox.set_len(read) };
        Ok(())
    }

    /// The next line, without its end.
    fn head(&mut self, deadline: &Deadline) -> Result<Head, Cause> {
        let mut line = Vec::new();
        loop {
            let unread = self.unread();
            let end = unread.iter().position(|byte| *byte == b'\n');
            let part = &unread[..end.unwrap_or(unread.len())];
            let head = match end {
                Some(_) if line.is_empty() => Some(Head::parse(part.strip_suffix(b"\r").unwrap_or(part))),
                _ => {
                    line.extend_from_slice(part);
                    end.map(|_| Head::parse(line.strip_suffix(b"\r").unwrap_or(&line)))
                }
            };
            self.looked += part.len() + usize::from(end.is_some());
            if let Some(head) = head {
                return head.map_err(Cause::Protocol);
            }
            if line.len() > LONGEST_LINE {
                return Err(Cause::Protocol("a line that does not end"));
            }
            self.refill(deadline)?;
        }
    }

    fn end_of_line(&mut self, deadline: &Deadline) -> Result<(), Cause> {
        for expected in *b"\r\n" {
            if self.unread().is_empty() {
                self.refill(deadline)?;
            }
            if self.unread().first() != Some(&expected) {
                return Err(Cause::Protocol("a string that does not end where it should"));
            }
            self.looked += 1;
        }
        Ok(())
    }
}
