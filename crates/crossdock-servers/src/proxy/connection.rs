//! One connection through the proxy: two sockets, and what is on its way between them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::sockopt::set_socket_linger;

use super::rule::{Counts, Exchange, Rule, Then, Verdict};

/// Reading pauses while as much as this waits to be written.
const FULL: usize = 256 * 1024;

/// What all connections share.
pub(super) struct Traffic {
    pub(super) rules: VecDeque<Rule>,
    pub(super) delay: Duration,
    pub(super) counts: Counts,
    buffer: Box<[u8]>,
}

impl Traffic {
    pub(super) fn new() -> Self {
        let buffer = vec![0; 64 * 1024].into_boxed_slice();
        Self { rules: VecDeque::new(), delay: Duration::ZERO, counts: Counts::default(), buffer }
    }
}

/// Bytes on their way in one direction.
struct Pipe {
    bytes: Vec<u8>,
    written: usize,
    /// When they may go on.
    due: Instant,
    /// Nothing more comes in.
    ended: bool,
    /// The other side knows.
    closed: bool,
}

impl Pipe {
    fn new() -> Self {
        Self { bytes: Vec::new(), written: 0, due: Instant::now(), ended: false, closed: false }
    }

    fn push(&mut self, bytes: &[u8], delay: Duration) {
        self.bytes.extend_from_slice(bytes);
        self.due = Instant::now() + delay;
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn wants_more(&self) -> bool {
        !self.ended && self.bytes.len() < FULL
    }

    fn wants_out(&self, now: Instant) -> bool {
        !self.is_empty() && self.due <= now
    }

    /// What there is, or 0 where the stream has ended; `None` if nothing came yet.
    fn read(&mut self, mut from: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match from.read(buffer) {
            Ok(count) => {
                self.ended = count == 0;
                Ok(Some(count))
            }
            Err(error) if is_not_yet(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, mut to: &TcpStream, now: Instant) -> io::Result<()> {
        while self.wants_out(now) {
            match to.write(&self.bytes[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if is_not_yet(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.written == self.bytes.len() {
                self.bytes.clear();
                self.written = 0;
            }
        }
        if self.ended && self.is_empty() && !self.closed {
            self.closed = true;
            to.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

enum Fate {
    Lives,
    /// Whatever comes is thrown away, until the client gives up.
    Deaf,
    /// Reset as soon as the server, or else the client, has what it is to get.
    Doomed {
        server_first: bool,
    },
}

/// Two sockets that do not block.
pub(super) struct Connection {
    pub(super) client: TcpStream,
    pub(super) server: TcpStream,
    up: Pipe,
    down: Pipe,
    exchange: Exchange,
    fate: Fate,
}

impl Connection {
    pub(super) fn new(client: TcpStream, server: TcpStream) -> Self {
        let [up, down] = [Pipe::new(), Pipe::new()];
        Self { client, server, up, down, exchange: Exchange::default(), fate: Fate::Lives }
    }

    /// What to wait for, at the client and at the server.
    pub(super) fn interest(&self, now: Instant) -> [PollFlags; 2] {
        let reads = !matches!(self.fate, Fate::Doomed { .. });
        [(&self.up, &self.down), (&self.down, &self.up)].map(|(inward, outward)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, reads && inward.wants_more());
            flags.set(PollFlags::OUT, outward.wants_out(now));
            flags
        })
    }

    /// When it has something to do without anything happening.
    pub(super) fn due(&self) -> Option<Instant> {
        [&self.up, &self.down].into_iter().filter(|pipe| !pipe.is_empty()).map(|pipe| pipe.due).min()
    }

    /// Passes on what can be passed. False when the connection is over.
    pub(super) fn turn(&mut self, traffic: &mut Traffic) -> bool {
        self.try_turn(traffic).unwrap_or_else(|_| {
            self.reset();
            false
        })
    }

    fn try_turn(&mut self, traffic: &mut Traffic) -> io::Result<bool> {
        if !matches!(self.fate, Fate::Doomed { .. }) {
            if self.up.wants_more() {
                self.take_request(traffic)?;
            }
            if self.down.wants_more() && !matches!(self.fate, Fate::Doomed { .. }) && !self.take_reply(traffic)? {
                return Ok(false);
            }
        }
        let now = Instant::now();
        self.up.write(&self.server, now)?;
        self.down.write(&self.client, now)?;
        Ok(match self.fate {
            Fate::Lives => !(self.up.closed && self.down.closed),
            Fate::Deaf => !self.up.ended,
            Fate::Doomed { server_first } => {
                let awaited = if server_first { &self.up } else { &self.down };
                if awaited.is_empty() {
                    self.reset();
                }
                !awaited.is_empty()
            }
        })
    }

    fn take_request(&mut self, traffic: &mut Traffic) -> io::Result<()> {
        let Some(count) = self.up.read(&self.client, &mut traffic.buffer)? else { return Ok(()) };
        let bytes = &traffic.buffer[..count];
        if count == 0 || matches!(self.fate, Fate::Deaf) {
            return Ok(());
        }
        match self.exchange.request(bytes, &mut traffic.rules, &mut traffic.counts) {
            Verdict::Cut(after) => {
                self.up.push(&bytes[..after], traffic.delay);
                self.fate = Fate::Doomed { server_first: true };
            }
            _ => self.up.push(bytes, traffic.delay),
        }
        Ok(())
    }

    /// False when the connection is over.
    fn take_reply(&mut self, traffic: &mut Traffic) -> io::Result<bool> {
        let Some(count) = self.down.read(&self.server, &mut traffic.buffer)? else { return Ok(true) };
        let bytes = &traffic.buffer[..count];
        if count == 0 || matches!(self.fate, Fate::Deaf) {
            return Ok(true);
        }
        match self.exchange.reply(bytes, &mut traffic.counts) {
            Verdict::Pass => self.down.push(bytes, traffic.delay),
            Verdict::Cut(after) => {
                self.down.push(&bytes[..after], traffic.delay);
                self.fate = Fate::Doomed { server_first: false };
            }
            Verdict::Swallow(Then::Silence) => self.deafen(),
            Verdict::Swallow(Then::Close) => return Ok(false),
            Verdict::Swallow(Then::Reset) => {
                self.reset();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The server is not listened to either, so that the client does not hear of its end.
    fn deafen(&mut self) {
        self.fate = Fate::Deaf;
        self.up.bytes.clear();
        self.up.written = 0;
        (self.down.ended, self.down.closed) = (true, true);
    }

    /// Dropped after this, both sides get a reset.
    pub(super) fn reset(&self) {
        for side in [&self.client, &self.server] {
            let _ = set_socket_linger(side, Some(Duration::ZERO));
        }
    }
}
