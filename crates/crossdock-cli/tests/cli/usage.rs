//! What holds for all commands: help, wrong calls, closed pipes, full disks.

use crate::common::Site;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["put"],
    &["get"],
    &["exists"],
    &["evict"],
    &["explain"],
    &["check"],
    &["gc"],
    &["config"],
    &["config", "check"],
    &["config", "show"],
    &["config", "convert"],
    &["config", "schema"],
    &["completions"],
];

#[test]
fn every_command_has_help_with_examples_and_exit_codes() {
    let site = Site::new();
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let help = site.run(&[command, &[flag][..]].concat()).ended(0).quiet();
            for word in ["Usage:", "crossdock", "Exit codes:", "--format", "--config"] {
                assert!(help.out().contains(word), "{word} in {}", help.out());
            }
            assert!(help.out().contains("xample"), "{}", help.out());
        }
    }
    let help = site.run(&["--help"]).ended(0);
    for variable in ["CROSSDOCK_CONFIG", "CROSSDOCK_HOME", "CROSSDOCK_HOSTNAME"] {
        assert!(help.out().contains(variable));
    }
}

#[test]
fn the_version_is_told() {
    let told = Site::new().run(&["--version"]).ended(0).quiet();
    assert_eq!(told.out(), format!("crossdock {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_calls_end_with_2() {
    let site = Site::new();
    for call in
        [&[][..], &["frobnicate"], &["put"], &["get"], &["get", "a", "b"], &["gc", "x"], &["--format", "xml", "gc"]]
    {
        assert_eq!(site.run(call).ended(2).out(), "");
    }
    let refused = site.run(&["frobnicate", "--format", "json"]).ended(2);
    assert_eq!(refused.error()["kind"], "usage");
    assert!(refused.error()["message"].as_str().unwrap().contains("frobnicate"));
    assert_eq!(site.run(&["--format=json", "put"]).ended(2).error()["kind"], "usage");
}

#[test]
fn completions_exist_for_every_shell() {
    let site = Site::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(site.run(&["completions", shell]).ended(0).quiet().out().contains("superset-tag"), "{shell}");
    }
    site.run(&["completions", "cobol"]).ended(2);
}

const SPEAKING: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["put", "--help"],
    &["explain"],
    &["explain", "--format", "json"],
    &["gc"],
    &["check"],
    &["config", "check"],
    &["config", "show"],
    &["config", "convert", "--to", "proxystore"],
    &["config", "schema"],
    &["completions", "bash"],
];

#[test]
fn a_closed_pipe_ends_quietly() {
    let site = Site::new();
    for call in SPEAKING {
        site.run_unread(call).ended(0).quiet();
    }
}

#[test]
fn a_full_disk_ends_with_3() {
    let site = Site::new();
    for call in SPEAKING {
        site.run_into(call, "/dev/full".as_ref()).ended(3).says(&["standard output", "No space"]);
    }
}

#[test]
fn a_full_disk_for_errors_leaves_the_exit_code() {
    let site = Site::new();
    site.put(b"makes the directory");
    assert_eq!(site.shell("$crossdock get file/x 2>/dev/full").ended(1).stderr, "");
    site.shell("$crossdock frobnicate 2>/dev/full").ended(2);
    site.shell("$crossdock put missing 2>&-").ended(2);
}
