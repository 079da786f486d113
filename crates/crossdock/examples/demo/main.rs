//! A tour on real files: `make demo`, or `make demo DIR=…`.
//!
//! Every file of a directory goes through a policy of three connectors; other processes, under other hostnames, fetch
//! them and check every byte.

mod input;
mod reader;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crossdock::config::{Config, format_size};
use crossdock::{Hostname, MultiConnector, PutOptions, Registry};

use input::Input;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["read", config, list] => reader::read(Path::new(config), Path::new(list)),
        [input, work] => tour(Path::new(input), Path::new(work)),
        _ => Err("usage: demo INPUT-DIRECTORY WORK-DIRECTORY".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("demo: {why}");
            ExitCode::FAILURE
        }
    }
}

fn tour(input: &Path, work: &Path) -> Result<()> {
    let files = input::walk(input).map_err(|why| format!("cannot read {}: {why}", input.display()))?;
    if files.is_empty() {
        return Err(
            format!("there are no files in {}; name another directory: make demo DIR=...", input.display()).into()
        );
    }
    let config = write_config(work)?;
    let here = Hostname::Fixed("node0001".to_owned());
    let multi = Registry::builtin().connect_as(&Config::from_file(&config)?, here)?;

    let total: u64 = files.iter().map(|file| file.size).sum();
    println!("1. Put every file of {} ({} files, {})\n", input.display(), files.len(), format_size(total));
    let keys = put_all(&multi, &files)?;

    println!("\n2. Fetch all of them from other processes, on other hosts\n");
    reader::fetch_on("node0002", &config, keys.iter().step_by(2))?;
    reader::fetch_on("node0003", &config, keys.iter().skip(1).step_by(2))?;

    println!("\n3. On a login node, the connector \"quick\" is dormant: its host pattern does not match there\n");
    reader::fetch_on("login1", &config, keys.iter())?;

    println!("\n4. An object that no policy takes\n");
    match multi.put("the launch codes", &PutOptions::new().subset_tags(["secret"])) {
        Ok(key) => return Err(format!("somebody took it: {key}").into()),
        Err(error) => println!("{}", wrapped(&error.to_string())),
    }
    println!("\nThe config and the objects stay in {} until the next run. To go on by hand:\n", work.display());
    println!("    cargo install --locked --path crates/crossdock-cli");
    println!("    export CROSSDOCK_CONFIG={}", config.display());
    for command in ["explain --size 3MB --host login1", "explain --size 3MB --subset-tag secret", "check"] {
        println!("    crossdock {command}");
    }
    Ok(())
}

fn write_config(work: &Path) -> Result<PathBuf> {
    if work.exists() {
        std::fs::remove_dir_all(work)?;
    }
    std::fs::create_dir_all(work)?;
    let work = work.canonicalize()?;
    let text = format!(
        r#"# Small text that the nodes pass around: asked first, on the nodes only.
[connectors.quick]
type = "file"
dir = "{dir}/quick"
policy = {{ priority = 10, max_size_bytes = "4 kB", subset_tags = ["text"], host_pattern = 'node\d+' }}

# Larger text.
[connectors.shared]
type = "file"
dir = "{dir}/shared"
policy = {{ max_size_bytes = "32 kB", subset_tags = ["text"] }}

# Everything else, on the disk before the put returns.
[connectors.bulk]
type = "file"
dir = "{dir}/bulk"
durability = "host"
policy = {{ subset_tags = ["text", "binary"] }}
"#,
        dir = work.display()
    );
    let config = work.join("config.toml");
    std::fs::write(&config, &text)?;
    println!("The policy, in {}:\n\n{}", config.display(), indented(&text));
    Ok(config)
}

/// One line of the table: where objects of one kind went.
#[derive(Default)]
struct Kind {
    count: usize,
    bytes: u64,
    spent: Duration,
    example: String,
    why: Vec<String>,
}

/// Puts all files; the key of each beside its path.
fn put_all<'f>(multi: &MultiConnector, files: &'f [Input]) -> Result<Vec<(String, &'f Path)>> {
    let mut kinds: BTreeMap<(String, &str), Kind> = BTreeMap::new();
    let mut keys = Vec::with_capacity(files.len());
    for file in files {
        let object = std::fs::read(&file.path)?;
        let options = PutOptions::new().subset_tags([file.tag]);
        let size = object.len() as u64;
        let start = Instant::now();
        let key = multi.put(object, &options)?;
        let spent = start.elapsed();
        let kind = kinds.entry((key.connector_name.to_string(), file.tag)).or_default();
        if kind.count == 0 {
            let asked = multi.explain(Some(size), &options).verdicts.into_iter();
            // Those that were asked after it do not matter.
            let end = asked.clone().position(|verdict| verdict.accepts).map_or(0, |accepted| accepted + 1);
            kind.why = asked.take(end).map(|verdict| verdict.to_string()).collect();
            kind.example = format!("{} ({})", file.path.display(), format_size(size));
        }
        kind.count += 1;
        kind.bytes += size;
        kind.spent += spent;
        keys.push((key.to_string(), file.path.as_path()));
    }
    for ((connector, tag), kind) in &kinds {
        let each = kind.spent.as_secs_f64() * 1e6 / kind.count as f64;
        println!("   {connector}: {} files tagged {tag:?}, {}, {each:.0} µs each", kind.count, format_size(kind.bytes));
        println!("      such as {}", kind.example);
        kind.why.iter().for_each(|why| println!("         {why}"));
    }
    let spent: Duration = kinds.values().map(|kind| kind.spent).sum();
    let bytes: u64 = kinds.values().map(|kind| kind.bytes).sum();
    println!(
        "\n   {} puts, {}: {:.0} ms; bulk waits for the disk",
        files.len(),
        format_size(bytes),
        spent.as_secs_f64() * 1e3
    );
    Ok(keys)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// At the semicolons that separate the connectors' verdicts.
fn wrapped(text: &str) -> String {
    format!("   {}", text.replace("; ", ";\n      ").replacen(": quick", ":\n      quick", 1))
}
