//! A Redis cluster.

use crate::error::{Error, Result};
use crate::redis::{Redis, RedisOptions};
use crate::resp::Reply;
use crate::wait::until;

const SLOTS: usize = 16384;

/// How a cluster is to be: three masters without replicas, unless told otherwise.
#[derive(Clone)]
pub struct ClusterOptions {
    masters: usize,
    replicas: usize,
    nodes: RedisOptions,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { masters: 3, replicas: 0, nodes: RedisOptions::new() }
    }
}

impl ClusterOptions {
    /// Three masters without replicas.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many masters, which share the slots evenly.
    pub fn masters(mut self, count: usize) -> Self {
        self.masters = count;
        self
    }

    /// So many replicas for each master.
    pub fn replicas(mut self, each: usize) -> Self {
        self.replicas = each;
        self
    }

    /// What holds for every node: passwords, AOF, settings.
    pub fn nodes(mut self, options: RedisOptions) -> Self {
        self.nodes = options;
        self
    }
}

/// A running cluster.
pub struct RedisCluster {
    nodes: Vec<Redis>,
    masters: usize,
}

impl RedisCluster {
    /// Starts one; all slots are served and all replicas follow when this returns, after two seconds or more, which is
    /// how long a new master waits.
    ///
    /// # Errors
    /// [`Error::Missing`], or what a node said when it refused something.
    pub fn start(options: &ClusterOptions) -> Result<Self> {
        let masters = options.masters.clamp(1, SLOTS);
        // A node is taken for dead after this long: more than a busy machine makes it wait.
        let node = options.nodes.clone().replicating().set("cluster-node-timeout", "5000");
        let count = masters * (1 + options.replicas);
        let nodes = (0..count).map(|_| Redis::start_in_cluster(&node)).collect::<Result<_>>()?;
        let cluster = Self { nodes, masters };
        cluster.share_slots()?;
        cluster.introduce()?;
        cluster.assign_replicas()?;
        cluster.settle()?;
        Ok(cluster)
    }

    fn share_slots(&self) -> Result<()> {
        for (index, node) in self.masters().iter().enumerate() {
            let first = index * SLOTS / self.masters;
            let last = (index + 1) * SLOTS / self.masters - 1;
            done(node, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
            // With the same epoch, nodes would have to settle first which of them is to have another.
            done(node, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        }
        Ok(())
    }

    fn introduce(&self) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[..index] {
                let bus = other.port_at(1).map_or(0, |bus| bus.port()).to_string();
                done(node, &["CLUSTER", "MEET", "127.0.0.1", &other.address().port().to_string(), &bus])?;
            }
        }
        Ok(())
    }

    fn assign_replicas(&self) -> Result<()> {
        for (index, replica) in self.replicas().iter().enumerate() {
            let master = self.nodes[index % self.masters].command(&["CLUSTER", "MYID"])?.text();
            // Refused until it has heard of its master.
            until("a replica in the cluster", || done(replica, &["CLUSTER", "REPLICATE", &master]).map(Some))?;
        }
        Ok(())
    }

    /// Waits until every node serves all slots, knows all others to be well, and follows its master if it is a replica:
    /// after a node was [restarted](crate::Server::restart), for one.
    ///
    /// # Errors
    /// It does not come about within a minute.
    pub fn settle(&self) -> Result<()> {
        for node in &self.nodes {
            until("a cluster where all nodes are well", || self.is_settled(node))?;
        }
        Ok(())
    }

    fn is_settled(&self, node: &Redis) -> Result<Option<()>> {
        let info = node.command(&["CLUSTER", "INFO"])?.text();
        let nodes = node.command(&["CLUSTER", "NODES"])?.text();
        let replication = node.command(&["INFO", "replication"])?.text();
        let slaves = nodes.lines().filter(|line| line.contains("slave")).count();
        let well = info.contains("cluster_state:ok")
            && info.contains("cluster_slots_ok:16384")
            && nodes.lines().count() == self.nodes.len()
            && slaves == self.replicas().len()
            && !nodes.lines().any(|line| line.contains("fail") || line.contains("handshake"))
            && !replication.contains("master_link_status:down");
        if well { Ok(Some(())) } else { Err(Error::failed(format!("{} sees {nodes:?}", node.address()))) }
    }

    /// All nodes: the first masters, then their replicas; that at `masters + n` follows that at `n % masters`.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The nodes that were masters at first. The one at `n` of `masters` has the slots from `n * 16384 / masters` on.
    pub fn masters(&self) -> &[Redis] {
        &self.nodes[..self.masters]
    }

    /// The nodes that were replicas at first.
    pub fn replicas(&self) -> &[Redis] {
        &self.nodes[self.masters..]
    }

    /// The URL of each node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}

/// A command that is answered with OK.
fn done(node: &Redis, words: &[&str]) -> Result<()> {
    match node.command(words)? {
        Reply::Error(why) => Err(Error::failed(format!("{} refuses {}: {why}", node.address(), words.join(" ")))),
        _ => Ok(()),
    }
}
