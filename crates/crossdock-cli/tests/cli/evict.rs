//! `crossdock evict`

use serde_json::json;

use crate::common::Site;

#[test]
fn objects_are_gone_and_may_have_been_before() {
    let site = Site::new();
    let keys = [site.put(b"a"), site.put(b"b"), site.put(b"c")];
    let done = site.run(&["evict", &keys[0], &keys[0]]).ended(0).quiet();
    assert_eq!(done.out(), "");
    site.run_with(&["evict", "-"], format!("{}\n\n", keys[1]).as_bytes()).ended(0).quiet();
    assert_eq!(keys.each_ref().map(|key| site.exists(key)), [false, false, true]);
    let done = site.run(&["evict", &keys[2], "--format", "json"]).ended(0).quiet();
    assert_eq!(done.json_lines(), [json!({"key": keys[2], "evicted": true})]);
    assert_eq!(site.names("home/objects"), [""; 0]);
}

#[test]
fn a_key_that_is_none_stops_it_before_anything_is_gone() {
    let site = Site::new();
    let key = site.put(b"a");
    site.run_with(&["evict", &key, "-"], b"no key\n").failed(2);
    assert!(site.exists(&key));
}

#[test]
fn a_closed_pipe_does_not_stop_it() {
    let site = Site::new();
    let keys = [site.put(b"a"), site.put(b"b")];
    site.run_unread(&["evict", &keys[0], &keys[1], "--format", "json"]).ended(0).quiet();
    assert_eq!(keys.each_ref().map(|key| site.exists(key)), [false, false]);
}
