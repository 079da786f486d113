//! `crossdock put`

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use crossdock::{Error, ErrorKind, MultiConnector, MultiKey, PutOptions};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::input;
use crate::output::{self, Format};
use crate::placement::{Level, Tags};
use crate::progress::Progress;
use crate::setup::Setup;

const AFTER_HELP: &str = "\
Every file must be readable and must have a route before the first one is stored. A key that was printed is stored, \
also where a later file fails. Objects pass through memory. A nested multi-connector counts as one route; its own \
policies are asked when the object is stored.

Examples:
  crossdock put a.npy b.npy
  make-data | crossdock put - --subset-tag checkpoint
  find results -type f -print0 | xargs -0 crossdock put --durability host

Exit codes:
  0  all are stored
  1  no connector takes a file
  2  wrong use or config, or no such file
  3  a connector or the output fails";

/// Store files, and print one key per line in the order of the files
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// A file, or - for standard input
    #[arg(required = true, value_name = "FILE|-")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    tags: Tags,
    /// What the objects are to survive [default: what the connector's config says]
    #[arg(long, value_enum, value_name = "LEVEL")]
    durability: Option<Level>,
}

/// One thing to be stored.
struct Source {
    name: PathBuf,
    size: u64,
    /// Standard input has been read already: its size is not known before.
    object: Option<Bytes>,
}

pub(crate) fn run(globals: &Globals, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut options = arguments.tags.options();
    options.durability = arguments.durability.map(Into::into);
    let setup = Setup::load(globals)?;
    let store = Store { multi: setup.connect()?, setup, options, format: globals.format };
    let sources = find_sources(&arguments.files)?;
    sources.iter().try_for_each(|source| store.require_route(source))?;
    sources.into_iter().try_for_each(|source| store.put(source))?;
    Ok(Exit::Done)
}

/// Files first: that one is missing should not show only when standard input has ended.
fn find_sources(names: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    if names.iter().filter(|name| input::is_stdin(name)).count() > 1 {
        return Err(Failure::usage("- is given twice, but standard input can be read only once; keep one of the two"));
    }
    let find = |name: &PathBuf| {
        let size = if input::is_stdin(name) { 0 } else { input::examine(name)? };
        Ok(Source { name: name.clone(), size, object: None })
    };
    let mut sources = names.iter().map(find).collect::<Result<Vec<_>, Failure>>()?;
    for source in sources.iter_mut().filter(|source| input::is_stdin(&source.name)) {
        let object = input::read_stdin(&Progress::start("standard input", None))?;
        source.size = object.len() as u64;
        source.object = Some(object);
    }
    Ok(sources)
}

struct Store {
    setup: Setup,
    multi: MultiConnector,
    options: PutOptions,
    format: Format,
}

impl Store {
    fn require_route(&self, source: &Source) -> Result<(), Failure> {
        let explanation = self.multi.explain(Some(source.size), &self.options);
        match &explanation.route {
            Some(name) if self.setup.forgets(name) => Err(will_be_forgotten(name)),
            Some(_) => Ok(()),
            None => {
                let (name, size) = (source.name.display(), source.size);
                let verdicts = explanation.to_string();
                let why = if verdicts.is_empty() { "the config has no connectors" } else { &verdicts };
                let message = format!("no connector takes {name} ({size} bytes), nothing was stored: {why}");
                Err(Error::new(ErrorKind::NoRoute, message).during("put").into())
            }
        }
    }

    fn put(&self, source: Source) -> Result<(), Failure> {
        let Source { name, size, object } = source;
        let progress = Progress::start(&shown(&name), Some(size));
        let object = match object {
            Some(object) => object,
            None => input::read_file(&name, size, &progress)?,
        };
        let size = object.len();
        let stored = self.multi.put(object, &self.options);
        // The bar makes room for the key.
        drop(progress);
        // By the policies: what is skipped after too many failures could not take it either.
        let verdicts = self.multi.explain(Some(size as u64), &self.options).verdicts;
        let key = stored.map_err(|error| Failure::from(error).context(format_args!("this was {}", shown(&name))))?;
        let accepting = verdicts.iter().filter(|verdict| verdict.accepts).map(|verdict| &*verdict.connector);
        let passed = accepting.take_while(|connector| *connector != &*key.connector_name);
        let passed: Vec<String> = passed
            .map(|from| format!("connector {from:?} could not take {}{}", shown(&name), self.why_not(from)))
            .collect();
        // A fallback or a nested connector may have led there.
        if self.setup.forgets_object(&key) {
            let refused = will_be_forgotten(&key.connector_name);
            return Err(passed.into_iter().fold(refused, Failure::context));
        }
        for passed in passed {
            output::warn(self.format, &format!("{passed}; it went to {:?} instead", &*key.connector_name));
        }
        self.announce(&key, size, &name).map_err(|cause| self.take_back(&key, &name, &cause))
    }

    /// What the connector said last; nothing where it is well, as one that is full.
    fn why_not(&self, connector: &str) -> String {
        let health = self.multi.health().into_iter().find(|(name, _)| &**name == connector);
        let said = health.and_then(|(_, health)| health.last_error);
        said.map_or_else(String::new, |said| format!(": {said}"))
    }

    fn announce(&self, key: &MultiKey, size: usize, name: &Path) -> io::Result<()> {
        let key_text = key.to_string();
        output::deliver(&match self.format {
            Format::Text => key_text,
            Format::Json => {
                let connector = &*key.connector_name;
                json!({"key": key_text, "connector": connector, "size": size, "file": name.to_string_lossy()})
                    .to_string()
            }
        })
    }

    /// Nobody will ever find an object whose key could not be printed.
    fn take_back(&self, key: &MultiKey, name: &Path, cause: &io::Error) -> Failure {
        let failure = output::stdout_failure(cause);
        let name = shown(name);
        match self.multi.evict(key) {
            Ok(()) => failure.context(format_args!("{name} is not stored, as its key could not be printed")),
            Err(_) => failure.context(format_args!("{name} is stored under the key {key}")),
        }
    }
}

/// A key that is printed must lead to an object.
fn will_be_forgotten(connector: &str) -> Failure {
    let message = "it keeps objects in the memory of one process, and this one is about to end; choose another connector \
                   by tags, or change its policy";
    Error::new(ErrorKind::Unsupported, message).in_connector(connector).during("put").into()
}

fn shown(name: &Path) -> String {
    if input::is_stdin(name) { "standard input".to_owned() } else { name.display().to_string() }
}
