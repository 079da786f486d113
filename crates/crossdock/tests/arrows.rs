//! Who may import whom: each module knows its neighbours only downwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A module of the crate and the modules that it may import, as ARCHITECTURE.md draws them.
const ARROWS: [(&str, &[&str]); 22] = [
    ("key", &[]),
    ("pattern", &[]),
    ("hostname", &[]),
    ("options", &[]),
    ("error", &["key"]),
    ("interrupt", &["error"]),
    ("deadline", &["error", "interrupt"]),
    ("posix", &[]),
    ("process", &["key"]),
    ("policy", &["error", "options", "pattern"]),
    ("health", &[]),
    ("router", &["health", "policy"]),
    ("dispatch", &["error", "health", "hostname", "options", "policy", "router"]),
    ("config", &["error", "policy"]),
    ("connector", &["config", "error", "interrupt", "key", "options"]),
    ("usage", &["error", "interrupt", "key", "posix"]),
    ("integrity", &["error", "key", "options"]),
    ("memory", &["error"]),
    (
        "connectors",
        &[
            "config",
            "connector",
            "deadline",
            "error",
            "integrity",
            "interrupt",
            "key",
            "memory",
            "options",
            "posix",
            "process",
            "usage",
        ],
    ),
    (
        "multi",
        &[
            "config",
            "connector",
            "dispatch",
            "error",
            "health",
            "hostname",
            "interrupt",
            "key",
            "options",
            "policy",
            "router",
        ],
    ),
    ("registry", &["config", "connector", "connectors", "error", "hostname", "multi", "policy"]),
    ("testing", &["config", "connector", "error", "key", "options"]),
];

#[test]
fn modules_import_downwards_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for (file, text) in files(&source) {
        let module = file.split(['/', '.']).next().unwrap_or_default().to_owned();
        if module == "lib" {
            continue;
        }
        let (_, allowed) = ARROWS.iter().find(|(name, _)| *name == module).expect("the module has its arrows");
        for imported in imports(&text) {
            assert!(!imported.starts_with(char::is_uppercase), "{file} takes crate::{imported} past its module");
            let fine = imported == module || allowed.contains(&imported.as_str());
            assert!(fine, "{file} imports crate::{imported}, which is not below it");
        }
        seen.insert(module);
    }
    assert_eq!(seen.len(), ARROWS.len(), "every module of the table exists");
}

#[test]
fn connectors_never_import_each_other() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/connectors");
    for (file, text) in files(&source) {
        if file != "mod.rs" {
            assert!(!text.contains("crate::connectors"), "{file} imports another connector");
        }
    }
}

#[test]
fn the_table_has_no_circles() {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    while done.len() < ARROWS.len() {
        let next =
            ARROWS.iter().find(|(name, below)| !done.contains(name) && below.iter().all(|one| done.contains(one)));
        done.insert(next.expect("no circle is left").0);
    }
}

/// The modules behind `crate::` in what is no test and no comment.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split("crate::").skip(1).map(first_word)).filter(|word| !word.is_empty()).collect()
}

fn first_word(text: &str) -> String {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // Macros are no modules.
    if text[word.len()..].starts_with('!') { String::new() } else { word }
}

fn files(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}
