//! The envelope of a config: its connectors in order, whatever the text looks like.

use std::path::Path;
use std::sync::Arc;

use crate::config::value::{ConnectorConfig, Node, Table, Value, invalid};
use crate::config::{json, toml};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Policy;

/// The longest name of a connector, in bytes.
const MAX_NAME: usize = 255;

/// Named connectors with their policies, in the order that breaks ties.
///
/// ```
/// use crossdock::config::{Config, Format};
/// let theirs = r#"{"disk": ["proxystore.connectors.file.FileConnector", {"store_dir": "/scratch/run"}, {"priority": 1}]}"#;
/// let config = Config::from_text(theirs)?;
/// assert_eq!(config.entries()[0].policy.priority(), 1);
/// let canonical = crossdock::Registry::builtin().canonical(&config)?;
/// assert_eq!(
///     canonical.to_text(Format::Toml)?,
///     "[connectors.disk]\ntype = \"file\"\ndir = \"/scratch/run\"\n\n[connectors.disk.policy]\npriority = 1\n",
/// );
/// # Ok::<(), crossdock::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    entries: Vec<Entry>,
}

/// One connector of a config.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub name: Arc<str>,
    /// Its type and options.
    pub connector: ConnectorConfig,
    /// Which objects it takes.
    pub policy: Policy,
    /// The line where it begins, or 0. Does not count when entries are compared.
    pub line: usize,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.connector, &self.policy) == (&other.name, &other.connector, &other.policy)
    }
}

/// How a config is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML.
    Toml,
    /// JSON, with the fields of the TOML form or in the shape of ProxyStore.
    Json,
}

impl Config {
    /// A config of these entries.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    /// The entries in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| &*entry.name == name)
    }

    /// Reads a file: `.json` as JSON, `.toml` as TOML, anything else as what it looks like.
    ///
    /// # Errors
    /// `InvalidConfig` with the file, the line and what to do.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|cause| {
            let message = format!("cannot read the config {}: {cause}; name a file that you may read", path.display());
            Error::new(ErrorKind::InvalidConfig, message).with_source(cause)
        })?;
        let parsed = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Self::parse(&text, Format::Json),
            Some("toml") => Self::parse(&text, Format::Toml),
            _ => Self::from_text(&text),
        };
        parsed.map_err(|why| Error::new(why.kind(), format!("{}: {}", path.display(), why.message())))
    }

    /// Reads text: JSON if it begins with a brace, else TOML.
    ///
    /// # Errors
    /// `InvalidConfig` with the line and what to do.
    pub fn from_text(text: &str) -> Result<Self> {
        let format =
            if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') { Format::Json } else { Format::Toml };
        Self::parse(text, format)
    }

    /// Reads text of that format.
    ///
    /// # Errors
    /// `InvalidConfig` with the line and what to do.
    pub fn parse(text: &str, format: Format) -> Result<Self> {
        // Some editors put a byte order mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let table = match format {
            Format::Toml => toml::parse(text)?,
            Format::Json => json::parse(text)?,
        };
        Self::from_table(&table, "")
    }

    /// Reads the tree of a config that stands at `place`; the place of a whole file is `""`.
    ///
    /// A table of tables below `connectors` is our form, a table of lists that of ProxyStore. So a connector of
    /// ProxyStore's may itself be called `connectors`.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn from_table(table: &Table, place: &str) -> Result<Self> {
        let ours = match table.get("connectors") {
            Some(Node { value: Value::Table(connectors), .. }) => Some(connectors),
            _ => None,
        };
        // ProxyStore's form has lists only.
        let is_foreign = |name: &str, node: &Node| match ours {
            Some(_) => name != "connectors",
            None => !matches!(node.value, Value::List(_)),
        };
        if let Some((name, node)) = table.iter().find(|(name, node)| is_foreign(name, node)) {
            let place = if place.is_empty() { "the config" } else { place };
            let shown: String = name.chars().take(80).collect();
            let message =
                format_args!("{place}: unknown field {shown:?}; connectors stand in tables [connectors.NAME]");
            return Err(invalid(node.line, message));
        }
        if let Some(Node { value: Value::List(items), line }) = table.get("connectors")
            && items.first().is_some_and(|item| matches!(item.value, Value::Table(_)))
        {
            let message = "connectors: is a list; write a table for each connector instead: [connectors.NAME]";
            return Err(invalid(*line, message));
        }
        Self::read_entries(ours.unwrap_or(table), &Self::place_of_entries(table, place))
    }

    /// Where the entries of a config that stands at `place` stand: below `connectors` in our form.
    pub(crate) fn place_of_entries(table: &Table, place: &str) -> String {
        match table.get("connectors") {
            _ if place.is_empty() => "connectors".to_owned(),
            Some(Node { value: Value::Table(_), .. }) => format!("{place}.connectors"),
            _ => place.to_owned(),
        }
    }

    fn read_entries(table: &Table, place: &str) -> Result<Self> {
        let read = |(name, node): (&str, &Node)| {
            if name.is_empty() || name.len() > MAX_NAME {
                let message =
                    format!("{place}: a connector's name must have 1 to {MAX_NAME} bytes, not {}", name.len());
                return Err(invalid(node.line, message));
            }
            let place = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
            Entry::read(name, node, &place)
        };
        Ok(Self { entries: table.iter().map(read).collect::<Result<_>>()? })
    }

    /// The tree of this config, in the form of [`Config::from_table`].
    #[must_use]
    pub fn to_table(&self) -> Table {
        let mut connectors = Table::new();
        for entry in &self.entries {
            connectors.set(&*entry.name, entry.to_value());
        }
        Table::new().with("connectors", connectors)
    }

    /// The config as text. JSON has the fields of the TOML form; for the shape of ProxyStore see
    /// [`Registry::to_proxystore_json`](crate::Registry::to_proxystore_json).
    ///
    /// # Errors
    /// `InvalidConfig` where TOML cannot hold a value: `null`, or a number of more than 63 bits.
    pub fn to_text(&self, format: Format) -> Result<String> {
        match format {
            Format::Toml => toml::write(&self.to_table()),
            Format::Json => Ok(json::write(&self.to_table())),
        }
    }
}

impl Entry {
    /// An entry that comes from no text.
    pub fn new(name: impl Into<Arc<str>>, connector: ConnectorConfig, policy: Policy) -> Self {
        Self { name: name.into(), connector, policy, line: 0 }
    }

    fn read(name: &str, node: &Node, place: &str) -> Result<Self> {
        match &node.value {
            Value::Table(table) => Self::read_table(name, table, place, node.line),
            Value::List(items) => Self::read_list(name, items, place, node.line),
            other => Err(invalid(
                node.line,
                format_args!(
                    "{place}: must be a table with a type, or [class path, options, policy], not {}",
                    other.kind()
                ),
            )),
        }
    }

    /// Our form: `type` and `policy` beside the options.
    fn read_table(name: &str, table: &Table, place: &str, line: usize) -> Result<Self> {
        let mut options = Table::new();
        let (mut type_name, mut policy) = (None, Policy::any());
        for (field, node) in table.iter() {
            match (field, &node.value) {
                ("type", Value::String(text)) => type_name = Some(text.clone()),
                ("type", other) => {
                    return Err(invalid(
                        node.line,
                        format_args!("{place}.type: must be a string, not {}", other.kind()),
                    ));
                }
                ("policy", Value::Table(table)) => policy = Policy::from_table(table, &format!("{place}.policy"))?,
                ("policy", other) => {
                    return Err(invalid(
                        node.line,
                        format_args!("{place}.policy: must be a table, not {}", other.kind()),
                    ));
                }
                _ => options.add(field.to_owned(), node.clone())?,
            }
        }
        let type_name = type_name.ok_or_else(|| {
            invalid(line, format_args!("{place}: the type is missing; add a line such as type = \"file\""))
        })?;
        Ok(Self { name: name.into(), connector: ConnectorConfig { type_name, options }, policy, line })
    }

    /// ProxyStore's form: `[class path, options, policy]`.
    fn read_list(name: &str, items: &[Node], place: &str, line: usize) -> Result<Self> {
        let [class_path, options, policy] = items else {
            let message = format_args!("{place}: must have 3 items (class path, options, policy), not {}", items.len());
            return Err(invalid(line, message));
        };
        match (&class_path.value, &options.value, &policy.value) {
            (Value::String(class_path), Value::Table(options), Value::Table(policy)) => Ok(Self {
                name: name.into(),
                connector: ConnectorConfig { type_name: class_path.clone(), options: options.clone() },
                policy: Policy::from_table(policy, &format!("{place}.policy"))?,
                line,
            }),
            _ => Err(invalid(line, format_args!("{place}: must be [class path, {{options}}, {{policy}}]"))),
        }
    }

    fn to_value(&self) -> Value {
        let ConnectorConfig { type_name, options } = &self.connector;
        if options.get("type").is_some() || options.get("policy").is_some() {
            // A class of Python may call its options so; the other form keeps them apart.
            return Value::list([
                type_name.as_str().into(),
                options.clone().into(),
                self.policy.to_short_table().into(),
            ]);
        }
        let mut table = Table::new().with("type", type_name.as_str());
        for (field, node) in options.iter() {
            table.set(field, node.value.clone());
        }
        let policy = self.policy.to_short_table();
        if policy.is_empty() { table.into() } else { table.with("policy", policy).into() }
    }
}
