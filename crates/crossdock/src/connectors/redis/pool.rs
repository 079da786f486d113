//! The connections of one process: made when they are needed, kept while they rest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::cluster::Slots;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::failure::{Cause, Failure};
use super::options::{Login, RedisOptions};
use super::resp::Reply;
use super::server::Server;
use super::stream::Stream;
#[cfg(feature = "redis-tls")]
use super::tls::Tls;
use crate::deadline::Deadline;

/// How many connections rest at most. As many are in use at once as there are calls.
const MOST_RESTING: usize = 64;
/// What one of several servers may take for its answer before the next is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// All that a forked child must not find.
#[derive(Default)]
pub(super) struct Pool {
    resting: Mutex<Vec<Connection>>,
    slots: ArcSwapOption<Slots>,
    /// Nodes that a cluster had when it was asked last: those in the options may be gone.
    nodes: ArcSwapOption<Vec<Endpoint>>,
    /// What the server said when a connection was made last.
    server: ArcSwapOption<Server>,
    #[cfg(feature = "redis-tls")]
    tls: ArcSwapOption<Tls>,
}

impl Pool {
    pub(super) fn server(&self) -> Option<Server> {
        self.server.load().as_deref().cloned()
    }

    /// A connection: to that node, or to the server of the options.
    pub(super) fn lease(
        &self,
        options: &RedisOptions,
        node: Option<&Endpoint>,
        deadline: &Deadline,
    ) -> Result<Connection, Failure> {
        while let Some(connection) = self.take(node) {
            if connection.rests() {
                return Ok(connection);
            }
        }
        let connection = self.connect(options, node, deadline)?;
        self.server.store(Some(connection.server().clone().into()));
        Ok(connection)
    }

    /// The one that was used last: the others may go cold.
    fn take(&self, node: Option<&Endpoint>) -> Option<Connection> {
        let mut resting = self.resting();
        match node {
            None => resting.pop(),
            Some(node) => {
                let place = resting.iter().rposition(|connection| connection.endpoint() == node)?;
                Some(resting.remove(place))
            }
        }
    }

    pub(super) fn give_back(&self, connection: Connection) {
        let mut resting = self.resting();
        if resting.len() < MOST_RESTING {
            resting.push(connection);
        }
    }

    /// Something is wrong over there: what rests may be no better.
    pub(super) fn forget(&self) {
        let forgotten = std::mem::take(&mut *self.resting());
        self.slots.store(None);
        drop(forgotten);
    }

    /// Nothing panics while the lock is held, nor is there any I/O.
    fn resting(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(
        &self,
        options: &RedisOptions,
        node: Option<&Endpoint>,
        deadline: &Deadline,
    ) -> Result<Connection, Failure> {
        let login = options.login()?;
        if let Some(node) = node {
            return self.log_in(options, node, &login, deadline);
        }
        if !options.sentinels.is_empty() {
            let primary = self.ask_sentinels(options, &login, deadline)?;
            return self.log_in(options, &primary, &login, deadline);
        }
        let known = self.nodes.load_full().filter(|_| options.cluster);
        let named = if options.nodes.is_empty() { std::slice::from_ref(&login.endpoint) } else { &options.nodes };
        let nodes: Vec<&Endpoint> = known.iter().flat_map(|known| known.iter()).chain(named).collect();
        let mut last = Failure::before_sending(Cause::Deadline);
        for (asked, node) in nodes.iter().enumerate() {
            match self.log_in(options, node, &login, &patience(deadline, nodes.len() - asked)) {
                Err(failure) if !matches!(failure.cause, Cause::Final(_)) => last = failure,
                done => return done,
            }
        }
        Err(last)
    }

    fn log_in(
        &self,
        options: &RedisOptions,
        endpoint: &Endpoint,
        login: &Login,
        deadline: &Deadline,
    ) -> Result<Connection, Failure> {
        let mut connection = self.open(options, endpoint, login, deadline)?;
        authenticate(&mut connection, login.username.as_deref(), login.password.as_deref(), deadline)?;
        if login.database != 0 {
            connection.ask(&[b"SELECT", login.database.to_string().as_bytes()], deadline)?;
        }
        let (server, client) = Server::ask(&mut connection, deadline)?;
        if !options.sentinels.is_empty() && server.role == "slave" {
            return Err(Failure::io(std::io::Error::other("the sentinels still name a replica as the primary")));
        }
        connection.know(server, client);
        Ok(connection)
    }

    #[cfg_attr(not(feature = "redis-tls"), expect(clippy::unused_self, reason = "it keeps what encrypts"))]
    fn open(
        &self,
        options: &RedisOptions,
        endpoint: &Endpoint,
        login: &Login,
        deadline: &Deadline,
    ) -> Result<Connection, Failure> {
        let stream = Stream::connect(endpoint, deadline)?;
        #[cfg(feature = "redis-tls")]
        let stream = if login.tls { stream.secured(&*self.tls(options)?, endpoint, deadline)? } else { stream };
        #[cfg(not(feature = "redis-tls"))]
        let _ = (options, login);
        Ok(Connection::new(stream, endpoint.clone()))
    }

    /// Reading the certificates of a system takes milliseconds.
    #[cfg(feature = "redis-tls")]
    fn tls(&self, options: &RedisOptions) -> Result<std::sync::Arc<Tls>, Failure> {
        if let Some(tls) = self.tls.load_full() {
            return Ok(tls);
        }
        let tls = std::sync::Arc::new(Tls::new(&options.tls.clone().unwrap_or_default())?);
        self.tls.store(Some(tls.clone()));
        Ok(tls)
    }

    /// The first sentinel that knows the primary is believed.
    fn ask_sentinels(&self, options: &RedisOptions, login: &Login, deadline: &Deadline) -> Result<Endpoint, Failure> {
        let service = options.sentinel_service.as_deref().unwrap_or_default();
        let password = match &options.sentinel_password {
            Some(password) => Some(password.resolve().map_err(|why| why.of_field("sentinel_password"))?),
            None => None,
        };
        let mut failed = Failure::before_sending(Cause::Protocol("there are no sentinels"));
        for (asked, sentinel) in options.sentinels.iter().enumerate() {
            let patience = patience(deadline, options.sentinels.len() - asked);
            let asked = self.open(options, sentinel, login, &patience).and_then(|mut connection| {
                authenticate(&mut connection, None, password.as_deref(), &patience)?;
                connection.ask(&[b"SENTINEL", b"get-master-addr-by-name", service.as_bytes()], &patience)
            });
            match asked.map(|reply| primary(&reply)) {
                Ok(Some(primary)) => return Ok(primary),
                Ok(None) => failed = Failure::io(std::io::Error::other(format!("no sentinel knows {service:?}"))),
                Err(Failure { cause: cause @ Cause::Final(_), .. }) => return Err(Failure::before_sending(cause)),
                // One that keeps silent does not stand for the server.
                Err(Failure { cause: Cause::Deadline | Cause::Handshake, .. }) if !deadline.has_passed() => {
                    failed = Failure::io(std::io::Error::other(format!("the sentinel {sentinel} does not answer")));
                }
                Err(Failure { cause, .. }) => failed = Failure::before_sending(cause),
            }
        }
        Err(failed)
    }

    /// The map of the cluster, asked for if need be of any node that answers.
    pub(super) fn slots(&self, options: &RedisOptions, deadline: &Deadline) -> Result<std::sync::Arc<Slots>, Failure> {
        if let Some(slots) = self.slots.load_full() {
            return Ok(slots);
        }
        let mut connection = self.lease(options, None, deadline)?;
        let slots = std::sync::Arc::new(Slots::ask(&mut connection, deadline)?);
        self.give_back(connection);
        self.nodes.store(Some(slots.nodes().to_vec().into()));
        self.slots.store(Some(slots.clone()));
        Ok(slots)
    }
}

/// How long to wait for the next of so many servers: the last one has all the time that is left.
fn patience(deadline: &Deadline, servers: usize) -> Deadline {
    let share = deadline.remaining() / u32::try_from(servers).unwrap_or(u32::MAX).max(1);
    Deadline::new(if servers > 1 { share.min(PATIENCE) } else { share }, 0)
}

fn authenticate(
    connection: &mut Connection,
    username: Option<&str>,
    password: Option<&str>,
    deadline: &Deadline,
) -> Result<(), Failure> {
    if username.or(password).is_none() {
        return Ok(());
    }
    // A user who needs no password is let in with any.
    let words: Vec<&str> = ["AUTH"].into_iter().chain(username).chain([password.unwrap_or_default()]).collect();
    let asked: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    match connection.ask(&asked, deadline) {
        Err(Failure { cause: Cause::Refused(refusal), sent }) => {
            Err(Failure { cause: Cause::Refused(refusal.without(&words[1..])), sent })
        }
        answered => answered.map(drop),
    }
}

/// `[host, port]`.
fn primary(reply: &Reply) -> Option<Endpoint> {
    let [host, port] = reply.items()? else { return None };
    Some(Endpoint::Tcp(host.text()?.to_owned(), port.text()?.parse().ok()?))
}
