//! `crossdock put`

use std::io::Write;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::common::{Site, TIERS};

/// One connector that works, for up to 10 bytes, and one that cannot: its directory is below a regular file.
const HALF_BROKEN: &str = r#"
[connectors.works]
type = "file"
dir = "objects"
policy = { max_size_bytes = 10, priority = 1 }
[connectors.broken]
type = "file"
dir = "crossdock.toml/objects"
"#;

#[test]
fn keys_come_in_the_order_of_the_files() {
    let site = Site::new();
    site.write("a", "first");
    site.write("b", "second");
    let done = site.run(&["put", "a", "b", "a"]).ended(0).quiet();
    let keys = done.lines();
    assert_eq!(keys.len(), 3);
    assert_ne!(keys[0], keys[2], "each put makes an object of its own");
    for (key, object) in keys.iter().zip(["first", "second", "first"]) {
        assert_eq!(site.run(&["get", key]).ended(0).out(), object);
    }
}

#[test]
fn standard_input_is_a_dash_also_among_files() {
    let site = Site::new();
    site.write("a", "file");
    let done = site.run_with(&["put", "a", "-"], b"piped\0\xff").ended(0).quiet();
    assert_eq!(site.run(&["get", done.lines()[1]]).stdout, b"piped\0\xff");
    site.run_with(&["put", "-", "a", "-"], b"x").failed(2).says(&["- is given twice"]);
}

#[test]
fn empty_and_large_objects_come_back() {
    let site = Site::new();
    for size in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000] {
        let object: Vec<u8> = (0..size).map(|n| (n * 7 / 3) as u8).collect();
        site.write("file", &object);
        let key = site.run(&["put", "file"]).ended(0).out().trim_end().to_owned();
        assert_eq!(site.run(&["get", &key]).ended(0).stdout, object, "{size}");
        assert_eq!(site.run(&["get", &site.put(&object)]).ended(0).stdout, object, "{size}");
    }
}

#[test]
fn json_has_a_line_for_each_file() {
    let site = Site::with(TIERS);
    site.write("a", "tiny");
    let done = site.run_with(&["put", "a", "-", "--format", "json"], b"more than ten").ended(0).quiet();
    let lines = done.json_lines();
    let shown = |line: &serde_json::Value| {
        let key = line["key"].as_str().unwrap();
        assert!(site.exists(key));
        (line["connector"].to_string(), line["size"].to_string(), line["file"].to_string())
    };
    assert_eq!(shown(&lines[0]), (r#""small""#.into(), "4".into(), r#""a""#.into()));
    assert_eq!(shown(&lines[1]), (r#""large""#.into(), "13".into(), r#""-""#.into()));
    assert_eq!(lines[0].as_object().unwrap().len(), 4);
}

#[test]
fn tags_choose_the_route_and_commas_split_nothing() {
    let site = Site::with(TIERS);
    for tags in [&["--subset-tag", "checkpoint"][..], &["--subset-tag", "a,b", "--subset-tag=checkpoint"]] {
        let done = site.run_with(&[&["put", "-"], tags].concat(), b"tiny").ended(0);
        assert!(done.out().starts_with("large/"), "{done:?}");
    }
    site.run_with(&["put", "-", "--subset-tag", "a"], b"tiny").failed(1).says(&["not allowed: [\"a\"]"]);
    let done = site.run_with(&["put", "-", "--superset-tag", "any"], b"tiny").ended(0);
    assert!(done.out().starts_with("small/"), "{done:?}");
}

#[test]
fn a_durability_is_reached_or_refused() {
    let site = Site::new();
    for level in ["process", "host"] {
        site.run_with(&["put", "-", "--durability", level], b"x").ended(0).quiet();
    }
    let refused = site.run_with(&["put", "-", "--durability", "backend", "--format", "json"], b"x").ended(2);
    assert_eq!(refused.error()["kind"], "unsupported");
    site.run_with(&["put", "-", "--durability", "forever"], b"x").ended(2);
}

#[test]
fn nothing_is_stored_where_a_file_cannot_be() {
    let site = Site::new();
    site.write("a", "fine");
    std::fs::create_dir(site.path("dir")).unwrap();
    site.run(&["put", "a", "missing"]).failed(2).says(&["missing", "No such file"]);
    site.run(&["put", "a", "a/b"]).failed(2).says(&["a/b"]);
    site.run(&["put", "a", "dir"]).failed(2).says(&["dir is a directory", "xargs"]);
    site.run(&["put", "a", "/dev/null"]).failed(2).says(&["not a regular file", "put -"]);
    site.shell("mkfifo fifo; exec $crossdock put a fifo").failed(2).says(&["fifo is not a regular file"]);
    site.run(&["put", "a", ""]).ended(2);
    let missing = site.run(&["put", "a", "missing", "--format", "json"]).ended(2);
    assert_eq!(missing.error()["kind"], "input");
    assert_eq!(site.names("home"), [""; 0]);
}

#[test]
fn nothing_is_stored_where_one_file_has_no_route() {
    let site = Site::with("[connectors.small]\ntype = \"file\"\ndir = \"o\"\npolicy = { max_size_bytes = 3 }");
    site.write("a", "fit");
    site.write("b", "does not");
    let refused = site.run(&["put", "a", "b"]).failed(1);
    assert_eq!(refused.out(), "");
    refused.says(&["b (8 bytes)", "small: too large: 8 bytes, the maximum is 3"]);
    site.run_with(&["put", "a", "-"], b"does not").failed(1).says(&["- (8 bytes)"]);
    assert_eq!(site.run(&["put", "a", "b", "--format=json"]).ended(1).error()["kind"], "no_route");
    assert_eq!(site.names("o"), [""; 0]);
    let site = Site::with("");
    site.run_with(&["put", "-"], b"x").failed(1).says(&["no connectors"]);
}

#[test]
fn printed_keys_are_stored_though_a_later_file_fails() {
    let site = Site::with(HALF_BROKEN);
    site.write("a", "tiny");
    site.write("b", "more than ten bytes");
    let failed = site.run(&["put", "a", "b", "a"]).failed(3);
    assert_eq!(failed.lines().len(), 1);
    assert!(site.exists(failed.lines()[0]));
    failed.says(&["put, connector \"broken\"", "crossdock.toml/objects", "this was b"]);
    let failed = site.run(&["--format", "json", "put", "b"]).ended(3);
    let error = failed.error();
    assert_eq!((&error["kind"], &error["connector"]), (&"unavailable".into(), &"broken".into()));
    assert_eq!((&error["operation"], &error["retryable"]), (&"put".into(), &false.into()));
}

#[test]
fn what_does_not_fit_in_memory_is_refused() {
    let site = Site::new();
    std::fs::File::create(site.path("huge")).unwrap().set_len(1 << 40).unwrap();
    for call in ["put huge", "put - < huge"] {
        let refused = site.shell(&format!("ulimit -v 200000; exec $crossdock {call}"));
        refused.failed(2).says(&["does not fit in memory"]);
    }
    assert_eq!(site.names("home/objects"), [""; 0]);
}

#[test]
fn the_memory_of_the_command_is_no_place_for_an_object() {
    for class in ["local", "proxystore.connectors.local.LocalConnector"] {
        let site = Site::with(&format!("[connectors.memory]\ntype = \"{class}\""));
        let refused = site.run_with(&["put", "-"], b"x").failed(2).says(&["\"memory\"", "memory of one process"]);
        assert_eq!(refused.out(), "");
    }
    let site =
        Site::with("[connectors.outer]\ntype = \"multi\"\n[connectors.outer.connectors.memory]\ntype = \"local\"");
    let refused = site.run_with(&["put", "-"], b"x").failed(2).says(&["\"outer\"", "memory of one process"]);
    assert_eq!(refused.out(), "");
    let nested =
        "[connectors.outer]\ntype = \"multi\"\n[connectors.outer.connectors.disk]\ntype = \"file\"\ndir = \"o\"";
    let site = Site::with(nested);
    let key = site.put(b"object");
    assert!(key.starts_with("outer/disk/"), "{key}");
    assert_eq!(site.run(&["get", &key]).ended(0).out(), "object");
}

#[test]
fn an_object_whose_key_cannot_be_printed_is_removed_again() {
    let site = Site::new();
    site.write("a", "object");
    site.run_into(&["put", "a"], "/dev/full".as_ref()).failed(3).says(&["standard output", "not stored"]);
    site.run_unread(&["put", "a", "a"]).failed(3).says(&["Broken pipe", "not stored"]);
    assert_eq!(site.names("home/objects"), [""; 0]);
}

#[test]
fn no_progress_is_shown_in_a_pipe() {
    let site = Site::new();
    let mut command = site.command(&["put", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(1300));
    child.stdin.take().unwrap().write_all(b"late").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"");
}
