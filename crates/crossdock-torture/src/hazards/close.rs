//! Consumers close their connectors, with and without clearing, where other people's files lie among the objects.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossdock::config::{Config, Format};
use crossdock::connectors::{FileConnector, FileOptions};
use crossdock::{CloseOptions, Connector, ConnectorExt, Key, MultiConnector, Opener, Policy, Registry};

use super::Hazard;
use crate::rng::Rng;
use crate::run::{Outcome, Run};
use crate::system;

pub(super) const HAZARD: Hazard = Hazard {
    name: "close",
    looked_for: "foreign files deleted, objects deleted unasked",
    small: 50,
    full: 1_000,
    needs: &[],
    run,
};

fn run(run: &mut Run) -> Outcome {
    let outside = run.path("outside");
    for round in 0..run.count {
        let dir = run.path(format!("objects-{round}"));
        fs::create_dir_all(&dir)?;
        let mut rng = run.rng(round);
        plant(&dir, &outside, &mut rng)?;
        let foreign = (listing(&dir)?, listing(&outside)?);
        let files = FileConnector::open(&FileOptions::new(&dir))?;
        let keys: Vec<Key> = (0..5).map(|item| files.put_bytes(format!("object {item}"))).collect::<Result<_, _>>()?;
        let way = close_in_some_way(&dir, round)?;
        let when = format!("round {round}, {}", way.name);
        for (path, what) in &foreign.0 {
            run.check(listing(&dir)?.get(path) == Some(what), || format!("{when}: {} has changed", path.display()));
        }
        run.check(listing(&outside)? == foreign.1, || format!("{when}: something outside has changed"));
        let left = keys.iter().filter(|key| files.exists(key).unwrap_or(false)).count();
        let wanted = if way.clears { 0 } else { keys.len() };
        run.check(left == wanted, || format!("{when}: {left} of {} objects are left", keys.len()));
        fs::remove_dir_all(&dir)?;
        fs::remove_dir_all(&outside)?;
        run.did(1);
    }
    Ok(())
}

struct Way {
    name: &'static str,
    clears: bool,
}

fn close_in_some_way(dir: &Path, round: u64) -> Outcome<Way> {
    let options = FileOptions::new(dir);
    let unasked = CloseOptions::default();
    let clear = CloseOptions::default().clear(true);
    let way = |name, clears| Ok(Way { name, clears });
    match round % 7 {
        0 => {
            FileConnector::open(&options)?.close(&unasked)?;
            way("closed", false)
        }
        1 => {
            FileConnector::open(&options)?.close(&clear)?;
            way("closed and asked to clear", true)
        }
        2 => {
            FileConnector::open(&options.clear(true))?.close(&unasked)?;
            way("closed, built to clear", true)
        }
        3 => {
            let config = FileConnector::open(&options.clear(true))?.config();
            rebuilt(&config)?.close(&unasked)?;
            way("closed after it was rebuilt from the config of one that clears", false)
        }
        4 => {
            let text = serde_text(dir)?;
            let multi = Registry::builtin().connect(&Config::parse(&text, Format::Json)?)?;
            for (_, checked) in multi.check_each() {
                checked?;
            }
            multi.close(&unasked)?;
            way("closed, with clear = true in the config", false)
        }
        5 => {
            let parent = FileConnector::open(&options.clear(true))?;
            let child = system::fork(60, || u8::from(parent.close(&CloseOptions::default()).is_err()))?;
            if child.wait()? != system::Ended::Code(0) {
                return Err("closing in a forked child failed".into());
            }
            parent.close(&CloseOptions::default().clear(false))?;
            way("closed in a forked child of one that clears", false)
        }
        _ => {
            let opener: Arc<dyn Opener> = Arc::new(options);
            let multi = MultiConnector::builder().lazy("files", opener, Policy::any()).build()?;
            multi.close(&clear)?;
            way("a multi-connector closed and asked to clear", true)
        }
    }
}

fn rebuilt(config: &crossdock::ConnectorConfig) -> Outcome<Arc<dyn Connector>> {
    Ok(Registry::builtin().open(config)?)
}

/// What ProxyStore writes of a connector that clears.
fn serde_text(dir: &Path) -> Outcome<String> {
    let dir = dir.to_str().ok_or("path")?;
    Ok(format!(
        r#"{{"files": ["proxystore.connectors.file.FileConnector", {{"store_dir": "{dir}", "clear": true}}, {{}}]}}"#
    ))
}

/// Puts things of other people into the directory, and some beside it.
fn plant(dir: &Path, outside: &Path, rng: &mut Rng) -> Outcome {
    fs::create_dir_all(outside.join("inner"))?;
    fs::write(outside.join("secret"), "outside")?;
    fs::write(outside.join("inner/secret"), "outside")?;
    fs::create_dir_all(dir.join("sub/inner"))?;
    fs::write(dir.join("sub/inner/file"), "foreign")?;
    fs::write(dir.join("sub").join(rng.uuid()), "foreign")?;
    let plain = ["README.md", "data.csv.ready", ".hidden", "ready", "x.tmp", "Ünïcode", "-rf", "*"];
    for name in plain {
        fs::write(dir.join(name), "foreign")?;
    }
    let uuid = rng.uuid();
    let nearly = [
        uuid.to_uppercase(),
        uuid.replace('-', ""),
        format!("{{{uuid}}}"),
        format!("{}.bak", rng.uuid()),
        format!("{}.ready.bak", rng.uuid()),
        format!("{}x", rng.uuid()),
        format!(".{}", rng.uuid()),
        format!("{}.READY", rng.uuid()),
    ];
    for name in nearly {
        fs::write(dir.join(name), "foreign")?;
    }
    fs::create_dir(dir.join(rng.uuid()))?;
    let full = dir.join(rng.uuid());
    fs::create_dir(&full)?;
    fs::write(full.join(rng.uuid()), "foreign")?;
    fs::create_dir(dir.join(format!("{}.ready", rng.uuid())))?;
    symlink(outside.join("secret"), dir.join(rng.uuid()))?;
    symlink(outside.join("inner"), dir.join(rng.uuid()))?;
    symlink("/nonexistent", dir.join(format!("{}.ready", rng.uuid())))?;
    symlink(outside.join("inner"), dir.join("link"))?;
    system::make_node(&dir.join(rng.uuid()), libc::S_IFIFO | 0o600, 0)
}

/// Every file below a directory, and what it is; links are not followed.
fn listing(dir: &Path) -> Outcome<BTreeMap<PathBuf, String>> {
    let mut all = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let kind = fs::symlink_metadata(&path)?.file_type();
            let what = if kind.is_dir() {
                open.push(path.clone());
                "directory".to_owned()
            } else if kind.is_symlink() {
                format!("link to {}", fs::read_link(&path)?.display())
            } else if kind.is_file() {
                fs::read_to_string(&path)?
            } else {
                format!("{kind:?}")
            };
            all.insert(path, what);
        }
    }
    Ok(all)
}
