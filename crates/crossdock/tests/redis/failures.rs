//! Servers that are killed, stopped, replaced, or that talk nonsense: every call ends with the right kind of error, and the
//! connector recovers by itself.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossdock::connectors::{LocalOptions, RedisOptions};
use crossdock::{
    Bytes, Connector, ConnectorExt, Deferrable, ErrorKind, GetOptions, Key, KeyHint, MultiConnector, ObjectKey, Policy,
    PutOptions, interrupt,
};
use crossdock_servers::{Aof, LossyProxy, Redis, RedisSentinel, Reply, SentinelOptions, Tls};
use libtest_mimic::Trial;

use crate::common::{CLUSTER, Outcome, SHARED, hurried, kind_of, open, options, start};

type Servers = crossdock_servers::RedisOptions;

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("a_killed_server_is_unavailable_and_comes_back", a_killed_server_is_unavailable_and_comes_back),
        ("a_restarted_server_is_not_noticed", a_restarted_server_is_not_noticed),
        ("a_stopped_server_ends_with_the_deadline", a_stopped_server_ends_with_the_deadline),
        ("a_stopped_server_can_be_interrupted", a_stopped_server_can_be_interrupted),
        ("a_late_reply_is_nobodys", a_late_reply_is_nobodys),
        ("with_fallback_the_put_goes_elsewhere", with_fallback_the_put_goes_elsewhere),
        ("a_batch_on_a_killed_server_leaves_nothing", a_batch_on_a_killed_server_leaves_nothing),
        ("a_replica_takes_no_objects", a_replica_takes_no_objects),
        ("sentinels_name_the_new_primary", sentinels_name_the_new_primary),
        ("a_cluster_moves_its_slots", a_cluster_moves_its_slots),
        ("servers_that_talk_nonsense", servers_that_talk_nonsense),
        ("a_server_that_trickles", a_server_that_trickles),
        ("an_object_that_breaks_off_gives_no_more_time", an_object_that_breaks_off_gives_no_more_time),
        ("hosts_that_do_not_exist", hosts_that_do_not_exist),
        ("what_does_not_fit_the_server_is_said", what_does_not_fit_the_server_is_said),
        ("a_unix_socket_where_nobody_accepts", a_unix_socket_where_nobody_accepts),
        ("sizes_in_keys_give_no_time", sizes_in_keys_give_no_time),
        ("a_set_that_reads_what_is_there_has_one_deadline", a_set_that_reads_what_is_there_has_one_deadline),
    ])
}

/// Waits for a server that has its data on the disk to have it back.
fn eventually<T>(mut call: impl FnMut() -> crossdock::Result<T>) -> crossdock::Result<T> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match call() {
            Err(error) if error.is_retryable() && Instant::now() < end => thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

fn a_killed_server_is_unavailable_and_comes_back() -> Outcome {
    let server = start(&Servers::new().aof(Aof::Always));
    let redis = open(&hurried(&server));
    let key = redis.put_bytes("object")?;
    server.kill()?;
    let refused = redis.put_bytes("other").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "nothing was sent: {refused}");
    assert!(refused.keys().is_empty() && refused.is_retryable());
    let sentence = refused.to_string();
    assert!(sentence.contains(&server.address().to_string()) && sentence.contains("tried 4 times in"), "{sentence}");
    assert_eq!(kind_of(redis.get_bytes(&key)), ErrorKind::Unavailable);
    assert_eq!(kind_of(redis.exists(&key)), ErrorKind::Unavailable);
    assert_eq!(kind_of(redis.evict(&key)), ErrorKind::Unavailable);
    assert_eq!(kind_of(redis.put_batch(&["a".into()], &PutOptions::new())), ErrorKind::Unavailable);
    assert_eq!(kind_of(redis.get_batch(std::slice::from_ref(&key), &GetOptions::default())), ErrorKind::Unavailable);
    assert_eq!(kind_of(redis.check()), ErrorKind::Unavailable);
    server.restart()?;
    assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    redis.put_bytes("again")?;
    Ok(())
}

fn a_restarted_server_is_not_noticed() -> Outcome {
    let server = start(&Servers::new());
    let redis = open(&options(&server));
    redis.put_bytes("object")?;
    for _ in 0..3 {
        server.kill()?;
        server.restart()?;
        let key = redis.put_bytes("object")?;
        assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    }
    Ok(())
}

fn a_stopped_server_ends_with_the_deadline() -> Outcome {
    let server = start(&Servers::new());
    let deadline = Duration::from_millis(500);
    let (known, fresh) = (open(&options(&server).deadline(deadline)), open(&options(&server).deadline(deadline)));
    let key = known.put_bytes("object")?;
    server.stop()?;
    // Nothing but a greeting was sent.
    let timeout = fresh.put_bytes("other").unwrap_err();
    assert_eq!((timeout.kind(), timeout.keys()), (ErrorKind::Timeout, &[][..]), "{timeout}");
    // The server may still do what it was sent.
    let unknown = known.put_bytes("another").unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Ambiguous, "{unknown}");
    let [left] = unknown.keys() else { return Err(format!("its key is told: {unknown:?}").into()) };
    assert_eq!(kind_of(known.get_bytes(&key)), ErrorKind::Timeout);
    assert_eq!(kind_of(known.put_batch(&["a".into(), "b".into()], &PutOptions::new())), ErrorKind::Timeout);
    server.cont()?;
    assert_eq!(eventually(|| known.get_bytes(&key))?.as_deref(), Some(&b"object"[..]));
    known.require_deferrable()?.set(left, "another".into(), &PutOptions::new())?;
    assert_eq!(known.get_bytes(left)?.as_deref(), Some(&b"another"[..]));
    known.evict(left)?;
    assert_eq!(fresh.get_bytes(left)?, None);
    Ok(())
}

fn a_stopped_server_can_be_interrupted() -> Outcome {
    let server = start(&Servers::new());
    let patient = || open(&options(&server).deadline(Duration::from_secs(3600)));
    let (known, fresh) = (patient(), patient());
    let key = known.put_bytes("object")?;
    server.stop()?;
    assert_eq!(kind_of(interrupt::scope(|| true, || known.get_bytes(&key))), ErrorKind::Interrupted);
    assert_eq!(kind_of(interrupt::scope(|| true, || fresh.put_bytes("other"))), ErrorKind::Interrupted);
    server.cont()?;
    eventually(|| known.evict(&key))?;
    assert_eq!(server.command(&["DBSIZE"])?.text(), "0");
    Ok(())
}

/// The reply to a call that was given up still comes, and belongs to nobody.
fn a_late_reply_is_nobodys() -> Outcome {
    let server = start(&Servers::new());
    let redis = open(&options(&server).write_once(false));
    let keys = redis.put_batch(&["first".into(), "second".into()], &PutOptions::new())?;
    for _ in 0..10 {
        server.stop()?;
        assert_eq!(kind_of(interrupt::scope(|| true, || redis.get_bytes(&keys[0]))), ErrorKind::Interrupted);
        let second = thread::scope(|scope| {
            let second = scope.spawn(|| redis.get_bytes(&keys[1]));
            thread::sleep(Duration::from_millis(50));
            server.cont().map(|()| second.join().expect("no panic"))
        })??;
        assert_eq!(second.as_deref(), Some(&b"second"[..]));
    }
    Ok(())
}

fn with_fallback_the_put_goes_elsewhere() -> Outcome {
    let server = start(&Servers::new());
    let multi = MultiConnector::builder()
        .lazy("redis", Arc::new(hurried(&server)), Policy::builder().fallback(true).build()?)
        .lazy("memory", Arc::new(LocalOptions::default()), Policy::any())
        .build()?;
    let lands_in = || multi.put("object", &PutOptions::new()).map(|key| key.connector_name.to_string());
    assert_eq!(lands_in()?, "redis");
    server.kill()?;
    assert_eq!(lands_in()?, "memory");
    let batch = multi.put_batch(&["a".into(), "b".into()], &PutOptions::new())?;
    assert!(batch.iter().all(|key| &*key.connector_name == "memory"));
    Ok(())
}

fn a_batch_on_a_killed_server_leaves_nothing() -> Outcome {
    let server = start(&Servers::new().aof(Aof::Always));
    let redis = open(&options(&server).deadline(Duration::from_secs(30)));
    redis.evict(&redis.put_bytes("object")?)?;
    let batch = vec![Bytes::from(vec![7; 100_000]); 200];
    for round in 0..5_u64 {
        let outcome = thread::scope(|scope| {
            let put = scope.spawn(|| redis.put_batch(&batch, &PutOptions::new()));
            thread::sleep(Duration::from_millis(round * 7));
            server.kill().unwrap();
            server.restart().unwrap();
            put.join().unwrap()
        });
        // It goes on by itself once the server is back, or says that it could not.
        match outcome {
            Ok(keys) => {
                assert!(redis.get_batch(&keys, &GetOptions::default())?.iter().all(Option::is_some));
                keys.iter().try_for_each(|key| redis.evict(key))?;
            }
            Err(error) => assert!(error.keys().is_empty(), "{error}"),
        }
        assert_eq!(server.command(&["DBSIZE"])?.text(), "0", "round {round}");
    }
    Ok(())
}

fn a_replica_takes_no_objects() -> Outcome {
    let primary = start(&Servers::new());
    let at = primary.address();
    let replica = start(&Servers::new().set("replicaof", &format!("{} {}", at.ip(), at.port())));
    let redis = open(&hurried(&replica).retries(1));
    let refused = eventually(|| match redis.put_bytes("object") {
        Err(error) if error.to_string().contains("MASTERDOWN") => Err(error),
        outcome => Ok(outcome.unwrap_err()),
    })?;
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("replica"), "{refused}");
    Ok(())
}

fn sentinels_name_the_new_primary() -> Outcome {
    let servers = RedisSentinel::start(&SentinelOptions::new())?;
    let sentinels: Vec<String> = servers.sentinels().iter().map(|sentinel| sentinel.address().to_string()).collect();
    let addresses = || sentinels.iter().map(String::as_str);
    let redis = open(&RedisOptions::sentinels(addresses(), servers.service())?.deadline(Duration::from_secs(2)));
    let key = redis.put_bytes("before")?;
    assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"before"[..]));
    servers.primary()?.kill()?;
    let refused = redis.put_bytes("meanwhile").unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{refused}");
    let key = eventually(|| redis.put_bytes("after"))?;
    assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"after"[..]));
    let elsewhere = crate::common::reopen(&redis.config())?;
    assert_eq!(elsewhere.get_bytes(&key)?.as_deref(), Some(&b"after"[..]));
    let unknown = open(&RedisOptions::sentinels(addresses(), "nobody")?.retries(0)).put_bytes("x").unwrap_err();
    assert!(unknown.to_string().contains("no sentinel knows \"nobody\""), "{unknown}");
    Ok(())
}

/// A slot is given to another node, and one is on the way to it, behind the back of a connector that knows the old map.
fn a_cluster_moves_its_slots() -> Outcome {
    let nodes = CLUSTER.nodes();
    let redis = open(&hurried(&nodes[0]).cluster(true).prefix("moved:"));
    redis.put_bytes("the map is known by now")?;
    let ids: Vec<String> =
        nodes.iter().map(|node| node.command(&["CLUSTER", "MYID"]).map(|id| id.text())).collect::<Result<_, _>>()?;
    let (mut moved, mut moving) = (false, false);
    while !(moved && moving) {
        let key = redis.new_key(&KeyHint::new())?;
        let Key::Object(ObjectKey { id, .. }) = &key else { return Err("no object's key".into()) };
        let name = format!("moved:{id}");
        let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", &name])?.text();
        let is_owner = |node: &&Redis| node.command(&["GET", &name]).is_ok_and(|reply| reply == Reply::Nil);
        let is_empty =
            |node: &Redis| node.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).map(|count| count.text() == "0");
        let owner = nodes.iter().position(|node| is_owner(&node)).ok_or("the slot has an owner")?;
        let other = (owner + 1) % nodes.len();
        if !is_empty(&nodes[owner])? {
            continue;
        }
        if moved {
            nodes[other].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[owner]])?;
            nodes[owner].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[other]])?;
            moving = true;
        } else {
            for node in [other, owner, (owner + 2) % nodes.len()] {
                nodes[node].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[other]])?;
            }
            moved = true;
        }
        redis.set(&key, "object".into(), &PutOptions::new())?;
        assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
        assert_eq!(
            redis.get_batch(&[key.clone(), key.clone()], &GetOptions::default())?,
            [Some("object".into()), Some("object".into())]
        );
        redis.evict(&key)?;
        assert!(!redis.exists(&key)?);
        for node in [other, owner] {
            nodes[node].command(&["CLUSTER", "SETSLOT", &slot, "STABLE"])?;
        }
    }
    Ok(())
}

/// Answers whatever it is asked with the same bytes, once for each answer that our greeting waits for.
fn nonsense(answer: &'static [u8]) -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut asked = [0; 4096];
                while matches!(stream.read(&mut asked), Ok(count) if count > 0) {
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(port)
}

fn servers_that_talk_nonsense() -> Outcome {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"$9999999999999\r\n",
        b"*1000000000\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        b"$-5\r\n",
        b"$3\r\nabcdef",
        b"\r\n",
        &[b'x'; 100_000],
        &[0; 1000],
    ] {
        let options = RedisOptions::new("127.0.0.1", nonsense(answer)?).deadline(Duration::from_millis(300)).retries(1);
        let refused = open(&options).put_bytes("object").unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{refused}");
    }
    // One that greets as it should, and then promises more than there is memory for.
    let greeting = b"$0\r\n\r\n*0\r\n*0\r\n*0\r\n+\r\n$99999999999999\r\n";
    let options = RedisOptions::new("127.0.0.1", nonsense(greeting)?).deadline(Duration::from_millis(300)).retries(0);
    let key = ObjectKey::bare("7c9e6679-7425-40de-944b-e07fc1f90ae7").into();
    assert_eq!(kind_of(open(&options).get_bytes(&key)), ErrorKind::Unavailable);
    Ok(())
}

/// It never makes us wait long for the next byte, and yet never comes to an end.
fn a_server_that_trickles() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 4096];
            let greeted = stream.read(&mut asked).and_then(|_| stream.write_all(GREETING));
            let head = greeted.and_then(|()| stream.read(&mut asked)).and_then(|_| stream.write_all(b"$100000000\r\n"));
            while head.is_ok() && stream.write_all(&[b'x'; 64]).is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let redis = |deadline| open(&RedisOptions::new("127.0.0.1", port).deadline(deadline).retries(0));
    let key = |size| ObjectKey { size, ..ObjectKey::bare("7c9e6679-7425-40de-944b-e07fc1f90ae7") }.into();
    let hurried = redis(Duration::from_millis(300));
    assert_eq!(kind_of(hurried.get_bytes(&key(Some(5)))), ErrorKind::Corrupt, "it announces another size");
    let patient = redis(Duration::from_secs(3600));
    static BYTES_WAITED_FOR: AtomicU32 = AtomicU32::new(0);
    let after_a_while = || BYTES_WAITED_FOR.fetch_add(1, Ordering::Relaxed) > 20;
    let interrupted = interrupt::scope(after_a_while, || patient.get_bytes(&key(Some(100_000_000))));
    assert_eq!(kind_of(interrupted), ErrorKind::Interrupted);
    // The deadline grows with what is announced: a second for each 8 MiB, so these take 12.
    assert_eq!(kind_of(hurried.get_bytes(&key(None))), ErrorKind::Timeout);
    Ok(())
}

/// It promises a large object, for which there is a second more, and hangs up.
fn an_object_that_breaks_off_gives_no_more_time() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let greeted = stream.read(&mut asked).and_then(|_| stream.write_all(GREETING));
            let promised =
                greeted.and_then(|()| stream.read(&mut asked)).and_then(|_| stream.write_all(b"$8388608\r\n"));
            if promised.is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        }
    });
    let redis = open(&RedisOptions::new("127.0.0.1", port).deadline(Duration::from_millis(500)).retries(40));
    let key = ObjectKey::bare("7c9e6679-7425-40de-944b-e07fc1f90ae7").into();
    let start = Instant::now();
    let late = redis.get_bytes(&key).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(15), "it takes {:?}: {late}", start.elapsed());
    Ok(())
}

/// What a server answers to our greeting.
const GREETING: &[u8] = b"$0\r\n\r\n*0\r\n*0\r\n*0\r\n+\r\n";

fn hosts_that_do_not_exist() -> Outcome {
    let options = RedisOptions::new("no-such-host.invalid", 6379).deadline(Duration::from_secs(20)).retries(0);
    let refused = open(&options).put_bytes("object").unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{refused}");
    assert!(refused.to_string().contains("no-such-host.invalid:6379"), "{refused}");
    let missing = open(&RedisOptions::unix_socket("/no/such/socket").retries(0)).put_bytes("object").unwrap_err();
    assert!(missing.to_string().contains("/no/such/socket"), "{missing}");
    assert!(SHARED.command(&["PING"]).is_ok());
    Ok(())
}

/// The mistakes that are made most when a config is written.
fn what_does_not_fit_the_server_is_said() -> Outcome {
    let server = start(&Servers::new().tls(Tls::Only));
    let secured = RedisOptions::new("127.0.0.1", server.tls_address().ok_or("it speaks TLS")?.port()).retries(0);
    let plain = || hurried(&SHARED);
    let address = SHARED.address().to_string();
    let mistakes = [
        (plain().database(1_000_000), ErrorKind::Unavailable, "choose a lower database"),
        (plain().cluster(true), ErrorKind::Unavailable, "leave cluster out"),
        (RedisOptions::sentinels([&*address], "primary")?.retries(0), ErrorKind::Unavailable, "it is no sentinel"),
        (plain().tls().deadline(Duration::from_millis(300)), ErrorKind::Timeout, "look whether it speaks TLS"),
        (secured.clone(), ErrorKind::Unavailable, "whether it wants TLS"),
        (secured.tls(), ErrorKind::Unavailable, "trust its authority with tls_ca_file"),
    ];
    for (options, kind, says) in mistakes {
        let refused = open(&options).put_bytes("object").unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
    Ok(())
}

fn a_unix_socket_where_nobody_accepts() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    rustix::net::listen(&listener, 0)?;
    let _waiting = UnixStream::connect(&path)?;
    let path = path.to_str().ok_or("a path")?;
    let redis = open(&RedisOptions::unix_socket(path).deadline(Duration::from_millis(300)));
    assert_eq!(kind_of(redis.put_bytes("object")), ErrorKind::Timeout);
    let patient = open(&RedisOptions::unix_socket(path).deadline(Duration::from_secs(3600)));
    assert_eq!(kind_of(interrupt::scope(|| true, || patient.put_bytes("object"))), ErrorKind::Interrupted);
    Ok(())
}

/// Keys come from strangers.
fn sizes_in_keys_give_no_time() -> Outcome {
    let server = start(&Servers::new());
    let redis = open(&options(&server).deadline(Duration::from_millis(500)));
    let Key::Object(stored) = redis.put_bytes("object")? else { return Err("no object's key".into()) };
    let hostile: Key = ObjectKey { size: Some(u64::MAX), ..stored }.into();
    let twice = [hostile.clone(), hostile.clone()];
    assert_eq!(kind_of(redis.get_bytes(&hostile)), ErrorKind::Corrupt);
    assert_eq!(kind_of(redis.get_batch(&twice, &GetOptions::default())), ErrorKind::Corrupt);
    server.stop()?;
    // They end.
    assert_eq!(kind_of(redis.get_bytes(&hostile)), ErrorKind::Timeout);
    assert_eq!(kind_of(redis.get_batch(&twice, &GetOptions::default())), ErrorKind::Timeout);
    Ok(())
}

/// Setting an object again is two requests, each of which alone is in time.
fn a_set_that_reads_what_is_there_has_one_deadline() -> Outcome {
    let server = start(&Servers::new());
    let proxy = LossyProxy::before(server.address())?;
    let redis = open(&RedisOptions::new("127.0.0.1", proxy.address().port()).deadline(Duration::from_secs(2)));
    let key = redis.new_key(&KeyHint::new())?;
    redis.set(&key, "object".into(), &PutOptions::new())?;
    proxy.delay(Duration::from_millis(650))?;
    let late = kind_of(redis.set(&key, "object".into(), &PutOptions::new()));
    assert!(matches!(late, ErrorKind::Timeout | ErrorKind::Ambiguous), "{late:?}");
    Ok(())
}
