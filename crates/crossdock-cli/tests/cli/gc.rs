//! `crossdock gc`

use serde_json::json;

use crate::common::Site;

/// Without its marker beside it, it is part of no object.
const LEFTOVER: &str = "home/objects/7c9e6679-7425-40de-944b-e07fc1f90ae7";

#[test]
fn leftovers_go_and_objects_stay() {
    let site = Site::new();
    let key = site.put(b"object");
    site.write(LEFTOVER, "half");
    site.write("home/objects/notes.txt", "foreign");
    let young = site.run(&["gc"]).ended(0).quiet();
    assert_eq!(young.out(), "removed 0 leftovers (0 bytes), left 1 that may still be in use\n");
    let planned = site.run(&["gc", "--min-age", "0", "--dry-run"]).ended(0).quiet();
    assert_eq!(planned.out(), "would remove 1 leftover (4 bytes), leave 0 that may still be in use\n");
    let done = site.run(&["gc", "--min-age", "0", "--format", "json"]).ended(0).quiet();
    assert_eq!(done.json(), json!({"removed": 1, "bytes": 4, "kept": 0}));
    assert!(!site.path(LEFTOVER).exists() && site.path("home/objects/notes.txt").exists());
    assert!(site.exists(&key));
}

#[test]
fn ages_have_units() {
    let site = Site::new();
    for age in ["30s", "10m", "1h", "2d", "0"] {
        site.run(&["gc", "--min-age", age]).ended(0);
    }
    site.run(&["gc", "--min-age", "soon"]).ended(2).says(&["\"soon\" is not a duration", "10m"]);
}

#[test]
fn a_broken_connector_is_named() {
    let site = Site::with("[connectors.broken]\ntype = \"file\"\ndir = \"crossdock.toml/objects\"");
    site.run(&["gc"]).failed(3).says(&["gc, connector \"broken\""]);
}

/// What a process had in shared memory that has ended: nobody has its file locked.
#[test]
fn leftovers_in_shared_memory_go_at_any_age() {
    let site = Site::with("[connectors.memory]\ntype = \"shm\"\ndir = \"memory\"");
    let key = site.put(b"object");
    assert_eq!(site.names("memory/.crossdock"), [""; 0], "a process that ends leaves nothing");
    site.write("memory/.crossdock/0000000000abc", "");
    site.write("memory/.crossdock/0000000000abc-7", "kept");
    assert!(site.exists(&key), "whoever attaches next collects it");
    assert_eq!(site.names("memory/.crossdock"), [""; 0]);
    site.write("memory/.crossdock/0000000000abc-8", "whose it was is not known");
    let young = site.run(&["gc"]).ended(0).quiet();
    assert_eq!(young.out(), "removed 0 leftovers (0 bytes), left 1 that may still be in use\n");
    let done = site.run(&["gc", "--min-age", "0", "--format", "json"]).ended(0).quiet();
    assert_eq!(done.json(), json!({"removed": 1, "bytes": 25, "kept": 0}));
    assert!(site.exists(&key));
}
