//! Nodes that stop or are absent while others stand ready: of a cluster, and behind sentinels.

use std::net::TcpListener;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock::{Bytes, Connector, ConnectorExt, GetOptions, PutOptions};
use crossdock_servers::{ClusterOptions, RedisCluster, RedisSentinel, SentinelOptions};
use libtest_mimic::Trial;

use crate::common::{CLUSTER, Outcome, hurried, open};

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("a_cluster_promotes_a_replica_of_a_stopped_node", a_cluster_promotes_a_replica_of_a_stopped_node),
        ("sentinels_promote_a_replica_of_a_stopped_primary", sentinels_promote_a_replica_of_a_stopped_primary),
        ("a_cluster_is_found_by_any_of_its_nodes", a_cluster_is_found_by_any_of_its_nodes),
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
