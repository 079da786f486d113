//! Rules that need something of the machine: root, another host's name. What is absent
//! counts as ignored, with its name; where `CI` is set it is a failure.
#![expect(unsafe_code, reason = "unshare and fork have no safe form")]

#[path = "common/children.rs"]
mod children;

use std::os::unix::fs::chown;

use crossdock::config::Reference;
use crossdock::connectors::{
    FileConnector, FileOptions, LocalConnector, ObjectStoreConnector, ObjectStoreOptions, RedisConnector, RedisOptions,
};
use crossdock::{
    CloseOptions, Connector, ConnectorExt, ErrorKind, Hostname, Key, MultiConnector, ObjectKey, Policy, PutOptions,
};
use crossdock_servers::{Program, Redis, S3, S3Options};
use libtest_mimic::{Arguments, Failed, Trial};

use children::{end_of, in_a_child, start_child};

type Outcome = Result<(), Failed>;

fn main() {
    let in_ci = std::env::var_os("CI").is_some();
    let root = rustix::process::geteuid().is_root();
    let trial = |name: &str, present: bool, needs: &str, run: fn() -> Outcome| {
        let name = if present { name.to_owned() } else { format!("{name} (needs {needs})") };
        Trial::test(name, run).with_ignored_flag(!present && !in_ci)
    };
    let mut trials = vec![
        trial("the hostname is looked up at every put", root, "root", the_hostname_is_looked_up_at_every_put),
        trial("files of others are not trusted", root, "root", files_of_others_are_not_trusted),
        trial("a directory of somebody else is not trusted", root, "root", a_directory_of_somebody_else_is_not_trusted),
        trial("a forked child", true, "nothing", a_forked_child),
        trial("only who asked for clearing clears", true, "nothing", only_who_asked_for_clearing_clears),
    ];
    trials.push(crossdock_servers::trial("forked children and redis", &[Program::Redis], forked_children_and_redis));
    trials.push(crossdock_servers::trial("forked children and s3", &[Program::S3], forked_children_and_s3));
    // A thread's own host name and a forked child go badly with threads that run other tests.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs `work` in a thread that has a host name of its own, to be changed at will.
fn on_a_host_of_ones_own(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: affects this thread only, which shares no file descriptor table or file system root anew.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUTS) }, 0, "unshare");
            work();
        });
    });
}

fn the_hostname_is_looked_up_at_every_put() -> Outcome {
    on_a_host_of_ones_own(|| {
        let rename = |name: &str| rustix::system::sethostname(name.as_bytes()).unwrap();
        let only = |host| Policy::builder().host_pattern(host).build().unwrap();
        rename("before");
        let multi = MultiConnector::builder()
            .connector("first", LocalConnector::new(), only("before"))
            .connector("second", LocalConnector::new(), only("after"))
            .hostname(Hostname::System)
            .build()
            .unwrap();
        let lands_in = || multi.put("x", &PutOptions::new()).map(|key| key.connector_name.to_string());
        assert_eq!(lands_in().unwrap(), "first");
        rename("after");
        assert_eq!(lands_in().unwrap(), "second");
        assert_eq!(multi.explain(None, &PutOptions::new()).route.as_deref(), Some("second"));
        rename("neither");
        assert_eq!(lands_in().unwrap_err().kind(), ErrorKind::NoRoute);
    });
    Ok(())
}

const STRANGER: u32 = 12_345;

fn files_of_others_are_not_trusted() -> Outcome {
    let dir = tempfile::tempdir()?;
    let files = FileConnector::open(&FileOptions::new(dir.path()))?;
    let key = files.put_bytes("object")?;
    let Key::Object(object) = &key else { return Err("a file's key is an object's".into()) };
    chown(dir.path().join(object.id.to_string()), Some(STRANGER), None)?;
    let error = files.get_bytes(&key).unwrap_err();
    assert!(error.message().contains("12345") && error.message().contains("allow_foreign_owner"), "{error}");
    let trusting = FileConnector::open(&FileOptions::new(dir.path()).allow_foreign_owner(true))?;
    assert_eq!(trusting.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    Ok(())
}

fn a_directory_of_somebody_else_is_not_trusted() -> Outcome {
    let dir = tempfile::tempdir()?;
    chown(dir.path(), Some(STRANGER), None)?;
    let error = FileConnector::open(&FileOptions::new(dir.path())).unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.message().contains("12345"), "{error}");
    FileConnector::open(&FileOptions::new(dir.path()).allow_foreign_owner(true))?;
    Ok(())
}

/// The child reads what its parent put before the fork, and makes ids of its own.
fn a_forked_child() -> Outcome {
    let local = LocalConnector::new();
    let before = local.put_bytes("before")?;
    let mut pipe = [0; 2];
    // SAFETY: `pipe` has room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: the other threads of this process (there are none that hold locks) do not exist in the child, which only
    // puts, gets, writes and exits.
    match unsafe { libc::fork() } {
        0 => {
            let seen = local.get_bytes(&before).is_ok_and(|found| found.as_deref() == Some(b"before"));
            let mine = local.put_bytes("child").map(|key| key.to_string()).unwrap_or_default();
            let line = format!("{seen} {mine}");
            // SAFETY: the descriptor is open and the buffer is as long as said; `_exit` runs no destructors.
            unsafe {
                libc::write(pipe[1], line.as_ptr().cast(), line.len());
                libc::_exit(0);
            }
        }
        child => {
            let mut line = [0_u8; 200];
            // SAFETY: the buffer is as long as said; the child is ours.
            let count = unsafe {
                let count = libc::read(pipe[0], line.as_mut_ptr().cast(), line.len());
                libc::waitpid(child, std::ptr::null_mut(), 0);
                count
            };
            let line = String::from_utf8_lossy(&line[..usize::try_from(count).unwrap_or(0)]).into_owned();
            let (seen, childs) = line.split_once(' ').ok_or("the child said nothing")?;
            assert_eq!(seen, "true", "the child sees what was there before the fork");
            assert_ne!(local.put_bytes("parent")?.to_string(), childs);
            let refused = local.get_bytes(&childs.parse()?).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidKey, "the child's memory is not the parent's");
            let unknown: Key = ObjectKey::bare("no id of any process").into();
            assert_eq!(local.get_bytes(&unknown)?, None);
        }
    }
    Ok(())
}

/// A child inherits the connector of its parent, and not the parent's wish to clear.
fn only_who_asked_for_clearing_clears() -> Outcome {
    let dir = tempfile::tempdir()?;
    let objects = dir.path().join("objects");
    let open = || FileConnector::open(&FileOptions::new(&objects).clear(true));
    let (files, asked) = (open()?, open()?);
    let key = files.put_bytes("object")?;
    assert!(in_a_child(|| files.close(&CloseOptions::default()).is_ok()));
    assert_eq!(files.get_bytes(&key)?.as_deref(), Some(&b"object"[..]));
    // What was asked of the child itself, it does.
    assert!(in_a_child(|| asked.close(&CloseOptions::default().clear(true)).is_ok()));
    assert_eq!(files.get_bytes(&key)?, None);
    files.put_bytes("again")?;
    files.close(&CloseOptions::default())?;
    assert!(!objects.exists(), "the parent clears");
    Ok(())
}

/// Each has connections of its own: no reply goes to another process, and no key is made twice.
fn forked_children_and_redis() -> Outcome {
    let server = Redis::start(&crossdock_servers::RedisOptions::new())?;
    let redis = RedisConnector::open(&RedisOptions::new("127.0.0.1", server.address().port()))?;
    let before = redis.put_bytes("before")?;
    let work = |child: usize| {
        (0..100).all(|round| {
            let object = format!("{child} {round} {}", "x".repeat(child * round));
            let done = redis.put_bytes(object.clone()).and_then(|key| redis.get_bytes(&key));
            done.is_ok_and(|found| found.as_deref() == Some(object.as_bytes()))
        }) && redis.get_bytes(&before).is_ok_and(|found| found.as_deref() == Some(&b"before"[..]))
    };
    let children: Vec<i32> = (0..16).map(|child| start_child(|| work(child))).collect();
    assert!(work(99), "the parent goes on meanwhile");
    assert!(children.into_iter().all(|child| end_of(child) == 0));
    assert_eq!(server.command(&["DBSIZE"])?.text(), (1 + 17 * 100).to_string(), "every put has its own key");
    Ok(())
}

/// Each child of a connector that is in use makes its own threads and connections, and drops neither its parent's nor its
/// own when it exits.
fn forked_children_and_s3() -> Outcome {
    let server = S3::start(&S3Options::new())?;
    let secret = server.dir().join("secret");
    std::fs::write(&secret, server.secret_key())?;
    let options = ObjectStoreOptions::new("s3://objects/forks")
        .option("endpoint", Reference::literal(&server.endpoint()))
        .option("access_key_id", Reference::literal(server.access_key()))
        .option("secret_access_key", Reference::new(format!("${{file:{}}}", secret.display()))?);
    let store = ObjectStoreConnector::open(&options.clear(true))?;
    let before = store.put_bytes("before")?;
    let work = |child: usize| {
        let done = (0..10).all(|round| {
            let object = format!("{child} {round} {}", "x".repeat(child * round));
            let done = store.put_bytes(object.clone()).and_then(|key| store.get_bytes(&key));
            done.is_ok_and(|found| found.as_deref() == Some(object.as_bytes()))
        });
        done && store.get_bytes(&before).is_ok_and(|found| found.as_deref() == Some(&b"before"[..]))
    };
    let children: Vec<i32> = (0..32)
        .map(|child| start_child(|| work(child) && (child % 2 == 0 || store.close(&CloseOptions::default()).is_ok())))
        .collect();
    assert!(work(99), "the parent goes on meanwhile");
    assert!(children.into_iter().all(|child| end_of(child) == 0));
    let stored = std::fs::read_dir(server.bucket_dir("objects").join("forks"))?.count();
    assert_eq!(stored, 1 + 33 * 10, "every put has its own key, and no child cleared");
    store.close(&CloseOptions::default())?;
    Ok(())
}
