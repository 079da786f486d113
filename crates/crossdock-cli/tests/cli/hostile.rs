//! Keys and names that come from elsewhere.

use crate::common::Site;

#[test]
fn keys_lead_nowhere_but_to_objects() {
    let site = Site::new();
    site.put(b"object");
    site.write("home/secret", "secret");
    for key in
        ["file/../secret", "file/..%2Fsecret", "file/%2Fetc%2Fpasswd", "file/.", "file/a%00b", "file/file/secret"]
    {
        for command in [&["get"][..], &["exists"], &["evict"]] {
            let refused = site.run(&[command, &[key]].concat()).failed(2);
            assert_eq!(refused.out(), "", "{key}");
        }
        assert_eq!(site.run(&["get", key, "--format", "json"]).ended(2).error()["kind"], "invalid_key", "{key}");
    }
    assert_eq!(site.read("home/secret"), b"secret");
}

#[test]
fn a_key_of_another_config_is_refused() {
    let site = Site::new();
    site.run(&["get", "redis/x"]).failed(2).says(&["\"redis\"", "does not exist in this config", "[\"file\"]"]);
    let refused = site.run(&["evict", "redis/x", "--format", "json"]).ended(2);
    assert_eq!(refused.error()["kind"], "unknown_connector");
}

#[test]
fn what_is_no_key_is_refused() {
    let site = Site::new();
    for key in ["", " ", "x", "/", "file/", "file/x:y", "file/x:1:zz", "file/%zz", &"a/".repeat(40)] {
        site.run(&["get", key]).failed(2).says(&["is not a key"]);
    }
}

#[test]
fn errors_stay_on_one_line_and_leave_the_terminal_alone() {
    let site = Site::new();
    let evil = "\x1b[2J\r\nfake: \u{202e}line\u{7f}";
    let calls: [&[&str]; 5] = [
        &["get", evil],
        &["get", &format!("file/{evil}")],
        &["put", evil],
        &["put", "--subset-tag", evil, "crossdock.json"],
        &["--config", evil, "gc"],
    ];
    site.write("crossdock.json", "{}");
    for call in calls {
        let refused = site.run(call);
        let code = refused.code.unwrap();
        assert!(matches!(code, 1 | 2), "{refused:?}");
        let refused = refused.failed(code);
        let dangerous = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!refused.stderr.contains(dangerous), "{refused:?}");
    }
}

#[test]
fn names_in_a_config_leave_the_terminal_alone() {
    let config = "[connectors.\"a\\u001b[2J\\nb\"]\ntype = \"file\"\ndir = \"o\"";
    let site = Site::with(config);
    for call in [&["explain"][..], &["config", "check"], &["config", "show"]] {
        let done = site.run(call).ended(0).quiet();
        assert!(!done.out().contains('\x1b'), "{done:?}");
    }
    let key = site.put(b"x");
    assert!(key.starts_with("a%1B%5B2J%0Ab/"), "{key}");
    assert_eq!(site.run(&["get", &key]).ended(0).out(), "x");
}
