//! Wrong credentials, missing buckets, servers that are none: which error, and what it says.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use crossdock::config::Reference;
use crossdock::connectors::ObjectStoreOptions;
use crossdock::{
    CloseOptions, Connector, ConnectorExt, Deferrable, Error, ErrorKind, GetOptions, KeyHint, Opener, PutOptions,
};
use libtest_mimic::Trial;

use crate::common::{Outcome, SHARED, kind_of, open, options, options_of};

pub(crate) fn trials() -> Vec<Trial> {
    crate::common::trials(&[
        ("a_wrong_secret_is_said", a_wrong_secret_is_said),
        ("a_missing_bucket_is_no_missing_object", a_missing_bucket_is_no_missing_object),
        ("hosts_that_do_not_exist", hosts_that_do_not_exist),
        ("nobody_listens", nobody_listens),
        ("servers_that_talk_nonsense", servers_that_talk_nonsense),
        ("a_server_that_refuses", a_server_that_refuses),
        ("plain_http_where_tls_is_wanted", plain_http_where_tls_is_wanted),
        ("without_credentials_the_error_says_so", without_credentials_the_error_says_so),
        ("secrets_are_never_shown", secrets_are_never_shown),
    ])
}

fn contains(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is in {text}");
    }
}

const CANARY: &str = "tO0sEcReTcanary";

/// A secret in a file, other than the server's.
fn with_wrong_secret(dir: &tempfile::TempDir) -> std::io::Result<ObjectStoreOptions> {
    let file = dir.path().join("secret");
    std::fs::write(&file, CANARY)?;
    let secret = Reference::new(format!("${{file:{}}}", file.display())).expect("a reference");
    Ok(ObjectStoreOptions::new("s3://objects/wrong")
        .option("endpoint", Reference::literal(&SHARED.endpoint()))
        .option("access_key_id", Reference::literal(SHARED.access_key()))
        .option("secret_access_key", secret))
}

fn a_wrong_secret_is_said() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = open(&with_wrong_secret(&dir)?);
    let key = store.new_key(&KeyHint::new())?;
    let put = store.put_bytes("object").unwrap_err();
    assert_eq!((put.kind(), put.is_retryable()), (ErrorKind::Unavailable, false));
    contains(
        &put,
        &["s3://objects/wrong", &SHARED.endpoint(), "403", "SignatureDoesNotMatch", "correct the credentials"],
    );
    for error in [
        store.get_bytes(&key).unwrap_err(),
        store.exists(&key).unwrap_err(),
        store.evict(&key).unwrap_err(),
        store.check().unwrap_err(),
        store.put_batch(&["a".into(), "b".into()], &PutOptions::new()).unwrap_err(),
        store.get_batch(std::slice::from_ref(&key), &GetOptions::default()).unwrap_err(),
        store.set(&key, vec![7; 20 << 20].into(), &PutOptions::new()).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, false), "{error}");
        assert!(error.keys().is_empty());
        contains(&error, &["403"]);
    }
    Ok(())
}

fn a_missing_bucket_is_no_missing_object() -> Outcome {
    let is_said = |error: Error, bucket: &str| {
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, false), "{error}");
        contains(&error, &[bucket, "make the bucket"]);
    };
    // This server says so of some requests only.
    let store = open(&options_of(&SHARED, &SHARED.endpoint(), "s3://no-such-bucket/x"));
    is_said(store.evict(&store.new_key(&KeyHint::new())?).unwrap_err(), "s3://no-such-bucket/x");
    is_said(store.close(&CloseOptions::default().clear(true)).unwrap_err(), "s3://no-such-bucket/x");
    // To `HEAD` there is no more to an answer than its status.
    let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 25\r\n\r\n<Code>NoSuchBucket</Code>";
    for conditional in [true, false] {
        let store = open(&hurried(&babbler(answer)?).conditional_put(conditional));
        let key = store.new_key(&KeyHint::new())?;
        for error in [
            store.put_bytes("object").unwrap_err(),
            store.put_bytes(vec![7; 20 << 20]).unwrap_err(),
            store.get_bytes(&key).unwrap_err(),
            store.exists(&key).unwrap_err(),
            store.evict(&key).unwrap_err(),
            store.set(&key, "object".into(), &PutOptions::new()).unwrap_err(),
            store.get_batch(std::slice::from_ref(&key), &GetOptions::default()).unwrap_err(),
            store.put_batch(&["a".into()], &PutOptions::new()).unwrap_err(),
        ] {
            is_said(error, "s3://objects/x");
        }
    }
    Ok(())
}

fn hurried(endpoint: &str) -> ObjectStoreOptions {
    ObjectStoreOptions::new("s3://objects/x")
        .option("endpoint", Reference::literal(endpoint))
        .option("skip_signature", Reference::literal("true"))
        .deadline(Duration::from_secs(2))
}

fn hosts_that_do_not_exist() -> Outcome {
    let store = open(&hurried("http://no-such-host.invalid:9000"));
    let error = store.put_bytes("object").unwrap_err();
    assert_eq!((error.kind(), error.keys()), (ErrorKind::Unavailable, &[][..]), "{error}");
    contains(&error, &["no-such-host.invalid:9000", "cannot connect", "attempts in"]);
    Ok(())
}

fn nobody_listens() -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let store = open(&hurried(&format!("http://127.0.0.1:{port}")).retries(2));
    let put = store.put_bytes("object").unwrap_err();
    assert_eq!((put.kind(), put.is_retryable(), put.keys()), (ErrorKind::Unavailable, true, &[][..]), "{put}");
    contains(&put, &["Connection refused", "3 attempts in", "check that the server runs"]);
    let large = store.put_bytes(vec![7; 20 << 20]).unwrap_err();
    assert_eq!((large.kind(), large.keys()), (ErrorKind::Unavailable, &[][..]), "{large}");
    let batch = store.put_batch(&vec!["object".into(); 20], &PutOptions::new()).unwrap_err();
    assert_eq!((batch.kind(), batch.keys()), (ErrorKind::Unavailable, &[][..]), "{batch}");
    Ok(())
}

/// A server that answers each request with these bytes, but a `HEAD` with no body.
fn babbler(answer: &'static [u8]) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = stream;
                let mut request = [0; 65_536];
                while matches!(stream.read(&mut request), Ok(1..)) {
                    let head =
                        answer.windows(4).position(|part| part == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
                    let end = if request.starts_with(b"HEAD ") { head } else { answer.len() };
                    if stream.write_all(&answer[..end]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(endpoint)
}

/// Whatever comes: an error in time, never a panic, an object, or "there is none".
fn servers_that_talk_nonsense() -> Outcome {
    for answer in [
        &b""[..],
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/99999999999999\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-1/7\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\nContent-Length: 99999999\r\n\r\n<Code>x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 41\r\n\r\n<DeleteResult><Error><Key>../x</Key></Erro",
    ] {
        let limit = Duration::from_millis(500);
        let store = open(&hurried(&babbler(answer)?).deadline(limit).retries(1));
        let key = store.new_key(&KeyHint::new())?;
        let shown = String::from_utf8_lossy(answer);
        for error in [
            store.get_bytes(&key).err(),
            store.get_batch(std::slice::from_ref(&key), &GetOptions::default()).err(),
            store.put_bytes(vec![7; 20 << 20]).err(),
            store.put_batch(&["a".into(), "b".into()], &PutOptions::new()).err(),
            store.gc(&crossdock::GcOptions::default()).err(),
            store.put_bytes("object").err(),
            store.exists(&key).err(),
            store.evict(&key).err(),
        ]
        .into_iter()
        .flatten()
        {
            let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Ambiguous, ErrorKind::Corrupt];
            assert!(kinds.contains(&error.kind()), "{shown:?}: {error}");
        }
        assert!(!matches!(store.get_bytes(&key), Ok(None)), "{shown:?} does not say that there is none");
    }
    Ok(())
}

fn a_server_that_refuses() -> Outcome {
    let refuses = |answer| Ok::<_, std::io::Error>(open(&hurried(&babbler(answer)?).retries(1)));
    let full = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 33\r\n\r\n<Code>XMinioStorageFull</Code>    ";
    assert_eq!(kind_of(refuses(full)?.put_bytes("object")), ErrorKind::Full);
    let large = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 27\r\n\r\n<Code>EntityTooLarge</Code>";
    assert_eq!(kind_of(refuses(large)?.put_bytes("object")), ErrorKind::TooLarge);
    let busy = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 21\r\n\r\n<Code>SlowDown</Code>";
    let error = refuses(busy)?.put_bytes("object").unwrap_err();
    assert_eq!((error.kind(), error.keys()), (ErrorKind::Unavailable, &[][..]), "it wrote nothing");
    contains(&error, &["503", "SlowDown", "2 attempts"]);
    let unable = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n";
    let error = refuses(unable)?.put_bytes("object").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    contains(&error, &["conditional_put = false"]);
    // Who is asked whether the object is there does not know.
    let lost = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    let error = refuses(lost)?.put_bytes("object").unwrap_err();
    assert_eq!((error.kind(), error.keys().len()), (ErrorKind::Ambiguous, 1), "{error}");
    Ok(())
}

fn plain_http_where_tls_is_wanted() -> Outcome {
    let refusing = options(&SHARED).option("allow_http", Reference::literal("false"));
    let error = open(&refusing).put_bytes("object").unwrap_err();
    contains(&error, &["without TLS"]);
    let tls = open(&hurried(&SHARED.endpoint().replace("http:", "https:")));
    let error = tls.put_bytes("object").unwrap_err();
    assert_eq!((error.kind(), error.keys()), (ErrorKind::Unavailable, &[][..]), "{error}");
    Ok(())
}

/// The service that a machine asks for its role is not there.
fn without_credentials_the_error_says_so() -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let options = ObjectStoreOptions::new("s3://objects/x")
        .option("endpoint", Reference::literal(&SHARED.endpoint()))
        .option("metadata_endpoint", Reference::literal(&format!("http://127.0.0.1:{port}")));
    let error = open(&options).put_bytes("object").unwrap_err();
    assert_eq!((error.kind(), error.keys()), (ErrorKind::Unavailable, &[][..]), "{error}");
    contains(
        &error,
        &[&format!("127.0.0.1:{port}"), "no credentials were given", "AWS_SECRET_ACCESS_KEY", "~/.aws is not read"],
    );
    Ok(())
}

fn secrets_are_never_shown() -> Outcome {
    let dir = tempfile::tempdir()?;
    let options = with_wrong_secret(&dir)?
        .option("session_token", Reference::new(format!("${{file:{}/secret}}", dir.path().display()))?);
    let store = open(&options);
    let started = Instant::now();
    let key = store.new_key(&KeyHint::new())?;
    let mut shown = format!("{options:?} {store:?} {:?} {:?}", options.config(), store.config());
    let errors = [
        store.put_bytes("object").unwrap_err(),
        store.put_bytes(vec![7; 20 << 20]).unwrap_err(),
        store.get_bytes(&key).unwrap_err(),
        store.check().unwrap_err(),
    ];
    for error in &errors {
        let causes = std::iter::successors(std::error::Error::source(error), |cause| (*cause).source());
        let causes: Vec<String> = causes.map(|cause| format!("{cause} {cause:?}")).collect();
        shown += &format!("{error} {error:?} {causes:?}");
    }
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(started.elapsed() < Duration::from_secs(60));
    Ok(())
}
