//! What a reference stands for never shows: not in configs, not in debug forms, not in errors.

use std::fs;

use crossdock::config::{Config, Format};
use crossdock::{CloseOptions, Connector, ConnectorExt, Error, Flavor, GcOptions, Hostname, PutOptions, Registry};

use super::Hazard;
use crate::rng::Rng;
use crate::run::{Outcome, Run};

pub(super) const HAZARD: Hazard = Hazard {
    name: "secrets",
    looked_for: "values of references in any text",
    small: 500,
    full: 10_000,
    needs: &[],
    run,
};

pub(super) const CANARIES: u64 = 4;

pub(super) fn canary(seed: u64, index: u64) -> String {
    format!("canary{:016x}", Rng::fork(seed, index).next())
}

pub(super) fn variable(index: u64) -> String {
    format!("CROSSDOCK_TORTURE_CANARY_{index}")
}

/// The variables that the process of this hazard is started with.
pub(crate) fn environment(seed: u64) -> impl Iterator<Item = (String, String)> {
    (0..CANARIES).map(move |index| (variable(index), canary(seed, index)))
}

fn run(run: &mut Run) -> Outcome {
    let secrets: Vec<String> = (0..2 * CANARIES).map(|index| canary(run.seed, index)).collect();
    for index in CANARIES..2 * CANARIES {
        fs::write(run.path(format!("secret-{index}")), &secrets[index as usize])?;
    }
    let registry = Registry::builtin();
    let mut texts = 0;
    for index in 0..run.count {
        let mut rng = run.rng(index);
        let source = some_config(&mut rng, &run.path("").display().to_string());
        for (place, text) in everything_said(&registry, &source, &mut rng) {
            texts += 1;
            let told = secrets.iter().any(|secret| text.contains(&**secret));
            run.check(!told, || format!("config {index}, {place}: {text:.400}"));
        }
        run.did(1);
    }
    run.note(format_args!("{texts} texts looked through"));
    Ok(())
}

/// A reference, alone or within text, to something that is there or not, below the directory of this hazard.
fn some_reference(rng: &mut Rng, base: &str) -> String {
    let index = rng.next() % CANARIES;
    let (name, file) = (variable(index), format!("secret-{}", CANARIES + index));
    match rng.below(9) {
        0 => format!("{base}/dirs/${{env:{name}}}"),
        1 => format!("{base}/dirs/${{file:{file}}}"),
        2 => format!("${{env:{name}}}"),
        3 => format!("${{file:{file}}}/x"),
        // A file where a directory is due.
        4 => format!("{base}/{file}/${{env:{name}}}"),
        5 => format!("{base}/{file}/${{env:{name}}}/x"),
        // Longer than a name may be.
        6 => format!("{base}/dirs/{}${{env:{name}}}", "long".repeat(64)),
        7 => format!("{base}/dirs/${{env:{name}}}/${{env:NOT_SET_AT_ALL}}"),
        _ => format!("{base}/dirs/${{env:{name}}}/${{file:missing}}"),
    }
}

fn some_config(rng: &mut Rng, base: &str) -> String {
    let (first, second) = (some_reference(rng, base), some_reference(rng, base));
    let mut text = match rng.below(3) {
        0 => format!(
            "[connectors.a]\ntype = \"file\"\ndir = '{first}'\n[connectors.b]\ntype = \"file\"\ndir = '{second}'\n\
             policy = {{ fallback = true, priority = 3 }}\n"
        ),
        1 => format!(
            r#"{{"a": ["proxystore.connectors.file.FileConnector", {{"store_dir": "{first}"}}, {{"max_size_bytes": 5}}]}}"#
        ),
        _ => format!(
            r#"{{"connectors": {{"m": {{"type": "multi", "connectors": {{"a": {{"type": "file", "dir": "{second}"}}}}}}}}}}"#
        ),
    };
    if rng.one_in(4) {
        // Behind the paths' common beginning: whatever a damaged one names is still below the directory.
        let begins: Vec<usize> = text.match_indices(base).map(|(at, _)| at + base.len() + 1).collect();
        let Some(from) = begins.last().copied() else { return text };
        let at =
            (from..from + rng.below(text.len() - from)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(from);
        let damage = rng.pick(&["$", "{", "}", ":", "\"", "\\", "x"]);
        text.insert_str(at, damage);
    }
    text
}

/// Every text that comes out of loading, using and writing this config.
pub(super) fn everything_said(registry: &Registry, source: &str, rng: &mut Rng) -> Vec<(&'static str, String)> {
    let mut said: Vec<(&str, String)> = Vec::new();
    let config = match Config::from_text(source) {
        Ok(config) => config,
        Err(error) => {
            tell(&mut said, "the error of parsing", &error);
            return said;
        }
    };
    said.push(("a config's debug form", format!("{config:?}")));
    let multi = match registry.connect_as(&config, Hostname::Fixed("here".to_owned())) {
        Ok(multi) => multi,
        Err(error) => {
            tell(&mut said, "the error of loading", &error);
            return said;
        }
    };
    said.push(("a connector's debug form, not opened", format!("{multi:?}")));
    match multi.put("object", &PutOptions::new()) {
        Ok(key) => {
            said.push(("a key", format!("{key} {key:?}")));
            drop(multi.evict(&key));
        }
        Err(error) => tell(&mut said, "the error of a put", &error),
    }
    for (name, checked) in multi.check_each() {
        said.push(("a name", name.to_string()));
        checked.map(drop).unwrap_or_else(|error| tell(&mut said, "the error of a check", &error));
    }
    multi.gc(&GcOptions::default()).map_or_else(|error| tell(&mut said, "the error of gc", &error), drop);
    let hostile = crossdock::ObjectKey::bare(*rng.pick(&["..", "a/b", "x", "y"]));
    for name in multi.connector_names().collect::<Vec<_>>() {
        let key = crossdock::MultiKey::new(name, hostile.clone());
        multi.get(&key).map_or_else(|error| tell(&mut said, "the error of a get", &error), drop);
    }
    said.push(("a connector's debug form, opened", format!("{multi:?}")));
    said.push(("an explanation", multi.explain(Some(3), &PutOptions::new()).to_string()));
    let configs = [config, multi.config()];
    for config in &configs {
        for format in [Format::Toml, Format::Json] {
            match config.to_text(format) {
                Ok(text) => said.push(("a config as text", text)),
                Err(error) => tell(&mut said, "the error of writing a config", &error),
            }
        }
        for flavor in [Flavor::Crossdock, Flavor::Proxystore] {
            match registry.to_proxystore_json(config, flavor) {
                Ok(json) => said.push(("a config for ProxyStore", format!("{json:?}"))),
                Err(error) => tell(&mut said, "the error of writing for ProxyStore", &error),
            }
        }
    }
    said.push(("a config's debug form", format!("{:?} {:?}", configs, Connector::config(&multi))));
    if let Err(error) = multi.put_bytes("object") {
        tell(&mut said, "the error of a put", &error);
    }
    if let Err(error) = multi.close(&CloseOptions::default().clear(true)) {
        tell(&mut said, "the error of closing", &error);
    }
    said
}

fn tell(said: &mut Vec<(&'static str, String)>, place: &'static str, error: &Error) {
    said.push((place, format!("{error} {error:?}")));
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        said.push((place, format!("{cause} {cause:?}")));
        source = cause.source();
    }
}
