//! The thread of a proxy.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::connection::{Connection, Traffic};

/// Something that the thread is asked to do.
pub(super) type Task = Box<dyn FnOnce(&mut Relay) + Send>;

/// What the thread has.
pub(super) struct Relay {
    address: SocketAddr,
    server: SocketAddr,
    listener: Option<TcpListener>,
    connections: Vec<Connection>,
    woken: UnixStream,
    tasks: Receiver<Task>,
    pub(super) traffic: Traffic,
    pub(super) silent: bool,
    pub(super) done: bool,
}

impl Relay {
    pub(super) fn new(
        address: SocketAddr,
        server: SocketAddr,
        woken: UnixStream,
        tasks: Receiver<Task>,
    ) -> io::Result<Self> {
        Ok(Self {
            address,
            server,
            listener: Some(listen(address)?),
            connections: Vec::new(),
            woken,
            tasks,
            traffic: Traffic::new(),
            silent: false,
            done: false,
        })
    }

    pub(super) fn reset(&mut self) {
        for connection in self.connections.drain(..) {
            connection.reset();
        }
    }

    pub(super) fn cut(&mut self) {
        self.listener = None;
        self.reset();
    }

    pub(super) fn mend(&mut self) -> io::Result<()> {
        self.silent = false;
        if self.listener.is_none() {
            self.listener = Some(listen(self.address)?);
        }
        Ok(())
    }

    pub(super) fn run(mut self) {
        while !self.done {
            let Ok(stirred) = self.wait() else { break };
            drop((&self.woken).read(&mut [0; 64]));
            while let Ok(task) = self.tasks.try_recv() {
                task(&mut self);
            }
            if self.silent {
                continue;
            }
            self.accept();
            self.pass_on(&stirred);
        }
        self.reset();
    }

    /// Waits until something can be done; says for which connections, in their order.
    fn wait(&self) -> io::Result<Vec<bool>> {
        let now = Instant::now();
        let mut fds = vec![PollFd::new(&self.woken, PollFlags::IN)];
        let connections = if self.silent { &[][..] } else { &self.connections };
        if let Some(listener) = &self.listener
            && !self.silent
        {
            fds.push(PollFd::new(listener, PollFlags::IN));
        }
        let mut owners = vec![None; fds.len()];
        for (index, connection) in connections.iter().enumerate() {
            let interest = connection.interest(now);
            for (side, flags) in [&connection.client, &connection.server].into_iter().zip(interest) {
                if !flags.is_empty() {
                    fds.push(PollFd::new(side, flags));
                    owners.push(Some(index));
                }
            }
        }
        let due = connections.iter().filter_map(Connection::due).filter(|due| *due > now).min();
        let limit = due.map(|due| Timespec::try_from(due - now)).transpose().map_err(io::Error::other)?;
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // What was due at some time may be so now, whatever happened.
        let mut stirred: Vec<_> = connections.iter().map(|connection| connection.due().is_some()).collect();
        for (fd, owner) in fds.iter().zip(owners) {
            if let Some(owner) = owner
                && !fd.revents().is_empty()
            {
                stirred[owner] = true;
            }
        }
        Ok(stirred)
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok((client, _)) = listener.accept() {
            self.traffic.counts.connections += 1;
            // Without a server, the client's connection ends here.
            if let Ok(server) = connect_to(self.server)
                && client.set_nonblocking(true).is_ok()
                && client.set_nodelay(true).is_ok()
            {
                self.connections.push(Connection::new(client, server));
            }
        }
    }

    /// Those that were accepted since `stirred` was made have their turn after the next waiting.
    fn pass_on(&mut self, stirred: &[bool]) {
        let mut index = 0;
        let traffic = &mut self.traffic;
        self.connections.retain_mut(|connection| {
            let turns = stirred.get(index).is_some_and(|stirred| *stirred);
            index += 1;
            !turns || connection.turn(traffic)
        });
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Without waiting for it: a stopped server may not accept for long.
fn connect_to(server: SocketAddr) -> io::Result<TcpStream> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = TcpStream::from(socket);
    socket.set_nodelay(true)?;
    Ok(socket)
}
