//! A network that loses things, between a client and any server.

mod connection;
mod relay;
mod rule;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::port::Port;
use relay::{Relay, Task};

pub use rule::{Counts, Fault, Rule, Then};

/// A proxy in front of a server. It passes bytes on until it is told otherwise; dropping it resets all connections.
///
/// It knows nothing of protocols: a *request* is what a client sends until it gets something back, and a *reply* is what
/// the server sends until the client sends again. So a pipeline is one request with one reply, logging in is one, and a
/// TLS handshake some. One thread serves all connections.
///
/// Clients of a cluster go where its nodes say; `CONFIG SET cluster-announce-port` has a node name its proxy instead.
///
/// ```no_run
/// use crossdock_servers::{Fault, LossyProxy, Redis, RedisOptions, Rule, Then};
///
/// # fn main() -> crossdock_servers::Result<()> {
/// let redis = Redis::start(&RedisOptions::new())?;
/// let proxy = LossyProxy::before(redis.address())?;
/// println!("{}", redis.url_at(proxy.address()));
/// // The server does the next two SETs, and nobody hears of it.
/// proxy.obey(Rule::new(Fault::DropReply(Then::Close)).to("SET").times(2))?;
/// # Ok(())
/// # }
/// ```
pub struct LossyProxy {
    port: Port,
    tasks: Sender<Task>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
    owner: u32,
}

impl LossyProxy {
    /// Starts one on a free port of 127.0.0.1, before a server that may be down or not even there yet.
    ///
    /// # Errors
    /// The system has no port or thread left.
    pub fn before(server: SocketAddr) -> Result<Self> {
        let cannot = || "cannot start a proxy".to_owned();
        let port = Port::reserve()?;
        let (wake, woken) = UnixStream::pair().context(cannot)?;
        wake.set_nonblocking(true).and_then(|()| woken.set_nonblocking(true)).context(cannot)?;
        let (tasks, received) = channel();
        let relay = Relay::new(port.address(), server, woken, received).context(cannot)?;
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || relay.run()).context(cannot)?;
        Ok(Self { port, tasks, wake, thread: Some(thread), owner: std::process::id() })
    }

    /// Has the thread do something; returns when it is done.
    fn ask<T: Send + 'static>(&self, what: impl FnOnce(&mut Relay) -> T + Send + 'static) -> Result<T> {
        let gone = || Error::failed("the thread of the proxy has ended");
        if self.owner != std::process::id() {
            return Err(Error::failed("a forked child has no proxy"));
        }
        let (reply, answer) = channel();
        self.tasks.send(Box::new(move |relay| drop(reply.send(what(relay))))).map_err(|_| gone())?;
        // It fails when the thread has many more to read, and so will wake up anyway.
        drop((&self.wake).write(&[0]));
        answer.recv().map_err(|_| gone())
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Adds a rule. Rules are obeyed one after the other: the next one, when this one has done what it should.
    ///
    /// # Errors
    /// The proxy has ended.
    pub fn obey(&self, rule: Rule) -> Result<()> {
        self.ask(move |relay| relay.traffic.rules.push_back(rule))
    }

    /// Forgets all rules.
    ///
    /// # Errors
    /// The proxy has ended.
    pub fn forget_rules(&self) -> Result<()> {
        self.ask(|relay| relay.traffic.rules.clear())
    }

    /// From now on, whatever is read in either direction waits so long before it is passed on.
    ///
    /// # Errors
    /// The proxy has ended.
    pub fn delay(&self, each: Duration) -> Result<()> {
        self.ask(move |relay| relay.traffic.delay = each)
    }

    /// Resets all connections. New ones are fine.
    ///
    /// # Errors
    /// The proxy has ended.
    pub fn reset(&self) -> Result<()> {
        self.ask(Relay::reset)
    }

    /// Resets all connections and refuses new ones, until [`mend`](Self::mend).
    ///
    /// # Errors
    /// The proxy has ended.
    pub fn cut(&self) -> Result<()> {
        self.ask(Relay::cut)
    }

    /// Nothing gets through, nobody is told, and new connections hang, until [`mend`](Self::mend): then it goes on where it
    /// was.
    ///
    /// # Errors
    /// The proxy has ended.
    pub fn silence(&self) -> Result<()> {
        self.ask(|relay| relay.silent = true)
    }

    /// Ends [`cut`](Self::cut) and [`silence`](Self::silence).
    ///
    /// # Errors
    /// The proxy has ended, or cannot listen.
    pub fn mend(&self) -> Result<()> {
        self.ask(Relay::mend)?.context(|| format!("the proxy cannot listen at {}", self.address()))
    }

    /// What went through it so far.
    ///
    /// # Errors
    /// The proxy has ended.
    pub fn counts(&self) -> Result<Counts> {
        self.ask(|relay| relay.traffic.counts)
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        // A forked child has no such thread.
        if self.ask(|relay| relay.done = true).is_ok()
            && let Some(thread) = self.thread.take()
        {
            drop(thread.join());
        }
    }
}
