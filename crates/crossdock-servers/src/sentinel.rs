//! A Redis primary with a replica, and sentinels that promote the replica.

use std::net::SocketAddr;

use crate::error::{Error, Result};
use crate::redis::{Redis, RedisOptions};
use crate::resp::Reply;
use crate::wait::until;

/// What the sentinels call it.
const SERVICE: &str = "crossdock";
const SENTINELS: usize = 3;
const QUORUM: usize = 2;

/// How it is to be: no passwords, unless told otherwise.
#[derive(Clone, Default)]
pub struct SentinelOptions {
    nodes: RedisOptions,
    sentinels: RedisOptions,
}

impl SentinelOptions {
    /// No passwords.
    pub fn new() -> Self {
        Self::default()
    }

    /// What holds for primary and replica: passwords, AOF, settings.
    pub fn nodes(mut self, options: RedisOptions) -> Self {
        self.nodes = options;
        self
    }

    /// The sentinels want this password.
    pub fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinels = RedisOptions::new().password(password);
        self
    }
}

/// A primary, a replica and three sentinels.
pub struct RedisSentinel {
    sentinels: Vec<Redis>,
    nodes: [Redis; 2],
}

impl RedisSentinel {
    /// Starts them; the replica follows and the sentinels know of each other when this returns, after a few seconds.
    ///
    /// # Errors
    /// [`Error::Missing`], or what one of them said when it refused to start.
    pub fn start(options: &SentinelOptions) -> Result<Self> {
        let node = options.nodes.clone().replicating().set("repl-diskless-sync-delay", "0");
        let primary = Redis::start(&node)?;
        let at = primary.address();
        let replica = Redis::start(&node.set("replicaof", &format!("{} {}", at.ip(), at.port())))?;
        // Sentinels ask for replicas seldom: they should find this one at once.
        until("a replica that follows", || follows(&replica))?;

        let monitor = format!("monitor {SERVICE} {} {} {QUORUM}", at.ip(), at.port());
        let watch = options.sentinels.clone().set("sentinel", &monitor);
        let watch = watch.watching(SERVICE, &options.nodes).among_sentinels();
        // A sentinel sends its first PING to a new primary after min(this, 1 s), and counts it dead after this: below 1 s
        // they would promote in circles.
        let watch = watch
            .set("sentinel", &format!("down-after-milliseconds {SERVICE} 2000"))
            .set("sentinel", &format!("failover-timeout {SERVICE} 3000"));
        let sentinels = (0..SENTINELS).map(|_| Redis::start_sentinel(&watch)).collect::<Result<_>>()?;
        let started = Self { sentinels, nodes: [primary, replica] };
        started.settle()?;
        Ok(started)
    }

    /// Starts the dead node of the two again, as a replica of the other, and waits until all sentinels see it so. (By
    /// themselves they would make it one after some ten seconds.)
    ///
    /// # Errors
    /// It does not come about within a minute.
    pub fn rejoin(&self) -> Result<()> {
        let at = self.primary()?.address();
        let old = self.other_than(at);
        old.restart()?;
        old.command(&["REPLICAOF", &at.ip().to_string(), &at.port().to_string()])?;
        self.settle()
    }

    /// Waits until one node is the primary, the other follows it, and all sentinels see it so.
    ///
    /// # Errors
    /// It does not come about within a minute.
    pub fn settle(&self) -> Result<()> {
        until("a replica that follows what the sentinels call the primary", || {
            let primary = self.primary()?;
            let replica = self.other_than(primary.address());
            if follows(replica)?.is_none() || !says_it_is(primary, "master")? {
                return Ok(None);
            }
            for sentinel in &self.sentinels {
                sees_all_well(sentinel)?;
            }
            Ok(Some(()))
        })
    }

    /// The name of the service, for whoever asks the sentinels.
    pub fn service(&self) -> &'static str {
        SERVICE
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// Both nodes: what was the primary at first, and what was its replica.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// What the sentinels call the primary now.
    ///
    /// # Errors
    /// They do not agree, or do not answer.
    pub fn primary(&self) -> Result<&Redis> {
        let mut ports = Vec::new();
        for sentinel in &self.sentinels {
            match sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE])? {
                Reply::Array(address) => ports.extend(address.last().map(Reply::text)),
                answer => return Err(Error::failed(format!("the sentinel {} says {answer:?}", sentinel.address()))),
            }
        }
        let is = |node: &&Redis| ports.iter().all(|port| *port == node.address().port().to_string());
        self.nodes.iter().find(is).ok_or_else(|| Error::failed(format!("the sentinels do not agree: {ports:?}")))
    }

    fn other_than(&self, primary: SocketAddr) -> &Redis {
        let [first, second] = &self.nodes;
        if first.address() == primary { second } else { first }
    }

    /// Kills the primary and waits until its replica has been promoted, some four seconds; returns the new primary.
    ///
    /// # Errors
    /// It does not come about within a minute.
    pub fn promote(&self) -> Result<&Redis> {
        let old = self.primary()?;
        old.kill()?;
        self.wait_for_promotion(old.address())
    }

    /// Waits until all sentinels say that another node than `old` is the primary, and it says so itself.
    ///
    /// # Errors
    /// It does not come about within a minute.
    pub fn wait_for_promotion(&self, old: SocketAddr) -> Result<&Redis> {
        until("a promotion", || {
            let primary = self.primary()?;
            let promoted = primary.address() != old && says_it_is(primary, "master")?;
            Ok(promoted.then_some(primary))
        })
    }
}

fn says_it_is(node: &Redis, role: &str) -> Result<bool> {
    Ok(node.command(&["INFO", "replication"])?.text().contains(&format!("role:{role}")))
}

fn follows(node: &Redis) -> Result<Option<()>> {
    let replication = node.command(&["INFO", "replication"])?.text();
    Ok((replication.contains("role:slave") && replication.contains("master_link_status:up")).then_some(()))
}

/// An error is what the sentinel sees otherwise.
fn sees_all_well(sentinel: &Redis) -> Result<()> {
    let is = |of: &Reply, name, value: &str| of.field(name).is_some_and(|found| found.text() == value);
    let others = (SENTINELS - 1).to_string();
    let primary = sentinel.command(&["SENTINEL", "MASTER", SERVICE])?;
    let replicas = sentinel.command(&["SENTINEL", "REPLICAS", SERVICE])?;
    let one_replica = matches!(&replicas, Reply::Array(all) if all.len() == 1 && is(&all[0], "flags", "slave"));
    if one_replica && is(&primary, "flags", "master") && is(&primary, "num-other-sentinels", &others) {
        return Ok(());
    }
    Err(Error::failed(format!("the sentinel {} sees {primary:?} and {replicas:?}", sentinel.address())))
}
