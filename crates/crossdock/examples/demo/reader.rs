//! A process on another host: opens the config there, fetches by key, compares with the files.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crossdock::config::{Config, format_size};
use crossdock::{ErrorKind, GetOptions, HOSTNAME_VARIABLE, Integrity, MultiKey, Registry};

use crate::Result;

/// Runs [`read`] in a process of its own, on a host of that name.
pub(crate) fn fetch_on<'k>(
    host: &str,
    config: &Path,
    keys: impl Iterator<Item = &'k (String, &'k Path)>,
) -> Result<()> {
    let list = config.with_file_name(format!("keys-{host}.txt"));
    let mut file = std::fs::File::create(&list)?;
    for (key, path) in keys {
        writeln!(file, "{key}\t{}", path.display())?;
    }
    drop(file);
    let me = std::env::current_exe()?;
    // A real hostname of its own needs root; without, the variable for containers does.
    let may_rename = Command::new("unshare").args(["--uts", "true"]).output().is_ok_and(|run| run.status.success());
    let mut command = if may_rename {
        let mut command = Command::new("unshare");
        command.args(["--uts", "sh", "-c", "hostname \"$0\" && exec \"$@\"", host]).arg(me);
        command.env_remove(HOSTNAME_VARIABLE);
        command
    } else {
        let mut command = Command::new(me);
        command.env(HOSTNAME_VARIABLE, host);
        command
    };
    let status = command.arg("read").arg(config).arg(list).status()?;
    if status.success() { Ok(()) } else { Err(format!("the process on {host} failed: {status}").into()) }
}

/// Fetches every key of a list and compares it with its file.
pub(crate) fn read(config: &Path, list: &Path) -> Result<()> {
    let multi = Registry::builtin().connect(&Config::from_file(config)?)?;
    let (mut count, mut bytes, mut spent) = (0_u64, 0, Duration::ZERO);
    let mut dormant: Vec<crossdock::Error> = Vec::new();
    for line in std::fs::read_to_string(list)?.lines() {
        let (key, path) = line.split_once('\t').ok_or("a line of the list is no key and path")?;
        let key: MultiKey = key.parse()?;
        let start = Instant::now();
        let found = match multi.get_with(&key, &GetOptions::view().integrity(Integrity::Checksum)) {
            Err(error) if error.kind() == ErrorKind::Dormant => {
                dormant.push(error);
                continue;
            }
            found => found?.ok_or_else(|| format!("{key} is missing"))?,
        };
        spent += start.elapsed();
        if found != std::fs::read(path)? {
            return Err(format!("{key} is not {path}").into());
        }
        count += 1;
        bytes += found.len() as u64;
    }
    let host = crossdock::Hostname::from_environment().get();
    let seconds = spent.as_secs_f64().max(1e-9);
    println!(
        "   {host}, process {}: {count} objects, {}, every byte right: {:.1} ms, {:.0} µs each, {:.0} MB/s",
        std::process::id(),
        format_size(bytes),
        seconds * 1e3,
        seconds * 1e6 / count.max(1) as f64,
        bytes as f64 / 1e6 / seconds,
    );
    if let Some(error) = dormant.first() {
        println!("   {} more are out of reach from here: {error}", dormant.len());
    }
    Ok(())
}
