//! `crossdock get`

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Stdio;

use crate::common::{Site, TIERS};

const BIG: usize = 4_000_000;

#[test]
fn pipes_carry_keys() {
    let site = Site::new();
    site.write("a", "object");
    assert_eq!(site.shell("$crossdock put a | $crossdock get -").ended(0).quiet().out(), "object");
    let key = site.put(b"object");
    for input in [key.clone(), format!("{key}\n"), format!("  {key}\r\nanother line\n")] {
        assert_eq!(site.run_with(&["get", "-"], input.as_bytes()).ended(0).quiet().out(), "object");
    }
    for input in ["", "\n", "\nfile/x\n"] {
        site.run_with(&["get", "-"], input.as_bytes()).failed(2).says(&["no key on its first line"]);
    }
    site.run_with(&["get", "-"], &[b'x'; 100_000]).failed(2).says(&["too long"]);
}

#[test]
fn a_missing_object_is_said_in_one_sentence() {
    let site = Site::new();
    let key = site.put(b"object");
    site.run(&["evict", &key]).ended(0);
    let missing = site.run(&["get", &key]).failed(1).says(&["there is no object", &key]);
    assert_eq!(missing.out(), "");
    let error = site.run(&["get", &key, "--format", "json"]).ended(1).error();
    assert_eq!((&error["kind"], &error["connector"]), (&"not_found".into(), &"file".into()));
    assert_eq!((&error["operation"], &error["retryable"]), (&"get".into(), &false.into()));
}

#[test]
fn output_goes_to_a_file() {
    let site = Site::new();
    let key = site.put(b"object");
    let done = site.run(&["get", &key, "-o", "copy"]).ended(0).quiet();
    assert_eq!((done.out(), site.read("copy")), ("", b"object".to_vec()));
    let done = site.run(&["get", &key, "--output", "copy", "--format", "json"]).ended(0).quiet();
    assert_eq!(done.json(), serde_json::json!({"key": key, "size": 6, "file": "copy"}));
    assert_eq!(site.names("."), ["copy", "home"]);
}

#[test]
fn a_new_file_has_the_mode_of_any_other_and_an_old_one_keeps_its_own() {
    let site = Site::new();
    let key = site.put(b"object");
    let mode = |name: &str| fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o7777;
    site.shell(&format!("umask 027; exec $crossdock get {key} -o new")).ended(0);
    assert_eq!(mode("new"), 0o640);
    fs::set_permissions(site.write("old", "before"), fs::Permissions::from_mode(0o604)).unwrap();
    site.run(&["get", &key, "-o", "old"]).ended(0);
    assert_eq!((mode("old"), site.read("old")), (0o604, b"object".to_vec()));
}

#[test]
fn a_link_stays_and_a_device_is_written_to() {
    let site = Site::new();
    let key = site.put(b"object");
    site.write("target", "before");
    std::os::unix::fs::symlink("target", site.path("link")).unwrap();
    site.run(&["get", &key, "-o", "link"]).ended(0);
    assert_eq!(site.read("target"), b"object");
    assert!(fs::symlink_metadata(site.path("link")).unwrap().is_symlink());
    site.run(&["get", &key, "-o", "/dev/null"]).ended(0);
    site.run(&["get", &key, "-o", "/dev/full"]).failed(3).says(&["cannot write /dev/full", "No space"]);
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
}

#[test]
fn an_old_file_survives_whatever_fails() {
    let site = Site::new();
    site.write("copy", "before");
    let key = site.put(&[b'x'; BIG]);
    site.run(&["get", "file/no-such-object", "-o", "copy"]).failed(1);
    // The limit ends the command in the middle of the writing.
    let ended = site.shell(&format!("ulimit -f 1000; exec $crossdock get {key} -o copy"));
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert_eq!(site.read("copy"), b"before");
    assert_eq!(site.names("."), ["copy", "home"]);
    site.run(&["get", &key, "-o", "no/such/dir"]).failed(3).says(&["cannot write no/such/dir"]);
    site.run(&["get", &key, "-o", "copy/below"]).failed(3);
    site.run(&["get", &key, "-o", "."]).failed(3).says(&["directory"]);
}

#[test]
fn damaged_objects_are_not_handed_out() {
    let site = Site::new();
    site.write("copy", "before");
    let (flipped, cut) = (site.put(b"some object"), site.put(b"some object"));
    let stored = |key: &str| format!("home/objects/{}", &key["file/".len()..][..36]);
    site.write(&stored(&flipped), "same object");
    site.write(&stored(&cut), "some obj");
    for key in [&flipped, &cut] {
        assert_eq!(site.run(&["get", key]).failed(3).out(), "");
        site.run(&["get", key, "-o", "copy"]).failed(3);
        assert_eq!(site.run(&["get", key, "--format", "json"]).ended(3).error()["kind"], "corrupt");
    }
    assert_eq!(site.read("copy"), b"before");
}

#[test]
fn a_reader_may_stop_reading() {
    let site = Site::new();
    let key = site.put(&[b'\n'; BIG]);
    site.run_unread(&["get", &key]).ended(0).quiet();
    let mut child = site.command(&["get", &key]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn a_full_disk_is_an_error() {
    let site = Site::new();
    for object in [&b"small"[..], &[b'x'; BIG]] {
        site.run_into(&["get", &site.put(object)], "/dev/full".as_ref()).failed(3).says(&["standard output"]);
    }
}

#[test]
fn a_dormant_connector_is_said_to_be_dormant() {
    let site = Site::with(TIERS);
    let there = site.command(&["put", "-"]).env("CROSSDOCK_HOSTNAME", "nid0042").stdin(Stdio::null()).output().unwrap();
    let key = String::from_utf8(there.stdout).unwrap().trim_end().to_owned();
    assert!(key.starts_with("far/"), "{key}");
    let here = site.command(&["get", &key]).env("CROSSDOCK_HOSTNAME", "login1").output().unwrap();
    assert_eq!(here.status.code(), Some(3));
    let said = String::from_utf8(here.stderr).unwrap();
    assert!(said.contains("dormant on this host") && said.contains("login1") && said.contains("nid"), "{said}");
}
