//! Requests and replies that are lost on the way: no second copy, no half object, no key that nobody knows.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossdock::connectors::RedisOptions;
use crossdock::{Bytes, Connector, ConnectorExt, Deferrable, ErrorKind, GetOptions, KeyHint, PutOptions};
use crossdock_servers::{Fault, LossyProxy, Redis, Rule, Then};
use libtest_mimic::Trial;

use crate::common::{Outcome, open, start};

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("lost_replies_leave_one_copy", lost_replies_leave_one_copy),
        ("a_set_whose_reply_is_lost", a_set_whose_reply_is_lost),
        ("a_set_that_cannot_look_at_what_it_finds", a_set_that_cannot_look_at_what_it_finds),
        ("half_a_request_is_no_object", half_a_request_is_no_object),
        ("half_a_reply_is_no_object", half_a_reply_is_no_object),
        ("replies_that_never_come", replies_that_never_come),
        ("what_arrives_after_a_batch_was_given_up", what_arrives_after_a_batch_was_given_up),
    ])
}

/// A server behind a proxy, and options that lead through it.
fn behind_a_proxy() -> Result<(Redis, LossyProxy, RedisOptions), libtest_mimic::Failed> {
    let server = start(&crossdock_servers::RedisOptions::new());
    let proxy = LossyProxy::before(server.address())?;
    let options = RedisOptions::new("127.0.0.1", proxy.address().port()).deadline(Duration::from_secs(60));
    Ok((server, proxy, options))
}

fn lost_replies_leave_one_copy() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let redis = open(&options);
    for round in 1..=150_usize {
        for then in [Then::Close, Then::Reset] {
            proxy.obey(Rule::new(Fault::DropReply(then)).to("SET"))?;
            let object = Bytes::from(vec![round as u8; round * 300]);
            let key = redis.put_bytes(object.clone())?;
            assert!(redis.get_bytes(&key)? == Some(object));
        }
        assert_eq!(server.command(&["DBSIZE"])?.text(), (2 * round).to_string(), "one copy of each object");
    }
    assert_eq!(proxy.counts()?.faults, 300);
    Ok(())
}

/// The second attempt finds what the first one has stored.
fn a_set_whose_reply_is_lost() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let redis = open(&options);
    let key = redis.new_key(&KeyHint::new())?;
    proxy.obey(Rule::new(Fault::DropReply(Then::Reset)).to("SET"))?;
    redis.set(&key, "object".into(), &PutOptions::new())?;
    assert_eq!(redis.set(&key, "other".into(), &PutOptions::new()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    proxy.obey(Rule::new(Fault::DropReply(Then::Close)).to("UNLINK"))?;
    redis.evict(&key)?;
    assert_eq!(server.command(&["DBSIZE"])?.text(), "0");
    Ok(())
}

/// The first attempt has stored it, the second finds it, and whose bytes these are is not answered.
fn a_set_that_cannot_look_at_what_it_finds() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let redis = open(&options.deadline(Duration::from_secs(3)));
    let key = redis.new_key(&KeyHint::new())?;
    proxy.obey(Rule::new(Fault::DropReply(Then::Reset)).to("SET"))?;
    proxy.obey(Rule::new(Fault::DropReply(Then::Silence)).to("GET\r\n$36"))?;
    let unsure = redis.set(&key, "object".into(), &PutOptions::new()).unwrap_err();
    assert_eq!(unsure.keys(), [key], "{unsure}");
    assert_eq!(server.command(&["DBSIZE"])?.text(), "1");
    Ok(())
}

fn half_a_request_is_no_object() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let redis = open(&options);
    let object = Bytes::from(vec![7; 400_000]);
    for bytes in [1, 50, 70_000, 399_000] {
        proxy.obey(Rule::new(Fault::CutRequest(bytes)).to("SET"))?;
        let key = redis.put_bytes(object.clone())?;
        assert!(redis.get_bytes(&key)? == Some(object.clone()));
        redis.evict(&key)?;
        assert_eq!(server.command(&["DBSIZE"])?.text(), "0");
    }
    // A pipeline that breaks in the middle begins anew, under the same keys.
    for bytes in [1000, 1_500_000] {
        proxy.obey(Rule::new(Fault::CutRequest(bytes)).to("SET"))?;
        let keys = redis.put_batch(&vec![object.clone(); 8], &PutOptions::new())?;
        assert_eq!(server.command(&["DBSIZE"])?.text(), "8");
        keys.iter().try_for_each(|key| redis.evict(key))?;
    }
    Ok(())
}

fn half_a_reply_is_no_object() -> Outcome {
    let (_server, proxy, options) = behind_a_proxy()?;
    let redis = open(&options);
    let objects: Vec<Bytes> = (0..8_u8).map(|n| Bytes::from(vec![n; 100_000])).collect();
    let keys = redis.put_batch(&objects, &PutOptions::new())?;
    for bytes in [0, 1, 9, 50_000, 99_999, 100_009] {
        proxy.obey(Rule::new(Fault::CutReply(bytes)).to("GET"))?;
        assert!(redis.get_bytes(&keys[1])?.as_ref() == Some(&objects[1]));
        proxy.obey(Rule::new(Fault::CutReply(bytes * 6)).to("GET"))?;
        let found = redis.get_batch(&keys, &GetOptions::default())?;
        assert!(found.into_iter().eq(objects.iter().cloned().map(Some)));
    }
    Ok(())
}

fn replies_that_never_come() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let redis = open(&options.deadline(Duration::from_secs(2)));
    proxy.obey(Rule::new(Fault::DropReply(Then::Silence)).to("SET"))?;
    let unknown = redis.put_bytes("object").unwrap_err();
    let [key] = unknown.keys() else { return Err(format!("its key is told: {unknown}").into()) };
    assert_eq!(unknown.kind(), ErrorKind::Ambiguous);
    // What was stored all the same is found under the key that the error tells.
    assert_eq!(redis.get_bytes(key)?.as_deref(), Some(&b"object"[..]));
    redis.evict(key)?;
    assert_eq!(server.command(&["DBSIZE"])?.text(), "0");
    // Of a batch, everything is evicted.
    proxy.obey(Rule::new(Fault::DropReply(Then::Silence)).to("SET"))?;
    let failed = redis.put_batch(&vec![Bytes::from_static(b"object"); 50], &PutOptions::new()).unwrap_err();
    assert_eq!((failed.kind(), failed.keys()), (ErrorKind::Unavailable, &[][..]), "{failed}");
    assert_eq!(server.command(&["DBSIZE"])?.text(), "0");
    Ok(())
}

/// A network that holds the first batch back until it is told to let go, and passes on all the rest.
fn holding_back(server: SocketAddr) -> io::Result<(SocketAddr, Sender<()>, JoinHandle<io::Result<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (let_go, told) = channel();
    let holds = move || {
        let (mut client, _) = listener.accept()?;
        let upstream = TcpStream::connect(server)?;
        pass_on(upstream.try_clone()?, client.try_clone()?);
        let mut bytes = vec![0; 100_000];
        let greeting = client.read(&mut bytes)?;
        (&upstream).write_all(&bytes[..greeting])?;
        let batch = client.read(&mut bytes)?;
        let (second, _) = listener.accept()?;
        let another = TcpStream::connect(server)?;
        pass_on(another.try_clone()?, second.try_clone()?);
        pass_on(second, another);
        told.recv().map_err(io::Error::other)?;
        // It fails where the server has ended that connection.
        let late = (&upstream).write_all(&bytes[..batch]).and_then(|()| upstream.shutdown(Shutdown::Write));
        if late.is_ok() {
            drop((&upstream).read_to_end(&mut bytes));
        }
        Ok(())
    };
    Ok((address, let_go, thread::spawn(holds)))
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || io::copy(&mut from, &mut to));
}

/// An outage that ends just when a batch is being undone: what is still on its way must not come after the evictions.
fn what_arrives_after_a_batch_was_given_up() -> Outcome {
    let server = start(&crossdock_servers::RedisOptions::new());
    let (address, let_go, network) = holding_back(server.address())?;
    let redis = open(&RedisOptions::new("127.0.0.1", address.port()).deadline(Duration::from_secs(4)));
    let failed = redis.put_batch(&vec![Bytes::from_static(b"object"); 50], &PutOptions::new()).unwrap_err();
    assert_eq!((failed.kind(), failed.keys()), (ErrorKind::Unavailable, &[][..]), "{failed}");
    let_go.send(())?;
    network.join().map_err(|_| "the network panicked")??;
    assert_eq!(server.command(&["DBSIZE"])?.text(), "0", "nobody was told of these");
    // Where the server does not let us end connections, the keys are told.
    server.command(&["ACL", "SETUSER", "default", "-client|kill"])?;
    let (address, let_go, network) = holding_back(server.address())?;
    let redis = open(&RedisOptions::new("127.0.0.1", address.port()).deadline(Duration::from_secs(4)));
    let failed = redis.put_batch(&vec![Bytes::from_static(b"object"); 50], &PutOptions::new()).unwrap_err();
    assert_eq!((failed.kind(), failed.keys().len()), (ErrorKind::Ambiguous, 50), "{failed}");
    let_go.send(())?;
    network.join().map_err(|_| "the network panicked")??;
    Ok(())
}
