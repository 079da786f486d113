//! `crossdock exists`

use serde_json::json;

use crate::common::Site;

#[test]
fn each_key_gets_an_answer() {
    let site = Site::new();
    let (here, gone) = (site.put(b"a"), site.put(b"b"));
    assert_eq!(site.run(&["exists", &here, &gone]).ended(0).quiet().out(), "true\ntrue\n");
    site.run(&["evict", &gone]).ended(0);
    assert_eq!(site.run(&["exists", &here, &gone, &here]).ended(1).quiet().out(), "true\nfalse\ntrue\n");
    let lines = site.run(&["exists", &here, &gone, "--format", "json"]).ended(1).json_lines();
    assert_eq!(lines, [json!({"key": here, "exists": true}), json!({"key": gone, "exists": false})]);
}

#[test]
fn keys_come_as_lines_too() {
    let site = Site::new();
    let key = site.put(b"a");
    let input = format!("\n{key}\r\n\n  {key}");
    assert_eq!(site.run_with(&["exists", "-"], input.as_bytes()).ended(0).out(), "true\ntrue\n");
    site.run_with(&["exists", "-"], b"\n").failed(2).says(&["has no keys"]);
    let refused = site.run_with(&["exists", &key, "-"], b"no key\n").failed(2);
    assert_eq!(refused.out(), "");
    site.run_with(&["exists", "-"], b"file/\xff\n").failed(2);
}

#[test]
fn the_exit_code_counts_though_nobody_reads() {
    let site = Site::new();
    let key = site.put(b"a");
    site.run_unread(&["exists", &key, &key]).ended(0).quiet();
    site.run_unread(&["exists", &key, "file/gone"]).ended(1).quiet();
    site.run_into(&["exists", &key], "/dev/full".as_ref()).failed(3);
}

#[test]
fn what_cannot_be_reached_is_not_missing() {
    let site = Site::with("[connectors.broken]\ntype = \"file\"\ndir = \"crossdock.toml/objects\"");
    let failed = site.run(&["exists", "broken/x"]).failed(3).says(&["exists, connector \"broken\""]);
    assert_eq!(failed.out(), "");
}
