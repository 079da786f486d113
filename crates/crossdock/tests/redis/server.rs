//! What depends on the server: its settings, its limits, what else is on it.

use std::sync::Arc;
use std::time::Duration;

use crossdock::config::{Config, Reference};
use crossdock::connectors::{LocalOptions, RedisConnector, RedisOptions};
use crossdock::{
    Bytes, CloseOptions, Connector, ConnectorExt, Deferrable, Durability, ErrorKind, GetOptions, Key, KeyHint,
    MultiConnector, ObjectKey, Policy, PutOptions, Registry,
};
use crossdock_servers::{Aof, ClusterOptions, RedisCluster, Tls};
use libtest_mimic::Trial;

use crate::common::{CLUSTER, Outcome, SHARED, hurried, kind_of, open, options, start};

type Servers = crossdock_servers::RedisOptions;

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("on_the_wire_it_is_as_proxystore_has_it", on_the_wire_it_is_as_proxystore_has_it),
        ("durability_follows_from_the_server", durability_follows_from_the_server),
        (
            "a_server_that_does_not_sync_while_it_rewrites_its_file",
            a_server_that_does_not_sync_while_it_rewrites_its_file,
        ),
        ("an_evicting_server_promises_nothing", an_evicting_server_promises_nothing),
        ("what_is_too_large_is_refused_before_it_is_sent", what_is_too_large_is_refused_before_it_is_sent),
        ("a_full_server", a_full_server),
        ("a_server_that_tells_nothing", a_server_that_tells_nothing),
        ("clearing_leaves_what_belongs_to_others", clearing_leaves_what_belongs_to_others),
        ("clearing_a_cluster", clearing_a_cluster),
        ("something_else_under_an_objects_name", something_else_under_an_objects_name),
        ("objects_with_a_time_to_live", objects_with_a_time_to_live),
        ("objects_that_may_be_replaced", objects_that_may_be_replaced),
        ("passwords_are_checked_and_never_shown", passwords_are_checked_and_never_shown),
        ("what_servers_repeat_is_never_shown", what_servers_repeat_is_never_shown),
        ("a_user_without_a_password", a_user_without_a_password),
        ("limits_that_make_no_sense", limits_that_make_no_sense),
        ("who_is_trusted", who_is_trusted),
        ("a_whole_url_behind_a_reference", a_whole_url_behind_a_reference),
        ("batches_larger_than_any_buffer", batches_larger_than_any_buffer),
    ])
}

fn id(key: &Key) -> String {
    match key {
        Key::Object(key) => key.id.to_string(),
        key => panic!("{key} is no key of one server"),
    }
}

fn on_the_wire_it_is_as_proxystore_has_it() -> Outcome {
    let redis = open(&options(&SHARED));
    let key = redis.put_bytes("object")?;
    assert_eq!(SHARED.command(&["GET", &id(&key)])?.text(), "object");
    SHARED.command(&["SET", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "theirs"])?;
    let theirs = ObjectKey::bare("7c9e6679-7425-40de-944b-e07fc1f90ae7").into();
    assert_eq!(redis.get_bytes(&theirs)?.as_deref(), Some(&b"theirs"[..]));
    redis.evict(&theirs)?;
    assert_eq!(SHARED.command(&["EXISTS", "7c9e6679-7425-40de-944b-e07fc1f90ae7"])?.text(), "0");
    let prefixed = open(&options(&SHARED).prefix("run:"));
    let key = prefixed.put_bytes("object")?;
    assert_eq!(SHARED.command(&["GET", &format!("run:{}", id(&key))])?.text(), "object");
    // What has no UUID for a name is not ours.
    SHARED.command(&["SET", "session", "somebody's"])?;
    let stranger = ObjectKey::bare("session").into();
    assert_eq!(kind_of(redis.get_bytes(&stranger)), ErrorKind::InvalidKey);
    assert_eq!(kind_of(redis.evict(&stranger)), ErrorKind::InvalidKey);
    assert_eq!(SHARED.command(&["GET", "session"])?.text(), "somebody's");
    Ok(())
}

fn durability_follows_from_the_server() -> Outcome {
    for (settings, most) in [
        (Servers::new(), None),
        (Servers::new().aof(Aof::EverySecond), Some(Durability::Process)),
        (Servers::new().aof(Aof::Always), Some(Durability::Host)),
    ] {
        let server = start(&settings);
        let redis = open(&options(&server));
        assert_eq!(redis.properties().durability, None, "nothing is known before it was asked");
        for level in [Durability::Process, Durability::Host, Durability::Backend] {
            let put = redis.put("object".into(), &PutOptions::new().durability(level));
            match put {
                Ok(_) => assert!(Some(level) <= most, "{level:?}"),
                Err(refused) => {
                    assert!(Some(level) > most, "{refused}");
                    assert_eq!(refused.kind(), ErrorKind::Unsupported);
                }
            }
            let hint = KeyHint::new().options(PutOptions::new().durability(level));
            assert_eq!(redis.new_key(&hint).is_ok(), Some(level) <= most);
        }
        let checkup = redis.check()?;
        assert_eq!((checkup.durability, redis.properties().durability), (most, most));
        assert!(checkup.server.is_some_and(|server| server.starts_with("redis 7") || server.starts_with("valkey")));
        assert_eq!(checkup.warnings.is_empty(), most.is_some(), "{:?}", checkup.warnings);
        let demanding = open(&options(&server).durability(Durability::Host));
        assert_eq!(demanding.put_bytes("object").is_ok(), most == Some(Durability::Host));
        assert_eq!(demanding.put_batch(&["object".into()], &PutOptions::new()).is_ok(), most == Some(Durability::Host));
    }
    Ok(())
}

fn a_server_that_does_not_sync_while_it_rewrites_its_file() -> Outcome {
    let server = start(&Servers::new().aof(Aof::Always).set("no-appendfsync-on-rewrite", "yes"));
    let redis = open(&options(&server));
    let put = |level| redis.put("object".into(), &PutOptions::new().durability(level));
    put(Durability::Process)?;
    let refused = put(Durability::Host).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("no-appendfsync-on-rewrite"), "{refused}");
    Ok(())
}

fn an_evicting_server_promises_nothing() -> Outcome {
    let server = start(&Servers::new().aof(Aof::Always).max_memory(50_000_000, "allkeys-lru"));
    let redis = open(&options(&server));
    assert_eq!(
        kind_of(redis.put("object".into(), &PutOptions::new().durability(Durability::Process))),
        ErrorKind::Unsupported
    );
    let warnings = redis.check()?.warnings;
    assert!(warnings.iter().any(|warning| warning.contains("allkeys-lru")), "{warnings:?}");
    Ok(())
}

fn what_is_too_large_is_refused_before_it_is_sent() -> Outcome {
    let server = start(&Servers::new().set("proto-max-bulk-len", "1mb"));
    let redis = open(&options(&server));
    let fits = Bytes::from(vec![1; 1 << 20]);
    let key = redis.put_bytes(fits.clone())?;
    assert!(redis.get_bytes(&key)? == Some(fits.clone()));
    let larger = Bytes::from(vec![1; (1 << 20) + 1]);
    let refused = redis.put_bytes(larger.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(refused.to_string().contains("proto-max-bulk-len"), "{refused}");
    assert_eq!(kind_of(redis.put_batch(&[fits, larger.clone()], &PutOptions::new())), ErrorKind::TooLarge);
    assert_eq!(server.command(&["DBSIZE"])?.text(), "1", "nothing of the batch is there");
    // Where the policy lets it, it goes elsewhere.
    let multi = MultiConnector::builder()
        .connector("redis", redis, Policy::builder().fallback(true).build()?)
        .lazy("memory", Arc::new(LocalOptions::default()), Policy::any())
        .build()?;
    assert_eq!(&*multi.put(larger, &PutOptions::new())?.connector_name, "memory");
    Ok(())
}

fn a_full_server() -> Outcome {
    let server = start(&Servers::new().max_memory(20_000_000, "noeviction"));
    let redis = Arc::new(open(&options(&server)));
    let object = Bytes::from(vec![1; 1_000_000]);
    let mut keys = Vec::new();
    let full = loop {
        match redis.put_bytes(object.clone()) {
            Ok(key) => keys.push(key),
            Err(error) => break error,
        }
        assert!(keys.len() < 100, "it gets full some time");
    };
    assert_eq!(full.kind(), ErrorKind::Full);
    assert!(full.to_string().contains("maxmemory"), "{full}");
    // Half a batch fits: nothing of it stays.
    redis.evict(&keys.pop().ok_or("nothing fits")?)?;
    redis.evict(&keys.pop().ok_or("nothing fits")?)?;
    let batch = vec![object.clone(); 10];
    assert_eq!(kind_of(redis.put_batch(&batch, &PutOptions::new())), ErrorKind::Full);
    assert_eq!(server.command(&["DBSIZE"])?.text(), keys.len().to_string());
    assert!(redis.get_bytes(&keys[0])? == Some(object.clone()), "what is there can be read");
    let multi = MultiConnector::builder()
        .connector("redis", redis, Policy::builder().fallback(true).build()?)
        .lazy("memory", Arc::new(LocalOptions::default()), Policy::any())
        .build()?;
    let landed = multi.put_batch(&batch, &PutOptions::new())?;
    assert!(landed.iter().all(|key| &*key.connector_name == "memory"));
    Ok(())
}

/// Managed servers keep `CONFIG` to themselves.
fn a_server_that_tells_nothing() -> Outcome {
    let server = start(&Servers::new().aof(Aof::Always));
    server.command(&["ACL", "SETUSER", "default", "-config", "-info"])?;
    let redis = open(&options(&server));
    let key = redis.put_bytes("object")?;
    assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    assert_eq!(redis.properties().durability, None, "what is not known is not promised");
    assert!(redis.check()?.warnings.iter().any(|warning| warning.contains("does not tell")));
    Ok(())
}

fn clearing_leaves_what_belongs_to_others() -> Outcome {
    let server = start(&Servers::new());
    for (name, value) in
        [("session", "a"), ("run:x", "b"), ("run", "c"), ("other:7c9e6679-7425-40de-944b-e07fc1f90ae7", "d")]
    {
        server.command(&["SET", name, value])?;
    }
    server.command(&["HSET", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "a", "hash"])?;
    let (plain, prefixed) = (open(&options(&server)), open(&options(&server).prefix("run:")));
    let many = vec![Bytes::from_static(b"object"); 2500];
    let stays = plain.put_batch(&many, &PutOptions::new())?;
    prefixed.put_batch(&many, &PutOptions::new())?;
    prefixed.close(&CloseOptions::default().clear(true))?;
    assert_eq!(server.command(&["DBSIZE"])?.text(), (2500 + 5).to_string());
    assert!(plain.exists(&stays[0])?);
    // What asks for clearing in options does so once, and a connector from its config never.
    let asking = open(&options(&server).clear(true));
    Registry::builtin().open(&asking.config())?.close(&CloseOptions::default())?;
    assert!(plain.exists(&stays[0])?);
    asking.close(&CloseOptions::default())?;
    assert_eq!(server.command(&["DBSIZE"])?.text(), "5");
    assert_eq!(server.command(&["GET", "session"])?.text(), "a");
    Ok(())
}

fn clearing_a_cluster() -> Outcome {
    let redis = open(&options(&CLUSTER.nodes()[0]).cluster(true).prefix("cleared:"));
    let keys = redis.put_batch(&vec![Bytes::from_static(b"object"); 300], &PutOptions::new())?;
    let others = open(&options(&CLUSTER.nodes()[0]).cluster(true).prefix("kept:"));
    let kept = others.put_batch(&vec![Bytes::from_static(b"object"); 300], &PutOptions::new())?;
    redis.close(&CloseOptions::default().clear(true))?;
    let again = open(&options(&CLUSTER.nodes()[0]).cluster(true).prefix("cleared:"));
    assert!(again.get_batch(&keys, &GetOptions::default())?.iter().all(Option::is_none));
    assert!(others.get_batch(&kept, &GetOptions::default())?.iter().all(Option::is_some));
    Ok(())
}

fn something_else_under_an_objects_name() -> Outcome {
    let redis = open(&options(&SHARED));
    let key: Key = ObjectKey::bare("7c9e6679-7425-40de-944b-e07fc1f90a00").into();
    SHARED.command(&["HSET", &id(&key), "a", "hash"])?;
    assert_eq!(kind_of(redis.get_bytes(&key)), ErrorKind::InvalidKey);
    let object = redis.put_bytes("object")?;
    let mixed = redis.get_batch(&[object.clone(), key, object.clone()], &GetOptions::default());
    assert_eq!(kind_of(mixed), ErrorKind::InvalidKey);
    assert_eq!(redis.get_bytes(&object)?.as_deref(), Some(&b"object"[..]), "no reply was mistaken for another's");
    Ok(())
}

fn objects_with_a_time_to_live() -> Outcome {
    let redis = open(&options(&SHARED).ttl(Duration::from_secs(600)));
    let key = redis.new_key(&KeyHint::new())?;
    redis.set(&key, "object".into(), &PutOptions::new())?;
    let batch = redis.put_batch(&["object".into()], &PutOptions::new())?;
    for key in [redis.put_bytes("object")?, key, batch[0].clone()] {
        let left: i64 = SHARED.command(&["PTTL", &id(&key)])?.text().parse()?;
        assert!((1..=600_000).contains(&left), "{left}");
    }
    let short = open(&options(&SHARED).ttl(Duration::from_millis(1)));
    let key = short.put_bytes("object")?;
    while short.exists(&key)? {}
    assert_eq!(short.get_bytes(&key)?, None);
    Ok(())
}

fn objects_that_may_be_replaced() -> Outcome {
    let redis = open(&options(&SHARED).write_once(false));
    let key = redis.put_bytes("before")?;
    redis.set(&key, "after, and longer".into(), &PutOptions::new())?;
    assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"after, and longer"[..]));
    Ok(())
}

fn passwords_are_checked_and_never_shown() -> Outcome {
    let server = start(&Servers::new().password("s3cret"));
    let dir = tempfile::tempdir()?;
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).map(|()| Reference::new(format!("${{file:{}}}", path.display())))
    };
    let (right, wrong) = (file("right", "s3cret")??, file("wrong", "wr0ng")??);
    let (right, wrong) = (hurried(&server).password(right)?, hurried(&server).password(wrong)?);
    open(&right).put_bytes("object")?;
    for (options, word) in [(wrong, "WRONGPASS"), (hurried(&server), "NOAUTH")] {
        let redis = open(&options);
        let refused = redis.put_bytes("object").unwrap_err();
        assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::Unavailable, false), "{refused}");
        let shown = format!("{refused} {refused:?} {redis:?} {options:?} {:?}", redis.config());
        assert!(shown.contains(word) && !shown.contains("wr0ng") && !shown.contains("s3cret"), "{shown}");
        assert!(refused.to_string().contains(&server.address().to_string()), "{refused}");
    }
    assert!(hurried(&server).password(Reference::literal("s3cret")).is_err());
    let misplaced = RedisOptions::sentinels([":s3cret@localhost:26379"], "primary").unwrap_err();
    assert!(!misplaced.to_string().contains("s3cret"), "{misplaced}");
    for options in [
        RedisOptions::new("redis://:s3cret@localhost", 6379),
        RedisOptions::unix_socket("unix://:s3cret@/run/redis.sock"),
    ] {
        let refused = RedisConnector::attach(&options).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }
    let refused = Config::from_text("[connectors.a]\ntype = \"redis\"\nurl = \"redis://:s3cret@localhost\"\n")
        .and_then(|config| Registry::builtin().connect(&config))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    assert!(refused.to_string().contains("line 3") && !refused.to_string().contains("s3cret"), "{refused}");
    Ok(())
}

/// Who is named is who we are, or the server says no: never somebody else.
fn a_user_without_a_password() -> Outcome {
    let server = start(&Servers::new().set("user", "worker on nopass ~* +@all"));
    let redis = open(&options(&server).username(Reference::literal("worker")));
    redis.put_bytes("object")?;
    let clients = server.command(&["CLIENT", "LIST"])?.text();
    assert!(clients.contains("user=worker"), "{clients}");
    let refused = open(&options(&server).username(Reference::literal("nobody"))).put_bytes("object").unwrap_err();
    assert!(refused.to_string().contains("WRONGPASS"), "{refused}");
    Ok(())
}

fn limits_that_make_no_sense() -> Outcome {
    let at = || RedisOptions::new("127.0.0.1", 1);
    for (options, word) in [
        (at().deadline(Duration::ZERO), "deadline"),
        (at().ttl(Duration::ZERO), "ttl"),
        (at().ttl(Duration::MAX), "ttl"),
    ] {
        let refused = RedisConnector::attach(&options).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
        assert!(refused.to_string().contains(word), "{refused}");
    }
    // Centuries are fine.
    let long = options(&SHARED).ttl(Duration::from_secs(86_400 * 365 * 1000));
    let redis = open(&long.prefix("long:"));
    let key = redis.put_bytes("object")?;
    assert_eq!(redis.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    Ok(())
}

/// Addresses can be references, too.
fn what_servers_repeat_is_never_shown() -> Outcome {
    const ADDRESS: &str = "127.98.76.54";
    let listens = || Servers::new().set("bind", &format!("127.0.0.1 {ADDRESS}"));
    let dir = tempfile::tempdir()?;
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).map(|()| format!("${{file:{}}}", path.display()))
    };
    let (password, host) = (file("password", "s3cret")?, file("host", ADDRESS)?);
    let knows_nobody = start(&listens().set("rename-command", "AUTH \"\""));
    let secured = start(&listens().tls(Tls::Only));
    let ca = secured.certificates().ok_or("it has certificates")?.ca();
    let full = ClusterOptions::new()
        .masters(1)
        .nodes(listens().max_memory(1, "noeviction").set("cluster-preferred-endpoint-type", "unknown-endpoint"));
    let cluster = RedisCluster::start(&full)?;
    let at = |port: u16| RedisOptions::from_url(&format!("redis://:{password}@{host}:{port}"));
    for (options, word) in [
        (at(knows_nobody.address().port())?, "unknown command"),
        (at(secured.address().port())?.tls_ca_file(Reference::literal(&ca.to_string_lossy())), "certificate"),
        (
            RedisOptions::from_url(&format!("redis://{host}:{}", cluster.nodes()[0].address().port()))?.cluster(true),
            "OOM",
        ),
        (RedisOptions::from_url(&format!("{password}://{host}"))?, "scheme"),
    ] {
        let refused = open(&options.deadline(Duration::from_secs(5)).retries(0)).put_bytes("object").unwrap_err();
        let shown = format!("{refused} {refused:?}");
        assert!(shown.contains(word) && !shown.contains("s3cret") && !shown.contains(ADDRESS), "{shown}");
    }
    Ok(())
}

fn who_is_trusted() -> Outcome {
    let server = start(&Servers::new().tls(Tls::Only).client_certificates());
    let certificates = server.certificates().ok_or("it has certificates")?;
    let path = |path: std::path::PathBuf| Reference::literal(path.to_str().unwrap_or_default());
    let port = server.tls_address().ok_or("it speaks TLS")?.port();
    let secured = || RedisOptions::new("127.0.0.1", port).deadline(Duration::from_secs(5)).retries(0);
    let known = secured()
        .tls_ca_file(path(certificates.ca()))
        .tls_client(path(certificates.client()), path(certificates.client_key()));
    let redis = open(&known);
    let object = Bytes::from((0..3_000_000).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    let key = redis.put_bytes(object.clone())?;
    assert!(redis.get_bytes(&key)? == Some(object));
    for stranger in [
        secured().tls(),
        secured().tls_ca_file(path(certificates.ca())),
        RedisOptions::new("127.0.0.1", port).deadline(Duration::from_secs(5)).retries(0),
    ] {
        let refused = open(&stranger).put_bytes("object").unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::Ambiguous), "{refused}");
    }
    let missing = open(&secured().tls_ca_file(Reference::literal("/no/such/file"))).put_bytes("object").unwrap_err();
    assert!(missing.to_string().contains("/no/such/file") && !missing.is_retryable(), "{missing}");
    Ok(())
}

fn a_whole_url_behind_a_reference() -> Outcome {
    let server = start(&Servers::new().password("s3${cret"));
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("url"), server.url())?;
    let url = format!("${{file:{}/url}}", dir.path().display());
    let redis = open(&RedisOptions::from_url(&url)?);
    let key = redis.put_bytes("object")?;
    let elsewhere = Registry::builtin().open(&redis.config())?;
    assert_eq!(elsewhere.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    assert!(!format!("{:?}", redis.config()).contains("cret"));
    Ok(())
}

fn batches_larger_than_any_buffer() -> Outcome {
    let redis = open(&options(&SHARED));
    let objects: Vec<Bytes> = (0..40_usize).map(|n| Bytes::from(vec![n as u8; n * 97_003])).collect();
    let keys = redis.put_batch(&objects, &PutOptions::new())?;
    assert!(redis.get_batch(&keys, &GetOptions::default())?.into_iter().eq(objects.into_iter().map(Some)));
    let bare: Vec<Key> = keys.iter().map(|key| ObjectKey::bare(id(key).as_str()).into()).collect();
    assert!(redis.get_batch(&bare, &GetOptions::default())?.iter().all(Option::is_some));
    let tiny: Vec<Bytes> = (0..10_000_usize).map(|n| Bytes::from(n.to_string())).collect();
    let keys = redis.put_batch(&tiny, &PutOptions::new())?;
    assert!(redis.get_batch(&keys, &GetOptions::default())?.into_iter().eq(tiny.into_iter().map(Some)));
    assert_eq!(SHARED.command(&["PING"])?.text(), "PONG");
    Ok(())
}
