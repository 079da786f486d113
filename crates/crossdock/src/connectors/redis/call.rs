//! One call: a connection, attempts at it until the deadline, and what to say when none succeeds.

use std::cell::RefCell;

use super::RedisConnector;
use super::cluster::redirected;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::failure::{Cause, Failure, Next};
use super::pool::Pool;
use super::server::Client;
use crate::config::{format_duration, format_size};
use crate::deadline::{Attempts, Deadline};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::options::Durability;

/// How often a call is sent on from node to node of a cluster.
const MOST_REDIRECTIONS: u32 = 8;

/// What a call is about.
#[derive(Clone, Copy, Default)]
pub(super) struct Call<'a> {
    /// The name on the server that decides which node of a cluster is asked; any node where there is none.
    pub(super) name: Option<&'a [u8]>,
    /// The node that is asked, whatever the name.
    pub(super) node: Option<&'a Endpoint>,
    /// When a call that this is part of must have ended. Without, the call has a deadline of its own.
    pub(super) deadline: Option<Deadline>,
    /// The largest object in it, in bytes.
    pub(super) largest: u64,
    pub(super) durability: Option<Durability>,
    /// What it writes or removes: the keys of an outcome that is not known.
    pub(super) writes: &'a [Key],
    /// Where to note connections that were given up while writes may have been on their way.
    pub(super) lost: Option<&'a RefCell<Vec<Lost>>>,
}

/// A connection that was given up. What it was to carry may still arrive, and be carried out then.
pub(super) struct Lost {
    pub(super) endpoint: Endpoint,
    pub(super) client: Option<Client>,
}

/// What has happened to a call so far.
struct Course {
    attempts: Attempts,
    redirections: u32,
    /// Whether an attempt may have been carried out.
    is_open: bool,
    /// Where the cluster has sent us, and whether it moves the key there just now.
    redirect: Option<(Endpoint, bool)>,
    /// The node that was asked last.
    node: Option<Endpoint>,
}

impl RedisConnector {
    /// Does `work` with a connection; again after a failure, as long as that can help.
    ///
    /// Work that fails has left the connection in a state that nobody knows, unless the server has refused it: then all
    /// replies were read.
    pub(super) fn call<T>(
        &self,
        call: Call<'_>,
        mut work: impl FnMut(&mut Connection, &mut Deadline) -> Result<T, Failure>,
    ) -> Result<T> {
        let pool = self.pool()?;
        let first = call.deadline.unwrap_or_else(|| self.deadline(0));
        let mut deadline = first;
        let mut course = Course {
            attempts: Attempts::new(deadline, self.options.retries),
            redirections: 0,
            is_open: false,
            redirect: None,
            node: None,
        };
        loop {
            let failure = match self.attempt(&pool, &call, &mut course, &mut deadline, &mut work) {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            course.is_open |= failure.sent && !call.writes.is_empty();
            deadline.begin_again(&first);
            course.attempts.until(deadline);
            if !self.goes_on(&pool, &failure, &mut course) {
                return Err(self.give_up(&call, failure, &course, &deadline));
            }
        }
    }

    pub(super) fn deadline(&self, bytes: u64) -> Deadline {
        Deadline::new(self.options.deadline, bytes)
    }

    fn attempt<T>(
        &self,
        pool: &Pool,
        call: &Call<'_>,
        course: &mut Course,
        deadline: &mut Deadline,
        work: &mut impl FnMut(&mut Connection, &mut Deadline) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut connection = self.connection(pool, call, course, deadline).map_err(|failure| {
            // Whatever was said so far, it was not the call.
            Failure { sent: false, ..failure }
        })?;
        if let Err(refused) = self.require(&connection, call) {
            pool.give_back(connection);
            return Err(refused.into());
        }
        let done = work(&mut connection, deadline);
        if matches!(&done, Ok(_) | Err(Failure { cause: Cause::Refused(_), .. })) {
            pool.give_back(connection);
        } else if let (Err(Failure { sent: true, .. }), Some(lost)) = (&done, call.lost) {
            let (endpoint, client) = (connection.endpoint().clone(), connection.client().cloned());
            lost.borrow_mut().push(Lost { endpoint, client });
        }
        done
    }

    fn connection(
        &self,
        pool: &Pool,
        call: &Call<'_>,
        course: &mut Course,
        deadline: &Deadline,
    ) -> Result<Connection, Failure> {
        if let Some((node, asking)) = course.redirect.take() {
            let mut connection = pool.lease(&self.options, Some(&node), deadline)?;
            if asking {
                connection.ask(&[b"ASKING"], deadline)?;
            }
            course.node = Some(node);
            return Ok(connection);
        }
        let Some(name) = call.name.filter(|_| self.options.cluster && call.node.is_none()) else {
            course.node = call.node.cloned();
            return pool.lease(&self.options, call.node, deadline);
        };
        let slots = pool.slots(&self.options, deadline)?;
        let Some(node) = slots.node_of(name) else {
            pool.forget();
            return Err(Failure::io(std::io::Error::other("no node of the cluster serves the key's slot")));
        };
        course.node = Some(node.clone());
        pool.lease(&self.options, Some(node), deadline)
    }

    /// Refuses what this server does not take, before anything is sent.
    fn require(&self, connection: &Connection, call: &Call<'_>) -> Result<()> {
        let server = connection.server();
        let properties = self.options_properties(server);
        properties.require(call.durability).map_err(|error| match server.warnings(self.options.ttl.is_some()) {
            warnings if warnings.is_empty() => error,
            warnings => error.context(format_args!("{}: {}", self.options.shown(), warnings.join(", and "))),
        })?;
        if call.largest > server.max_value() {
            let message = format!(
                "an object of {} bytes is more than the {} that {} takes; raise its proto-max-bulk-len, or choose another \
                 connector",
                call.largest,
                format_size(server.max_value()),
                self.options.shown(),
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(())
    }

    /// Whether to try again, now that the wait for that is over.
    fn goes_on(&self, pool: &Pool, failure: &Failure, course: &mut Course) -> bool {
        match failure.next() {
            Next::Stop => {
                if matches!(failure.cause, Cause::Deadline) {
                    // Another node may have taken over from one that is silent: the next call looks.
                    pool.forget();
                }
                false
            }
            Next::Redirect { to, asking } => {
                let asked = course.node.clone().or_else(|| self.options.login().ok().map(|login| login.endpoint));
                course.redirect = asked.and_then(|asked| redirected(&to, &asked)).map(|node| (node, asking));
                if !asking {
                    pool.forget();
                }
                course.redirections += 1;
                self.options.cluster && course.redirect.is_some() && course.redirections <= MOST_REDIRECTIONS
            }
            Next::Retry => {
                pool.forget();
                if course.is_open {
                    // Only a server that answers can tell what has become of it.
                    course.attempts.insist();
                }
                // An interruption here is told by the one who gives up.
                course.attempts.again().unwrap_or(false)
            }
        }
    }

    fn give_up(&self, call: &Call<'_>, failure: Failure, course: &Course, deadline: &Deadline) -> Error {
        let keys = if course.is_open { call.writes } else { &[] };
        let interrupted = crate::interrupt::check().err();
        let error = match (failure.cause, interrupted) {
            (_, Some(error)) => error,
            (Cause::Final(error), None) => error,
            (cause, None) => self.describe(&cause, course, deadline),
        };
        error.with_keys(keys.iter().cloned())
    }

    fn describe(&self, cause: &Cause, course: &Course, deadline: &Deadline) -> Error {
        let (kind, may_pass, advice) = match cause {
            _ if course.is_open => (ErrorKind::Ambiguous, true, "put the same again under the same key, or evict it"),
            Cause::Deadline => {
                (ErrorKind::Timeout, true, "look whether it is stopped or overloaded, or raise deadline")
            }
            Cause::Handshake => {
                (ErrorKind::Timeout, true, "look whether it speaks TLS at that port, or raise deadline")
            }
            Cause::Refused(refusal) => (refusal.kind(), refusal.may_pass(), refusal.advice()),
            _ => (ErrorKind::Unavailable, true, cause.advice(self.options.tls.is_some())),
        };
        let server = match &course.node {
            Some(node) => self.options.shown_node(node),
            None => self.options.shown(),
        };
        let tried = match course.attempts.made() {
            1 => format!("tried once, {}", format_duration(deadline.elapsed())),
            made => format!("tried {made} times in {}", format_duration(deadline.elapsed())),
        };
        let outcome = if course.is_open { "; whether it has done what it was asked for is not known" } else { "" };
        let error = Error::new(kind, format!("{server}: {cause} ({tried}){outcome}; {advice}"));
        if may_pass { error } else { error.permanent() }
    }
}
