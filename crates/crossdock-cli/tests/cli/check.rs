//! `crossdock check`

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::{Site, TIERS, finish};
use crate::config::PYTHON_ONLY;

/// The rows of the table, without its head, in words.
fn rows(out: &str) -> Vec<Vec<String>> {
    let table = out.lines().skip(2).take_while(|line| !line.is_empty());
    table
        .map(|line| line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect())
        .collect()
}

/// What stands below the table.
fn notes(out: &str) -> &str {
    out.split("\n\n").nth(1).unwrap_or_default()
}

fn is_time(cell: &str) -> bool {
    let [number, unit] = cell.split(' ').collect::<Vec<_>>()[..] else { return false };
    number.parse::<f64>().is_ok() && ["us", "ms", "s"].contains(&unit)
}

#[test]
fn what_is_active_is_tested() {
    let site = Site::with(TIERS);
    let done = site.run(&["check"]).ended(0).quiet();
    assert!(done.out().starts_with("# from crossdock.toml\nCONNECTOR  STATE    SURVIVES  PUT "), "{done:?}");
    assert!(done.out().lines().all(|line| line.trim_end() == line));
    let found = rows(done.out());
    assert_eq!(found.len(), 3);
    for (row, name) in found.iter().zip(["small", "large"]) {
        assert_eq!(row[..3], [name, "ok", "host"]);
        assert!(row.len() == 6 && row[3..].iter().all(|cell| is_time(cell)), "{row:?}");
    }
    assert_eq!(found[2], ["far", "dormant"]);
    assert_eq!(notes(done.out()), "far  dormant: host \"login0\" does not match \"nid\\\\d+\"\n");
    assert_eq!((site.names("small"), site.path("far").exists()), (vec![], false));
    let mut there = site.command(&["check"]);
    let done = finish(there.env("CROSSDOCK_HOSTNAME", "nid1").stdout(Stdio::piped()), b"").ended(0);
    assert_eq!((rows(done.out())[2][1].as_str(), notes(done.out())), ("ok", ""));
}

#[test]
fn json_has_the_figures() {
    let mut found = Site::with(TIERS).run(&["check", "--format", "json"]).ended(0).quiet().json();
    for place in [0, 1] {
        let connector = found["connectors"][place].as_object_mut().unwrap();
        for call in ["put_seconds", "get_seconds", "evict_seconds"] {
            assert!(connector.remove(call).and_then(|time| time.as_f64()).is_some_and(|time| time > 0.0));
        }
    }
    let works = |name: &str| {
        json!({"name": name, "state": "active", "ok": true, "error": null, "server": null, "durability": "host",
               "warnings": []})
    };
    let far = json!({"name": "far", "state": "dormant", "ok": true, "error": null,
                     "dormant": r#"host "login0" does not match "nid\\d+""#});
    assert_eq!(found, json!({"connectors": [works("small"), works("large"), far]}));
}

#[test]
fn what_is_out_of_order_hides_nothing() {
    let site = Site::with(
        "[connectors.bad]\ntype = \"file\"\ndir = \"o/x\"\n[connectors.ok]\ntype = \"local\"\n\
         [connectors.gone]\ntype = \"redis\"\nhostname = \"127.0.0.1\"\nport = 1\nretries = 0\n[connectors.also-ok]\ntype = \"file\"\ndir = \"p\"",
    );
    site.write("o", "a regular file");
    let done = site.run(&["check"]).ended(3).quiet();
    let states: Vec<String> = rows(done.out()).iter().map(|row| row[..2].join(" ")).collect();
    assert_eq!(states, ["bad FAILS", "ok ok", "gone FAILS", "also-ok ok"]);
    let notes: Vec<&str> = notes(done.out()).lines().collect();
    assert_eq!(notes.len(), 2, "{done:?}");
    assert!(notes[0].starts_with("bad   cannot ") && notes[0].contains("o/x"), "{done:?}");
    assert!(notes[1].starts_with("gone  redis at ") && notes[1].contains("check that it runs"), "{done:?}");
    let found = site.run(&["check", "--format", "json"]).ended(3).json();
    assert_eq!((&found["connectors"][0]["ok"], &found["connectors"][1]["ok"]), (&false.into(), &true.into()));
    assert_eq!(found["connectors"][0].get("put_seconds"), None);
    assert_eq!(found["connectors"][1]["durability"], Value::Null);
}

#[test]
fn classes_that_only_python_opens_are_named() {
    let site = Site::new();
    site.write_config("python.json", PYTHON_ONLY);
    let found = site.run(&["check", "--config", "python.json"]).ended(2);
    assert_eq!(rows(found.out())[0], ["mine", "FAILS"]);
    assert_eq!(rows(found.out())[1][..2], ["disk", "ok"]);
    assert!(notes(found.out()).contains("lab.connectors.TapeConnector"), "{found:?}");
    let found = site.run(&["check", "--config", "python.json", "--format", "json"]).ended(2).json();
    let states = [0, 1].map(|place| found["connectors"][place]["state"].clone());
    assert_eq!(states, ["unknown", "active"]);
    // The others work.
    let done = site.run_with(&["put", "-", "--config", "python.json"], b"x");
    done.failed(3).says(&["\"mine\"", "open it from Python"]);
}

#[test]
fn where_nobody_is_active_that_is_said() {
    let site = Site::with("[connectors.a]\ntype = \"local\"\npolicy = { host_pattern = \"elsewhere\" }");
    assert!(
        site.run(&["check"])
            .ended(0)
            .quiet()
            .out()
            .ends_with("\nNo connector is active on this host: every put fails.\n")
    );
    assert!(Site::with("").run(&["check"]).ended(0).quiet().out().ends_with("The config has no connectors.\n"));
}

#[test]
fn on_a_terminal_long_sentences_are_broken() {
    let site = Site::with(&format!("[connectors.bad]\ntype = \"file\"\ndir = \"o/{}\"", "long/".repeat(12)));
    site.write("o", "a regular file");
    let long = site.run(&["check"]).ended(3);
    assert!(long.out().lines().any(|line| line.chars().count() > 90), "{long:?}");
    // util-linux: a terminal, and what is printed there.
    let inside = "stty cols 60 && exec \"$crossdock\" check";
    let mut script = Command::new("script");
    script.args(["-qefc", inside, "/dev/null"]).env_clear().current_dir(site.root());
    script.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("CROSSDOCK_CONFIG", "crossdock.toml");
    script.env("crossdock", env!("CARGO_BIN_EXE_crossdock"));
    let shown = finish(script.stdout(Stdio::piped()), b"").ended(3);
    let note: Vec<&str> = shown.out().lines().skip_while(|line| !line.starts_with("bad  cannot")).collect();
    assert!(note.len() > 1 && note[1].starts_with("     "), "{shown:?}");
    // The directory is one word.
    assert!(note.iter().all(|line| line.chars().count() <= 60 || line.contains("/long/")), "{shown:?}");
}
