//! Requests and replies that are lost on the way: no second copy, no half object, no key that nobody knows.

use std::time::Duration;

use crossdock::connectors::ObjectStoreOptions;
use crossdock::{Bytes, Connector, ConnectorExt, Deferrable, ErrorKind, GetOptions, KeyHint, PutOptions};
use crossdock_servers::{Fault, LossyProxy, Rule, S3, Then};
use libtest_mimic::Trial;

use crate::common::{Outcome, count, open, options_at, parts, pattern, start};

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("lost_replies_leave_one_copy", lost_replies_leave_one_copy),
        ("a_set_whose_reply_is_lost", a_set_whose_reply_is_lost),
        ("half_a_request_is_no_object", half_a_request_is_no_object),
        ("half_a_reply_is_no_object", half_a_reply_is_no_object),
        ("parts_that_are_lost", parts_that_are_lost),
        ("an_upload_whose_completion_is_lost", an_upload_whose_completion_is_lost),
        ("a_batch_with_losses", a_batch_with_losses),
        ("replies_that_never_come", replies_that_never_come),
        ("a_network_that_is_silent", a_network_that_is_silent),
    ])
}

/// A server behind a proxy, and options that lead through it.
fn behind_a_proxy() -> Result<(S3, LossyProxy, ObjectStoreOptions), libtest_mimic::Failed> {
    let server = start();
    let proxy = LossyProxy::before(server.address())?;
    let options = options_at(&server, &format!("http://{}", proxy.address())).deadline(Duration::from_secs(60));
    Ok((server, proxy, options.multipart_threshold(6 << 20).part_size(5 << 20)))
}

fn lost_replies_leave_one_copy() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let store = open(&options);
    for round in 1..=50_usize {
        for then in [Then::Close, Then::Reset] {
            proxy.obey(Rule::new(Fault::DropReply(then)).to("PUT /"))?;
            let object = pattern(round, round * 900);
            let key = store.put_bytes(object.clone())?;
            assert!(store.get_bytes(&key)? == Some(object));
        }
        assert_eq!(count(&server), 2 * round, "one copy of each object");
    }
    assert_eq!(proxy.counts()?.faults, 100);
    Ok(())
}

/// The second attempt finds what the first one has stored.
fn a_set_whose_reply_is_lost() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let store = open(&options);
    let key = store.new_key(&KeyHint::new())?;
    proxy.obey(Rule::new(Fault::DropReply(Then::Reset)).to("PUT /"))?;
    store.set(&key, "object".into(), &PutOptions::new())?;
    assert_eq!(store.set(&key, "other".into(), &PutOptions::new()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    proxy.obey(Rule::new(Fault::DropReply(Then::Close)).to("DELETE /"))?;
    store.evict(&key)?;
    assert_eq!(count(&server), 0);
    Ok(())
}

fn half_a_request_is_no_object() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let store = open(&options);
    let object = pattern(1, 2_000_000);
    for bytes in [1, 50, 70_000, 1_900_000] {
        proxy.obey(Rule::new(Fault::CutRequest(bytes)).to("PUT /"))?;
        let key = store.put_bytes(object.clone())?;
        assert!(store.get_bytes(&key)? == Some(object.clone()));
        store.evict(&key)?;
        assert_eq!(count(&server), 0);
    }
    // As long as not all of it was sent it is certain that nothing is there.
    let store = open(&options.multipart_threshold(1 << 30).deadline(Duration::from_secs(2)));
    proxy.obey(Rule::new(Fault::CutRequest(70_000)).to("PUT /").times(1000))?;
    let error = store.put_bytes(pattern(1, 60 << 20)).unwrap_err();
    assert_eq!((error.kind(), error.keys()), (ErrorKind::Unavailable, &[][..]), "{error}");
    assert_eq!(count(&server), 0);
    Ok(())
}

fn half_a_reply_is_no_object() -> Outcome {
    let (_server, proxy, options) = behind_a_proxy()?;
    let store = open(&options);
    let objects: Vec<Bytes> = (0..8).map(|n| pattern(n, 100_000)).collect();
    let keys = store.put_batch(&objects, &PutOptions::new())?;
    let large = pattern(9, 17 << 20);
    let key = store.put_bytes(large.clone())?;
    for bytes in [0, 1, 9, 50_000, 99_999] {
        proxy.obey(Rule::new(Fault::CutReply(bytes)).to("GET /"))?;
        assert!(store.get_bytes(&keys[1])?.as_ref() == Some(&objects[1]));
        proxy.obey(Rule::new(Fault::CutReply(bytes)).to("GET /").skip(3))?;
        let found = store.get_batch(&keys, &GetOptions::default())?;
        assert!(found.into_iter().eq(objects.iter().cloned().map(Some)));
        for skip in 0..4 {
            proxy.obey(Rule::new(Fault::CutReply(bytes * 30)).to("GET /").skip(skip))?;
            assert!(store.get_bytes(&key)? == Some(large.clone()));
            proxy.forget_rules()?;
        }
    }
    Ok(())
}

fn parts_that_are_lost() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let store = open(&options);
    let object = pattern(1, 22 << 20);
    for (round, fault) in [
        Fault::CutRequest(1_000_000),
        Fault::DropReply(Then::Reset),
        Fault::CutRequest(100),
        Fault::DropReply(Then::Close),
    ]
    .into_iter()
    .enumerate()
    {
        proxy.obey(Rule::new(fault).to("partNumber=").skip(round as u64).times(2))?;
        let key = store.put_bytes(object.clone())?;
        assert!(store.get_bytes(&key)? == Some(object.clone()));
        assert_eq!((count(&server), parts(&server)), (round + 1, 0));
    }
    // One that never succeeds takes the whole upload with it.
    let store = open(&options.retries(1));
    proxy.obey(Rule::new(Fault::CutRequest(100)).to("partNumber=2&").times(1000))?;
    let error = store.put_bytes(object).unwrap_err();
    assert_eq!((error.kind(), error.keys()), (ErrorKind::Unavailable, &[][..]), "{error}");
    assert_eq!((count(&server), parts(&server)), (4, 0), "the upload was aborted");
    Ok(())
}

fn an_upload_whose_completion_is_lost() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let store = open(&options);
    let object = pattern(1, 12 << 20);
    // The server completes it, and later knows no such upload.
    proxy.obey(Rule::new(Fault::DropReply(Then::Reset)).to("POST /").skip(1))?;
    let key = store.put_bytes(object.clone())?;
    assert!(store.get_bytes(&key)? == Some(object.clone()));
    // The server never hears of it.
    proxy.obey(Rule::new(Fault::CutRequest(10)).to("POST /").skip(1))?;
    let key = store.put_bytes(object.clone())?;
    assert!(store.get_bytes(&key)? == Some(object.clone()));
    // Nor of any other: in the end the upload is aborted, so it is certain that nothing is there.
    let store = open(&options.deadline(Duration::from_secs(2)));
    proxy.obey(Rule::new(Fault::CutRequest(10)).to("POST /").skip(1).times(1000))?;
    let error = store.put_bytes(object).unwrap_err();
    // The time may end between two attempts or within one.
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
    assert_eq!((error.keys(), count(&server), parts(&server)), (&[][..], 2, 0), "{error}");
    Ok(())
}

fn a_batch_with_losses() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let store = open(&options.clone().retries(20));
    let objects: Vec<Bytes> = (0..100).map(|n| pattern(n, 10_000)).collect();
    for skip in [0, 7, 40] {
        proxy.obey(Rule::new(Fault::DropReply(Then::Reset)).to("PUT /").skip(skip).times(5))?;
        proxy.obey(Rule::new(Fault::CutRequest(300)).to("PUT /").times(5))?;
        let keys = store.put_batch(&objects, &PutOptions::new())?;
        assert_eq!(count(&server), 100, "one copy of each");
        let found = store.get_batch(&keys, &GetOptions::default())?;
        assert!(found.into_iter().eq(objects.iter().cloned().map(Some)));
        keys.iter().try_for_each(|key| store.evict(key))?;
    }
    let store = open(&options.deadline(Duration::from_secs(2)));
    for fault in [Fault::DropReply(Then::Reset), Fault::CutRequest(300)] {
        proxy.obey(Rule::new(fault).to("PUT /").skip(50).times(1000))?;
        let error = store.put_batch(&objects, &PutOptions::new()).unwrap_err();
        proxy.forget_rules()?;
        // The time may end between two attempts or within one.
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
        assert_eq!((error.keys(), count(&server)), (&[][..], 0), "all of it was undone: {error}");
    }
    Ok(())
}

fn replies_that_never_come() -> Outcome {
    let (server, proxy, options) = behind_a_proxy()?;
    let store = open(&options.deadline(Duration::from_secs(1)));
    proxy.obey(Rule::new(Fault::DropReply(Then::Silence)).to("PUT /"))?;
    let unknown = store.put_bytes("object").unwrap_err();
    let [key] = unknown.keys() else { return Err(format!("its key is told: {unknown}").into()) };
    assert_eq!(unknown.kind(), ErrorKind::Ambiguous);
    // What was stored all the same is found under the key that the error tells.
    assert_eq!(store.get_bytes(key)?.as_deref(), Some(&b"object"[..]));
    store.evict(key)?;
    assert_eq!(count(&server), 0);
    // Of a batch, everything is evicted, or may be there and is told.
    proxy.obey(Rule::new(Fault::DropReply(Then::Silence)).to("PUT /"))?;
    let failed = store.put_batch(&vec![Bytes::from_static(b"object"); 50], &PutOptions::new()).unwrap_err();
    assert!(matches!(failed.kind(), ErrorKind::Timeout | ErrorKind::Ambiguous), "{failed}");
    assert!((1..=50).contains(&failed.keys().len()) && failed.keys().len() >= count(&server), "{failed}");
    Ok(())
}

fn a_network_that_is_silent() -> Outcome {
    let (_server, proxy, options) = behind_a_proxy()?;
    let limit = Duration::from_millis(400);
    let store = open(&options.deadline(limit));
    let key = store.put_bytes("object")?;
    proxy.silence()?;
    let begun = std::time::Instant::now();
    assert_eq!(store.get_bytes(&key).unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(store.put_bytes("object").unwrap_err().kind(), ErrorKind::Ambiguous);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    proxy.mend()?;
    assert_eq!(store.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    Ok(())
}
