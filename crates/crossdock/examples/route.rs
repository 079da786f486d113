//! Where requests would go, many at a time: a line of JSON in, a line of JSON out.
//!
//! ```text
//! {"config": {"fast": ["proxystore.connectors.file.FileConnector", {"store_dir": "/x"}, {"max_size_bytes": 9}]},
//!  "requests": [{"host": "nid0042", "size": 5, "subset_tags": [], "superset_tags": []}]}
//! ```
//! (on one line) answers `["fast"]`: the route of each request, or `null`. A config that is refused answers
//! `{"error": "..."}`. Nothing is opened.

use std::io::{BufRead, Write};

use crossdock::config::Config;
use crossdock::{Hostname, PutOptions, Registry};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Line {
    config: Box<RawValue>,
    requests: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    host: String,
    size: Option<u64>,
    subset_tags: Vec<String>,
    superset_tags: Vec<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    for line in input.lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let answer = match routes(&line) {
            Ok(routes) => serde_json::json!(routes),
            Err(error) => serde_json::json!({"error": error.to_string()}),
        };
        writeln!(output, "{answer}")?;
    }
    Ok(())
}

fn routes(line: &Line) -> crossdock::Result<Vec<Option<String>>> {
    // As text, so that the order of the connectors, which breaks ties, is kept.
    let config = Config::from_text(line.config.get())?;
    let route = |asked: &Asked| {
        let multi = Registry::builtin().connect_as(&config, Hostname::Fixed(asked.host.clone()))?;
        let options = PutOptions::new()
            .subset_tags(asked.subset_tags.iter().map(String::as_str))
            .superset_tags(asked.superset_tags.iter().map(String::as_str));
        Ok(multi.explain(asked.size, &options).route.map(|name| name.to_string()))
    };
    line.requests.iter().map(route).collect()
}
