//! `crossdock explain`

use serde_json::json;

use crate::common::{Site, TIERS};

#[test]
fn text_is_a_table() {
    let site = Site::with(TIERS);
    let done =
        site.run(&["explain", "--size", "3MB", "--subset-tag", "checkpoint", "--host", "login1"]).ended(0).quiet();
    assert_eq!(
        done.out(),
        "route: large (3.00 MB on host login1)\n\n\
         far    subset tags not allowed: [\"checkpoint\"], the policy lists none\n       \
                host \"login1\" does not match \"nid\\\\d+\"\n\
         small  too large: 3000000 bytes, the maximum is 10 bytes\n       \
                subset tags not allowed: [\"checkpoint\"], the policy lists none\n\
         large  accepts; if it cannot be used, the put fails\n"
    );
}

#[test]
fn json_is_the_explanation() {
    let site = Site::with(TIERS);
    let done = site.run(&["explain", "--size", "64 MiB", "--format", "json", "--host", "nid7"]).ended(0).quiet();
    assert_eq!(
        done.json(),
        json!({"route": "far", "verdicts": [
            {"connector": "far", "accepts": true, "reasons": []},
            {"connector": "small", "accepts": false, "reasons": [{
                "reason": "too_large", "size_bytes": 67_108_864, "max_size_bytes": 10,
                "message": "too large: 67108864 bytes, the maximum is 10 bytes"
            }]},
            {"connector": "large", "accepts": true, "reasons": []}
        ]})
    );
    assert!(done.out().starts_with(r#"{"route":"far","verdicts":[{"connector":"far","accepts":true,"reasons":[]}"#));
}

#[test]
fn no_route_is_a_no() {
    let site = Site::with(TIERS);
    let done = site.run(&["explain", "--subset-tag", "a", "--subset-tag", "b", "--format", "json"]).ended(1).quiet();
    assert_eq!(done.json()["route"], serde_json::Value::Null);
    let done = site.run(&["explain", "--subset-tag", "x"]).ended(1).quiet();
    assert!(done.out().starts_with("route: none ("), "{done:?}");
    let done = Site::with("").run(&["explain"]).ended(1).quiet();
    assert!(done.out().contains("no connectors"), "{done:?}");
}

#[test]
fn nothing_is_opened() {
    let site = Site::with(TIERS);
    site.run(&["explain", "--size", "0"]).ended(0);
    assert_eq!(site.names("."), ["crossdock.toml"]);
}

#[test]
fn sizes_that_are_none_are_refused() {
    let site = Site::new();
    for (size, word) in [("-1", "below 0"), ("3 XB", "units"), ("1.5", "whole number"), ("", "size")] {
        site.run(&["explain", "--size", size]).ended(2).says(&[word]);
    }
    site.run(&["explain", "--size", "18446744073709551615"]).ended(1);
}

#[test]
fn text_says_what_happens_when_the_route_is_out_of_order() {
    let site = Site::with(
        "[connectors.first]\ntype = \"file\"\ndir = \"crossdock.toml/x\"\npolicy = { fallback = true, priority = 1 }\n\
         [connectors.second]\ntype = \"file\"\ndir = \"o\"",
    );
    let done = site.run(&["explain"]).ended(0).quiet();
    assert!(done.out().contains("accepts; if it cannot be used, the object goes to second"), "{done:?}");
    let stored = site.run_with(&["put", "-"], b"x").ended(0);
    assert!(stored.out().starts_with("second/"), "{stored:?}");
    let why = "\"first\" could not take standard input: cannot ";
    assert!(stored.stderr.contains(why) && stored.stderr.contains("crossdock.toml/x"), "{stored:?}");
    // Of many files, the later ones skip it; that shows for each of them.
    let names: Vec<String> = (0..7).map(|n| format!("file-{n}")).collect();
    names.iter().for_each(|name| drop(site.write(name, "x")));
    let mut call = vec!["put".to_owned()];
    call.extend(names);
    let stored = site.run(&call).ended(0);
    assert_eq!(stored.stderr.matches("\"first\" could not take").count(), 7, "{stored:?}");
}
