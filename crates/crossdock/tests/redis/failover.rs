//! Nodes that stop or are absent while others stand ready: of a cluster, and behind sentinels.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock::{Bytes, Connector, ConnectorExt, GetOptions, PutOptions};
use crossdock_servers::{ClusterOptions, Redis, RedisCluster, RedisSentinel, SentinelOptions};
use libtest_mimic::Trial;

use crate::common::{CLUSTER, Outcome, hurried, open};

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("a_cluster_promotes_a_replica_of_a_stopped_node", a_cluster_promotes_a_replica_of_a_stopped_node),
        ("sentinels_promote_a_replica_of_a_stopped_primary", sentinels_promote_a_replica_of_a_stopped_primary),
        ("a_cluster_is_found_by_any_of_its_nodes", a_cluster_is_found_by_any_of_its_nodes),
        (
            "a_batch_without_one_node_leaves_nothing_on_the_others",
            a_batch_without_one_node_leaves_nothing_on_the_others,
        ),
        ("nodes_of_a_cluster_are_read_at_the_same_time", nodes_of_a_cluster_are_read_at_the_same_time),
        ("nodes_of_a_cluster_are_written_at_the_same_time", nodes_of_a_cluster_are_written_at_the_same_time),
    ])
}

fn until(mut is_so: impl FnMut() -> Result<bool, libtest_mimic::Failed>) -> Outcome {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so()? {
        if Instant::now() > end {
            return Err("it does not come about".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn batch() -> Vec<Bytes> {
    (0..64_u8).map(|n| Bytes::from(vec![n; 100])).collect()
}

/// A stopped node refuses nothing: who asks it just waits.
fn a_cluster_promotes_a_replica_of_a_stopped_node() -> Outcome {
    let cluster = RedisCluster::start(&ClusterOptions::new().replicas(1))?;
    let lost = &cluster.masters()[0];
    let redis = open(&hurried(lost).cluster(true));
    redis.put_batch(&batch(), &PutOptions::new())?;
    lost.stop()?;
    until(|| Ok(cluster.replicas()[0].command(&["INFO", "replication"])?.text().contains("role:master")))?;
    let port = format!(":{}", lost.address().port());
    until(|| {
        let known = cluster.masters()[1].command(&["CLUSTER", "NODES"])?.text();
        Ok(known.lines().any(|line| line.contains(&port) && line.contains("master,fail ")))
    })?;
    // Whoever was there when it stopped waits for it once.
    let outcomes: Vec<_> = (0..3).map(|_| redis.put_batch(&batch(), &PutOptions::new())).collect();
    let keys = outcomes.into_iter().skip(1).collect::<crossdock::Result<Vec<_>>>()?;
    for keys in keys {
        let found = redis.get_batch(&keys, &GetOptions::default())?;
        assert!(found.into_iter().eq(batch().into_iter().map(Some)));
    }
    Ok(())
}

/// Makes as many connections rest.
fn occupy(redis: &RedisConnector, connections: usize) -> Outcome {
    let key = redis.put_bytes("object")?;
    let all = Barrier::new(connections);
    let read = || {
        redis.get_into(&key, &GetOptions::default(), |size| {
            all.wait();
            Ok(Box::new_uninit_slice(size))
        })
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(read)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic").map(drop))
    })?;
    Ok(())
}

fn sentinels_promote_a_replica_of_a_stopped_primary() -> Outcome {
    let servers = RedisSentinel::start(&SentinelOptions::new())?;
    let sentinels: Vec<String> = servers.sentinels().iter().map(|sentinel| sentinel.address().to_string()).collect();
    let options = RedisOptions::sentinels(sentinels.iter().map(String::as_str), servers.service())?;
    let redis = open(&options.deadline(Duration::from_secs(2)));
    occupy(&redis, 6)?;
    let old = servers.primary()?;
    old.stop()?;
    servers.wait_for_promotion(old.address())?;
    let failures = (0..6).filter(|_| redis.put_bytes("after").is_err()).count();
    assert!(failures <= 1, "one call finds out for all, not {failures}");
    Ok(())
}

fn a_cluster_is_found_by_any_of_its_nodes() -> Outcome {
    let nodes = CLUSTER.nodes();
    let gone = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    // Nobody ever answers there: nothing is accepted.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent_at = silent.local_addr()?.to_string();
    let last = nodes[2].address().to_string();
    let options = RedisOptions::nodes([&*gone, &silent_at, &last])?.prefix("found:");
    for deadline in [Duration::from_secs(2), Duration::from_secs(60)] {
        let redis = open(&options.clone().deadline(deadline));
        let keys = redis.put_batch(&batch(), &PutOptions::new())?;
        let elsewhere = crate::common::reopen(&redis.config())?;
        let found = elsewhere.get_batch(&keys, &GetOptions::default())?;
        assert!(found.into_iter().eq(batch().into_iter().map(Some)));
        assert!(format!("{redis:?}").contains(&gone), "{redis:?}");
    }
    let nobody = open(&RedisOptions::nodes([&*gone])?.retries(0)).put_bytes("object").unwrap_err();
    assert!(nobody.to_string().contains(&gone), "{nobody}");
    Ok(())
}

fn a_batch_without_one_node_leaves_nothing_on_the_others() -> Outcome {
    let settings = crossdock_servers::RedisOptions::new().set("cluster-require-full-coverage", "no");
    let cluster = RedisCluster::start(&ClusterOptions::new().nodes(settings))?;
    let [first, second, third] = cluster.nodes() else { return Err("three nodes".into()) };
    for (lost, living) in [(first, [second, third]), (third, [first, second])] {
        let redis = open(&hurried(living[0]).cluster(true).deadline(Duration::from_secs(10)));
        let keys = redis.put_batch(&batch(), &PutOptions::new())?;
        keys.iter().try_for_each(|key| redis.evict(key))?;
        lost.stop()?;
        let refused = redis.put_batch(&batch(), &PutOptions::new()).unwrap_err();
        assert!(refused.keys().len() < batch().len() / 2, "those of one node: {refused}");
        for node in living {
            assert_eq!(node.command(&["DBSIZE"])?.text(), "0", "{refused}");
        }
        lost.cont()?;
        cluster.settle()?;
        refused.keys().iter().try_for_each(|key| redis.evict(key))?;
        assert_eq!(lost.command(&["DBSIZE"])?.text(), "0", "the error names all that it did");
    }
    Ok(())
}

/// Waits until so many have come, for a while.
struct Meeting(Mutex<usize>, Condvar, usize);

impl Meeting {
    fn of(count: usize) -> Self {
        Self(Mutex::default(), Condvar::new(), count)
    }

    fn attend(&self) -> bool {
        let Self(here, changed, count) = self;
        let mut here = here.lock().unwrap_or_else(PoisonError::into_inner);
        *here += 1;
        changed.notify_all();
        let limit = Duration::from_secs(20);
        let (here, _) =
            changed.wait_timeout_while(here, limit, |here| *here < *count).unwrap_or_else(PoisonError::into_inner);
        *here >= *count
    }
}

/// Stands before a node: the first reply to a GET waits for those of the other nodes.
fn gate(node: &Redis, meeting: Arc<Meeting>, word: &'static [u8]) -> io::Result<u16> {
    let (listener, node) = (TcpListener::bind("127.0.0.1:0")?, node.address());
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let meeting = meeting.clone();
            thread::spawn(move || pass_on(near, TcpStream::connect(node)?, &meeting, word));
        }
    });
    Ok(port)
}

fn pass_on(mut near: TcpStream, mut far: TcpStream, meeting: &Meeting, word: &[u8]) -> io::Result<()> {
    let (mut back, mut there) = (far.try_clone()?, near.try_clone()?);
    thread::spawn(move || io::copy(&mut back, &mut there));
    let (mut buffer, mut has_met) = ([0; 65_536], false);
    loop {
        let count = near.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        if !has_met && buffer[..count].windows(word.len()).any(|part| part == word) {
            has_met = true;
            if !meeting.attend() {
                return Ok(());
            }
        }
        far.write_all(&buffer[..count])?;
    }
}

/// A cluster each of whose nodes waits for the others before it does what `word` asks for.
fn that_meet(word: &'static [u8], work: impl FnOnce(&RedisConnector) -> Outcome) -> Outcome {
    let cluster = RedisCluster::start(&ClusterOptions::new())?;
    let meeting = Arc::new(Meeting::of(cluster.nodes().len()));
    let mut first = None;
    for node in cluster.nodes() {
        let port = gate(node, meeting.clone(), word)?;
        node.command(&["CONFIG", "SET", "cluster-announce-port", &port.to_string()])?;
        first.get_or_insert(port);
    }
    let port = first.ok_or("a node")?;
    let known = |node: &Redis| node.command(&["CLUSTER", "SLOTS"]).map(|slots| format!("{slots:?}"));
    let ports: Vec<String> = cluster.nodes().iter().map(|node| node.address().port().to_string()).collect();
    until(|| {
        let slots = cluster.nodes().iter().map(known).collect::<Result<Vec<_>, _>>()?;
        Ok(!slots.iter().any(|slots| ports.iter().any(|port| slots.contains(port))))
    })?;
    let options = RedisOptions::new("127.0.0.1", port).cluster(true).retries(0).deadline(Duration::from_secs(60));
    work(&open(&options))
}

fn nodes_of_a_cluster_are_read_at_the_same_time() -> Outcome {
    that_meet(b"GET\r\n$36", |redis| {
        let keys = redis.put_batch(&batch(), &PutOptions::new())?;
        let found = redis.get_batch(&keys, &GetOptions::default())?;
        assert!(found.into_iter().eq(batch().into_iter().map(Some)));
        Ok(())
    })
}

fn nodes_of_a_cluster_are_written_at_the_same_time() -> Outcome {
    that_meet(b"SET\r\n$36", |redis| {
        let keys = redis.put_batch(&batch(), &PutOptions::new())?;
        let found = redis.get_batch(&keys, &GetOptions::default())?;
        assert!(found.into_iter().eq(batch().into_iter().map(Some)));
        Ok(())
    })
}
