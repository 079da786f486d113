//! The way of the bytes: TCP, unix socket, TLS. Waits in short parts, between which a call can be interrupted.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    sendmsg, socket_with, sockopt,
};

use super::endpoint::Endpoint;
use super::failure::{Cause, Failure};
#[cfg(feature = "redis-tls")]
use super::tls::{Tls, TlsStream};
use crate::deadline::Deadline;
use crate::interrupt;

/// How long one system call waits before the caller is asked whether he still wants it.
const PART: Duration = Duration::from_millis(50);

/// What the system keeps of what we send to this host, in bytes: it is refilled while it is in the processor's caches, and large
/// enough for the server to go on meanwhile.
const SEND_BUFFER: usize = 512 << 10;

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "redis-tls")]
    Tls(Box<TlsStream>),
}

impl Stream {
    pub(super) fn connect(endpoint: &Endpoint, deadline: &Deadline) -> Result<Self, Failure> {
        match endpoint {
            Endpoint::Tcp(host, port) => connect_tcp(host, *port, deadline).map(Self::Tcp),
            Endpoint::Unix(path) => connect_unix(path, deadline).map(Self::Unix).map_err(Failure::before_sending),
        }
    }

    /// The same way, encrypted.
    #[cfg(feature = "redis-tls")]
    pub(super) fn secured(self, tls: &Tls, endpoint: &Endpoint, deadline: &Deadline) -> Result<Self, Failure> {
        let (Self::Tcp(stream), Endpoint::Tcp(host, _)) = (self, endpoint) else {
            return Err(Failure::before_sending(Cause::Protocol("TLS is for TCP only")));
        };
        let mut secured = Self::Tls(Box::new(tls.over(stream, host)?));
        let is_shaking_hands = |stream: &Self| matches!(stream, Self::Tls(stream) if stream.is_handshaking());
        while is_shaking_hands(&secured) {
            let step = secured.patiently(PollFlags::IN, deadline, |stream| match stream {
                Self::Tls(stream) => stream.shake_hands(),
                _ => Ok(()),
            });
            step.map_err(|cause| match cause {
                Cause::Deadline => Failure::before_sending(Cause::Handshake),
                cause => Failure::before_sending(cause),
            })?;
        }
        Ok(secured)
    }

    fn socket(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            #[cfg(feature = "redis-tls")]
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Whether the other side has not closed a connection that rests, as far as one can tell without asking it.
    pub(super) fn rests(&self) -> bool {
        let (mut byte, flags) = ([0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        match recv(self.socket(), &mut byte, flags) {
            Err(Errno::AGAIN) => true,
            // Tickets of TLS may come at any time; what else comes unasked belongs to nobody.
            Ok((_, received)) => received > 0 && self.is_secured(),
            Err(_) => false,
        }
    }

    fn is_secured(&self) -> bool {
        !matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// Reads what is there, at least one byte, into the beginning of `memory`.
    pub(super) fn read(&mut self, memory: &mut [MaybeUninit<u8>], deadline: &Deadline) -> Result<usize, Cause> {
        // A server that sends a little all the time never makes us wait.
        let left = time_left(deadline)?;
        if left < PART && !self.is_secured() && !self.is_ready(PollFlags::IN, left)? {
            return Err(Cause::Deadline);
        }
        let read = self.patiently(PollFlags::IN, deadline, |stream| match stream {
            Self::Tcp(stream) => receive(stream, memory),
            Self::Unix(stream) => receive(stream, memory),
            #[cfg(feature = "redis-tls")]
            Self::Tls(stream) => stream.read(memory),
        })?;
        if read == 0 { Err(Cause::Io(io::ErrorKind::UnexpectedEof.into())) } else { Ok(read) }
    }

    /// Writes a head and a body. Whether some of it was written when that failed is left open.
    pub(super) fn write_all(&mut self, head: &[u8], body: &[u8], deadline: &Deadline) -> Result<(), Cause> {
        self.write_parts(&mut [IoSlice::new(head), IoSlice::new(body)], deadline)?;
        #[cfg(feature = "redis-tls")]
        self.patiently(PollFlags::OUT, deadline, |stream| match stream {
            Self::Tls(stream) => stream.flush(),
            _ => Ok(()),
        })?;
        Ok(())
    }

    fn write_parts(&mut self, parts: &mut [IoSlice<'_>], deadline: &Deadline) -> Result<(), Cause> {
        let mut rest = parts;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let written = self.patiently(PollFlags::OUT, deadline, |stream| match stream {
                Self::Tcp(stream) => send_now(stream, rest),
                Self::Unix(stream) => send_now(stream, rest),
                #[cfg(feature = "redis-tls")]
                Self::Tls(stream) => stream.write_vectored(rest),
            })?;
            if written == 0 {
                return Err(Cause::Io(io::ErrorKind::WriteZero.into()));
            }
            IoSlice::advance_slices(&mut rest, written);
            if !rest.is_empty() {
                // A server that takes a little all the time never makes us wait.
                time_left(deadline)?;
            }
        }
        Ok(())
    }

    /// Repeats a call that comes back when it could do nothing, as soon as it can, until the time is up or the caller wants no
    /// more.
    fn patiently<T>(
        &mut self,
        ready: PollFlags,
        deadline: &Deadline,
        mut call: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> Result<T, Cause> {
        loop {
            match call(self) {
                Err(cause) if is_not_yet(&cause) => while !self.is_ready(ready, time_left(deadline)?.min(PART))? {},
                done => return done.map_err(Cause::Io),
            }
        }
    }

    /// Whether there is something to read, or room to write, within that time.
    fn is_ready(&self, ready: PollFlags, within: Duration) -> Result<bool, Cause> {
        match wait(self.socket(), ready, within) {
            Ok(is_ready) => Ok(is_ready),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(Cause::Io(errno.into())),
        }
    }
}

/// What the system takes at once: a call that waited for more would not know when its time is up.
fn send_now(socket: impl AsFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(sendmsg(socket, parts, &mut SendAncillaryBuffer::default(), flags)?)
}

fn receive(socket: impl AsFd, memory: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let (read, _) = rustix::io::read(socket, memory)?;
    Ok(read.len())
}

/// Repeats a call that comes back when nothing has happened for a while, until the time is up or the caller wants no more.
fn patiently<T>(deadline: &Deadline, mut call: impl FnMut() -> io::Result<T>) -> Result<T, Cause> {
    loop {
        match call() {
            Err(cause) if is_not_yet(&cause) => {
                time_left(deadline)?;
            }
            done => return done.map_err(Cause::Io),
        }
    }
}

fn is_not_yet(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Never nothing: then the time is up.
fn time_left(deadline: &Deadline) -> Result<Duration, Cause> {
    interrupt::check().map_err(Cause::Final)?;
    let left = deadline.remaining();
    if left.is_zero() { Err(Cause::Deadline) } else { Ok(left) }
}

fn wait(socket: impl AsFd, ready: PollFlags, within: Duration) -> Result<bool, Errno> {
    let within = Timespec::try_from(within).map_err(|_| Errno::INVAL)?;
    Ok(poll(&mut [PollFd::new(&socket, ready)], Some(&within))? > 0)
}

/// Tries the addresses of the host one after the other.
fn connect_tcp(host: &str, port: u16, deadline: &Deadline) -> Result<TcpStream, Failure> {
    let mut failed = Cause::Io(io::Error::other("its name has no address"));
    for address in resolve(host, port, deadline)? {
        match connect_to(&address, deadline) {
            Ok(stream) => return Ok(stream),
            Err(cause @ (Cause::Final(_) | Cause::Deadline)) => return Err(Failure::before_sending(cause)),
            Err(cause) => failed = cause,
        }
    }
    Err(Failure::before_sending(failed))
}

/// The system's resolver knows no deadline, so another thread waits for it.
fn resolve(host: &str, port: u16, deadline: &Deadline) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    let ask = move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Whoever asked may not wait any longer.
        let _ = sender.send(found);
    };
    thread::Builder::new().name("crossdock-resolve".to_owned()).spawn(ask).map_err(Failure::io)?;
    let found = patiently(deadline, || match receiver.recv_timeout(PART.min(deadline.remaining())) {
        Ok(found) => found,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(io::ErrorKind::WouldBlock.into()),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(io::Error::other("the resolver has ended")),
    });
    found.map_err(Failure::before_sending)
}

fn connect_to(address: &SocketAddr, deadline: &Deadline) -> Result<TcpStream, Cause> {
    let io = |errno: Errno| Cause::Io(errno.into());
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, flags, None).map_err(io)?;
    match connect(&socket, address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => wait_for_connection(&socket, deadline)?,
        Err(cause) => return Err(io(cause)),
    }
    let stream = TcpStream::from(socket);
    let set = || {
        stream.set_nonblocking(false)?;
        // A request must not wait for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PART))?;
        stream.set_write_timeout(Some(PART))?;
        if address.ip().is_loopback() {
            sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER)?;
        }
        // A host that vanished says nothing: connections that rest should notice.
        sockopt::set_socket_keepalive(&stream, true)?;
        Ok(())
    };
    set().map_err(Cause::Io)?;
    Ok(stream)
}

fn wait_for_connection(socket: &OwnedFd, deadline: &Deadline) -> Result<(), Cause> {
    patiently(deadline, || match wait(socket, PollFlags::OUT, deadline.remaining().min(PART))? {
        true => Ok(()),
        false => Err(io::ErrorKind::WouldBlock.into()),
    })?;
    let outcome = sockopt::socket_error(socket).map_err(|errno| Cause::Io(errno.into()))?;
    outcome.map_err(|errno| Cause::Io(errno.into()))
}

/// A server that does not accept would make us wait without end: nothing tells when a unix socket can be connected.
fn connect_unix(path: &Path, deadline: &Deadline) -> Result<UnixStream, Cause> {
    let open = || {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let stream = UnixStream::from(socket);
        stream.set_read_timeout(Some(PART))?;
        Ok((stream, SocketAddrUnix::new(path)?))
    };
    let (stream, address) = open().map_err(Cause::Io)?;
    patiently(deadline, || {
        // Zero would be for ever.
        let part = PART.min(deadline.remaining()).max(Duration::from_millis(1));
        stream.set_write_timeout(Some(part))?;
        Ok(connect(&stream, &address)?)
    })?;
    stream.set_write_timeout(Some(PART)).map_err(Cause::Io)?;
    Ok(stream)
}
