//! `crossdock config`, and configs that are wrong.

use std::process::Stdio;

use serde_json::json;

use crate::common::{Site, TIERS, finish};

const PYTHON_ONLY: &str = r#"{
  "mine": ["lab.connectors.TapeConnector", {"drive": 3}, {"priority": 1}],
  "disk": ["proxystore.connectors.file.FileConnector", {"store_dir": "objects"}, {}]
}"#;

#[test]
fn check_tests_what_is_active() {
    let site = Site::with(TIERS);
    let done = site.run(&["config", "check"]).ended(0).quiet();
    let far = r#"far    dormant: host "login0" does not match "nid\\d+""#;
    assert_eq!(done.out(), format!("# from crossdock.toml\nsmall  ok\nlarge  ok\n{far}\n"));
    assert_eq!((site.names("small"), site.path("far").exists()), (vec![], false));
    let done = site.run(&["config", "check", "--format", "json"]).ended(0).quiet();
    assert_eq!(
        done.json(),
        json!({"connectors": [
            {"name": "small", "state": "active", "ok": true, "error": null},
            {"name": "large", "state": "active", "ok": true, "error": null},
            {"name": "far", "state": "dormant", "ok": true, "error": null,
             "dormant": r#"host "login0" does not match "nid\\d+""#},
        ]})
    );
    let mut there = site.command(&["config", "check"]);
    let done = finish(there.env("CROSSDOCK_HOSTNAME", "nid1").stdout(Stdio::piped()), b"").ended(0);
    assert!(done.out().ends_with("far    ok\n"), "{done:?}");
}

#[test]
fn the_long_check_says_what_each_connector_promises() {
    let config = "[connectors.disk]\ntype = \"file\"\ndir = \"disk\"\n[connectors.memory]\ntype = \"local\"\n\
                  [connectors.gone]\ntype = \"redis\"\nunix_socket = \"/no/such/socket\"\nretries = 0\n\
                  [connectors.far]\ntype = \"file\"\ndir = \"far\"\npolicy = { host_pattern = \"nid\\\\d+\" }\n";
    let site = Site::with(config);
    let done = site.run(&["check"]).ended(3).quiet();
    let words = |line: usize| done.lines()[line].split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(1), ["CONNECTOR", "STATE", "SURVIVES", "PUT", "GET", "EVICT", "SERVER"]);
    assert_eq!(words(2)[..3], ["disk", "ok", "host"]);
    assert_eq!(words(3)[..3], ["memory", "ok", "nothing"]);
    assert_eq!((words(4), words(5)), (vec!["gone".into(), "FAILS".into()], vec!["far".into(), "dormant".into()]));
    assert!(done.lines()[7].starts_with("gone: redis at /no/such/socket: "), "{done:?}");
    assert!(done.lines()[8].starts_with("far: dormant: host \"login0\""), "{done:?}");
    let found = site.run(&["check", "--format", "json"]).ended(3).json();
    assert_eq!(found["connectors"][0]["durability"], "host");
    assert!(found["connectors"][0]["put_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert_eq!((&found["connectors"][2]["ok"], &found["connectors"][3]["state"]), (&false.into(), &"dormant".into()));
}

#[test]
fn check_says_what_is_out_of_order() {
    let site =
        Site::with("[connectors.ok]\ntype = \"file\"\ndir = \"o\"\n[connectors.bad]\ntype = \"file\"\ndir = \"o/x\"");
    site.write("o", "a regular file");
    let found = site.run(&["config", "check"]).ended(3);
    assert_eq!(found.lines().len(), 3);
    assert!(found.out().contains("bad  cannot") && found.out().contains("o/x"), "{found:?}");
    let found = site.run(&["config", "check", "--format", "json"]).ended(3).json();
    assert_eq!(found["connectors"][1]["ok"], false);
}

#[test]
fn check_names_classes_that_only_python_opens() {
    let site = Site::new();
    site.write_config("python.json", PYTHON_ONLY);
    let found = site.run(&["config", "check", "--config", "python.json"]).ended(2);
    assert!(found.lines()[1].contains("lab.connectors.TapeConnector"), "{found:?}");
    assert_eq!(found.lines()[2], "disk  ok");
    let found = site.run(&["config", "check", "--config", "python.json", "--format", "json"]).ended(2).json();
    assert_eq!(
        (&found["connectors"][0]["state"], &found["connectors"][1]["state"]),
        (&"unknown".into(), &"active".into())
    );
    // The others work.
    let done = site.run_with(&["put", "-", "--config", "python.json"], b"x");
    done.failed(3).says(&["\"mine\"", "open it from Python"]);
}

#[test]
fn wrong_configs_are_named_with_their_line() {
    for (config, words) in [
        ("[connectors.a]\ntype = \"file\"\ndir = oops", &["crossdock.toml", "line 3", "TOML"][..]),
        ("\n[connectors.a]\ntype = \"fiel\"", &["crossdock.toml", "line 2", "\"fiel\"", "nearest known is \"file\""]),
        (
            "[connectors.a]\ntype = \"file\"\ndirr = \"x\"",
            &["line 3", "unknown field \"dirr\"", "nearest known is \"dir\""],
        ),
        ("[connectors.a]\ntype = \"file\"\ndir = \"x\"\npolicy = { priorty = 1 }", &["line 4", "\"priority\""]),
        ("[connectors.a]\ndir = \"x\"", &["line 1", "type is missing"]),
        ("[connectors.a]\ntype = \"file\"", &["line 1", "directory is missing"]),
        ("[connectors.a]\ntype = \"file\"\ndir = \"${oops}\"", &["line 3", "not a reference"]),
    ] {
        let site = Site::with(config);
        for call in [&["config", "check"][..], &["config", "show"], &["gc"], &["explain"], &["get", "a/x"]] {
            let refused = site.run(call).failed(2).says(words);
            assert_eq!(refused.out(), "");
        }
        let refused = site.run(&["config", "check", "--format", "json"]).ended(2);
        assert_eq!(refused.error()["kind"], "invalid_config");
    }
}

#[test]
fn the_config_comes_from_the_option_or_the_variable_or_is_embedded() {
    let site = Site::new();
    let done = site.run(&["config", "show"]).ended(0).quiet();
    assert!(done.out().starts_with("# from the embedded default\n[connectors.file]\n"), "{done:?}");
    site.write("named.toml", "[connectors.named]\ntype = \"local\"");
    site.write("crossdock.toml", "[connectors.variable]\ntype = \"local\"");
    assert_eq!(
        site.run(&["config", "show"]).ended(0).out(),
        "# from crossdock.toml\n[connectors.variable]\ntype = \"local\"\n"
    );
    assert_eq!(
        site.run(&["config", "show", "--config", "named.toml"]).ended(0).out(),
        "# from named.toml\n[connectors.named]\ntype = \"local\"\n"
    );
    let mut empty = site.command(&["config", "show"]);
    let done = finish(empty.env("CROSSDOCK_CONFIG", "").stdout(Stdio::piped()), b"").ended(0);
    assert!(done.out().contains("embedded"), "{done:?}");
    site.run(&["gc", "--config", "missing.toml"]).failed(2).says(&["missing.toml"]);
    let mut missing = site.command(&["gc"]);
    let refused = finish(missing.env("CROSSDOCK_CONFIG", "gone.toml").stdout(Stdio::piped()), b"");
    refused.failed(2).says(&["gone.toml", "CROSSDOCK_CONFIG"]);
}

#[test]
fn there_may_be_no_place_for_the_embedded_default() {
    let site = Site::new();
    let mut nowhere = site.command(&["gc"]);
    finish(nowhere.env_remove("CROSSDOCK_HOME").stdout(Stdio::piped()), b"").failed(2).says(&["CROSSDOCK_HOME"]);
}

#[test]
fn show_is_canonical() {
    let site = Site::new();
    site.write_config("config.json", PYTHON_ONLY);
    let done = site.run(&["config", "show", "--config", "config.json", "--format", "json"]).ended(0).quiet();
    assert_eq!(
        done.json(),
        json!({"connectors": {
            "mine": {"type": "lab.connectors.TapeConnector", "drive": 3, "policy": {"priority": 1}},
            "disk": {"type": "file", "dir": site.path("objects").display().to_string()},
        }})
    );
    let text = site.run(&["config", "show", "--config", "config.json"]).ended(0);
    site.write("shown.toml", &text.stdout);
    let again = site.run(&["config", "show", "--config", "shown.toml", "--format", "json"]).ended(0);
    assert_eq!(again.json(), done.json());
}

#[test]
fn every_form_converts_into_every_other() {
    let site = Site::with(TIERS);
    let shown = site.run(&["config", "show", "--format", "json"]).ended(0).json();
    for form in ["toml", "json", "crossdock", "proxystore"] {
        let written = site.run(&["config", "convert", "--to", form]).ended(0).quiet();
        let back = site.run_with(&["config", "convert", "-", "--to", "json"], &written.stdout).ended(0).quiet();
        assert_eq!(back.json(), shown, "{form}");
        let done = site.run(&["config", "convert", "--to", form, "-o", "out"]).ended(0).quiet();
        assert_eq!((done.out(), site.read("out")), ("", written.stdout));
        let back = site.run(&["config", "convert", "out", "--to", "json"]).ended(0).quiet();
        assert_eq!(back.json(), shown, "{form}");
    }
    let ours = site.run(&["config", "convert", "--to", "crossdock"]).ended(0).json();
    let theirs = site.run(&["config", "convert", "--to", "proxystore"]).ended(0).json();
    assert_eq!(ours["small"][0], "crossdock.connectors.file.FileConnector");
    assert_eq!(theirs["small"][0], "proxystore.connectors.file.FileConnector");
    assert_eq!(theirs["small"][1]["clear"], false);
}

#[test]
fn convert_says_what_it_leaves_out() {
    let site =
        Site::with("[connectors.a]\ntype = \"file\"\ndir = \"o\"\ndurability = \"host\"\npolicy = { fallback = true }");
    let done = site.run(&["config", "convert", "--to", "proxystore"]).ended(0);
    let said: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{done:?}");
    assert!(said.iter().all(|line| line.starts_with("crossdock: warning: a: ")), "{done:?}");
    assert!(done.json()["a"][2].get("fallback").is_none());
    let done = site.run(&["config", "convert", "--to", "proxystore", "--format", "json"]).ended(0);
    let warning: serde_json::Value = serde_json::from_str(done.stderr.lines().next().unwrap()).unwrap();
    assert!(warning["warning"]["message"].is_string());
    site.run(&["config", "convert", "--to", "crossdock"]).ended(0).quiet();
}

#[test]
fn convert_refuses_what_is_no_config() {
    let site = Site::new();
    site.run_with(&["config", "convert", "-", "--to", "toml"], b"{oops").failed(2).says(&["line 1", "standard input"]);
    site.run_with(&["config", "convert", "-", "--to", "toml"], b"\xff\xfe").failed(2).says(&["standard input"]);
    site.run_with(&["config", "convert", "-", "--to", "toml"], b"[connectors.a]\ntype = \"x\"").failed(2);
    site.run(&["config", "convert", "missing", "--to", "toml"]).failed(2).says(&["missing"]);
    site.run(&["config", "convert"]).ended(2);
    site.run(&["config", "convert", "--to", "toml", "-o", "no/such/dir"]).failed(3);
}

#[test]
fn the_schema_is_one() {
    let schema = Site::new().run(&["config", "schema"]).ended(0).quiet();
    assert!(schema.lines().len() > 10, "pretty");
    assert!(schema.json()["$schema"].as_str().unwrap().contains("json-schema.org"));
}

#[test]
fn secrets_stay_references() {
    let site = Site::with("[connectors.a]\ntype = \"file\"\ndir = \"${env:HIDDEN}/objects\"");
    let run = |arguments: &[&str], value: Option<&str>| {
        let mut command = site.command(arguments);
        if let Some(value) = value {
            command.env("HIDDEN", value);
        }
        finish(command.stdout(Stdio::piped()), b"object")
    };
    let canary = site.path("canary-7391").display().to_string();
    let canary = canary.as_str();
    for call in [
        &["config", "show"][..],
        &["config", "show", "--format", "json"],
        &["config", "convert", "--to", "toml"],
        &["config", "convert", "--to", "json"],
        &["config", "convert", "--to", "proxystore"],
        &["config", "convert", "--to", "crossdock"],
        &["config", "check"],
        &["explain"],
        &["put", "-"],
        &["gc"],
    ] {
        let done = run(call, Some(canary)).ended(0);
        assert!(!done.out().contains(canary) && !done.stderr.contains(canary), "{done:?}");
    }
    assert!(std::path::Path::new(canary).join("objects").exists());
    assert!(run(&["config", "show"], Some(canary)).out().contains("${env:HIDDEN}/objects"));
    run(&["put", "-"], None).failed(3).says(&["HIDDEN", "not set"]);
}
