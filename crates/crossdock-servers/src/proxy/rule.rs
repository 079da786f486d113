//! What is to go wrong, and with which requests.

use std::collections::VecDeque;

/// What goes wrong with a request or its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server gets the request; its reply is swallowed.
    DropReply(Then),
    /// The server gets so many bytes of the request, then both sides a reset. A request that is not longer passes.
    CutRequest(usize),
    /// The client gets so many bytes of the reply, then both sides a reset. A reply that is not longer passes.
    CutReply(usize),
}

/// What becomes of a connection whose reply is swallowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is closed: the client reads the end of the stream.
    Close,
    /// It is reset.
    Reset,
    /// It stays open, and nothing gets through it any more.
    Silence,
}

/// A fault and the requests that it happens to: the next one, unless told otherwise.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    containing: Vec<u8>,
    skip: u64,
    times: u64,
}

impl Rule {
    /// Happens to the next request.
    pub fn new(fault: Fault) -> Self {
        Self { fault, containing: Vec::new(), skip: 0, times: 1 }
    }

    /// Counts only requests that have this among their first 4,096 bytes.
    pub fn to(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.containing = bytes.as_ref().to_vec();
        self
    }

    /// So many requests pass first.
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Happens so many times, in a row.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    fn applies_to(&self, request: &[u8]) -> bool {
        self.containing.is_empty() || request.windows(self.containing.len()).any(|window| window == self.containing)
    }
}

/// What went through a proxy so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were accepted.
    pub connections: u64,
    /// Requests that began.
    pub requests: u64,
    /// Replies that began, also those that were swallowed.
    pub replies: u64,
    /// Faults that happened.
    pub faults: u64,
}

const PREFIX: usize = 4096;

/// One request and its reply.
#[derive(Default)]
pub(super) struct Exchange {
    /// The first bytes of the request.
    prefix: Vec<u8>,
    /// Bytes of the request and of the reply that have passed.
    sent: usize,
    got: usize,
    /// A rule has counted it, whatever came of it.
    counted: bool,
    fault: Option<Fault>,
}

/// What is to be done with some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// Pass so many, then reset.
    Cut(usize),
    Swallow(Then),
}

impl Exchange {
    pub(super) fn request(&mut self, bytes: &[u8], rules: &mut VecDeque<Rule>, counts: &mut Counts) -> Verdict {
        if self.got > 0 {
            *self = Self::default();
        }
        if self.sent == 0 {
            counts.requests += 1;
        }
        let room = PREFIX.saturating_sub(self.prefix.len());
        self.prefix.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.ask(rules);
        let before = self.sent;
        self.sent += bytes.len();
        match self.fault {
            Some(Fault::CutRequest(after)) if self.sent > after => {
                counts.faults += 1;
                Verdict::Cut(after.saturating_sub(before))
            }
            _ => Verdict::Pass,
        }
    }

    fn ask(&mut self, rules: &mut VecDeque<Rule>) {
        let Some(rule) = rules.front_mut() else { return };
        if self.counted || !rule.applies_to(&self.prefix) {
            return;
        }
        self.counted = true;
        if rule.skip > 0 {
            rule.skip -= 1;
            return;
        }
        self.fault = Some(rule.fault);
        rule.times = rule.times.saturating_sub(1);
        if rule.times == 0 {
            rules.pop_front();
        }
    }

    pub(super) fn reply(&mut self, bytes: &[u8], counts: &mut Counts) -> Verdict {
        let before = self.got;
        self.got += bytes.len();
        if before == 0 {
            counts.replies += 1;
        }
        match self.fault {
            Some(Fault::DropReply(then)) => {
                counts.faults += 1;
                Verdict::Swallow(then)
            }
            Some(Fault::CutReply(after)) if self.got > after => {
                counts.faults += 1;
                Verdict::Cut(after - before)
            }
            _ => Verdict::Pass,
        }
    }
}
