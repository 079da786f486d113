//! Reading a table whose fields are declared: one declaration serves reading, error messages and the JSON Schema.

use std::time::Duration;

use crate::config::duration::parse_duration;
use crate::config::policy::POLICY_FIELDS;
use crate::config::reference::Reference;
use crate::config::size::parse_size;
use crate::config::value::{Node, Table, Value, invalid};
use crate::error::{Error, Result};

/// Declares one field of a config table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FieldSpec {
    /// Its name.
    pub name: &'static str,
    /// Another name under which it is read too, such as the one that ProxyStore uses.
    pub alias: Option<&'static str>,
    /// What it holds.
    pub kind: FieldKind,
    /// What it means, with its unit and its default, in one sentence.
    pub doc: &'static str,
    /// Whether a table without it is wrong: for the JSON Schema.
    pub required: bool,
}

impl FieldSpec {
    /// A field that may be left out.
    #[must_use]
    pub const fn new(name: &'static str, kind: FieldKind, doc: &'static str) -> Self {
        Self { name, alias: None, kind, doc, required: false }
    }

    /// The same field, read under another name too.
    #[must_use]
    pub const fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    /// The same field, which must be given.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum FieldKind {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Integer,
    /// A size in bytes: a number of at least 0, or a string with a unit.
    Size,
    /// A duration: a number of seconds of at least 0, or a string with a unit.
    Duration,
    /// A string that may contain references.
    Text,
    /// A table of strings that may contain references, and of numbers and booleans.
    Texts,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of strings.
    Strings,
    /// Null, a string or a list of strings.
    Patterns,
    /// A table of connectors.
    Connectors,
}

/// A table with its declared fields, checked for unknown names.
#[derive(Debug)]
pub struct Fields<'a> {
    table: &'a Table,
    place: &'a str,
    specs: &'static [FieldSpec],
}

impl<'a> Fields<'a> {
    /// Checks that `table`, which stands at `place` (such as `connectors.bulk`), has only fields of `specs`.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place, the unknown field and the nearest known one.
    pub fn new(table: &'a Table, place: &'a str, specs: &'static [FieldSpec]) -> Result<Self> {
        let fields = Self { table, place, specs };
        for (name, node) in table.iter() {
            let spec = specs.iter().find(|spec| spec.name == name || spec.alias == Some(name));
            let Some(spec) = spec else {
                if is_of_the_policy(name) && !is_of_the_policy(specs.first().map_or("", |spec| spec.name)) {
                    let message = format!("{name:?} belongs into the policy: policy = {{ {name} = ... }}");
                    return Err(fields.error(node.line, message));
                }
                let known = specs.iter().map(|spec| spec.name);
                return Err(fields.error(node.line, format_args!("unknown field {}", with_nearest(name, known))));
            };
            if spec.name != name && table.get(spec.name).is_some() {
                let both = format_args!("{name:?} and {:?} mean the same; keep one of the two", spec.name);
                return Err(fields.error(node.line, both));
            }
        }
        Ok(fields)
    }

    /// The place of the table, for error messages.
    #[must_use]
    pub fn place(&self) -> &str {
        self.place
    }

    /// An `InvalidConfig` error about `field`, with its line and place.
    #[must_use]
    pub fn wrong(&self, field: &str, message: impl std::fmt::Display) -> Error {
        let line = self.node(field).map_or(0, |node| node.line);
        self.error(line, format_args!("{field}: {message}"))
    }

    /// An `InvalidConfig` error that stands at a field's line, with a message that names the field itself.
    pub(crate) fn about(&self, field: &str, message: impl std::fmt::Display) -> Error {
        self.error(self.node(field).map_or(0, |node| node.line), message)
    }

    fn error(&self, line: usize, message: impl std::fmt::Display) -> Error {
        invalid(line, format_args!("{}: {message}", self.place))
    }

    /// The value of a field, if it is given.
    #[must_use]
    pub fn node(&self, field: &str) -> Option<&'a Node> {
        let alias = self.specs.iter().find(|spec| spec.name == field).and_then(|spec| spec.alias);
        self.table.get(field).or_else(|| self.table.get(alias?))
    }

    fn mistyped<T>(&self, field: &str, wanted: &str, node: &Node) -> Result<T> {
        Err(self.wrong(field, format_args!("must be {wanted}, not {}", node.value.kind())))
    }

    /// A boolean.
    ///
    /// # Errors
    /// `InvalidConfig` if it is none.
    pub fn boolean(&self, field: &str) -> Result<Option<bool>> {
        match self.node(field) {
            None => Ok(None),
            Some(Node { value: Value::Bool(value), .. }) => Ok(Some(*value)),
            Some(node) => self.mistyped(field, "true or false", node),
        }
    }

    /// A whole number of 64 bits.
    ///
    /// # Errors
    /// `InvalidConfig` if it is none.
    pub fn integer(&self, field: &str) -> Result<Option<i64>> {
        match self.node(field) {
            None => Ok(None),
            Some(Node { value: Value::Integer(value), .. }) => {
                let value = i64::try_from(*value).map_err(|_| self.wrong(field, "must fit in 64 bits"))?;
                Ok(Some(value))
            }
            Some(node) => self.mistyped(field, "a whole number", node),
        }
    }

    /// A size in bytes.
    ///
    /// # Errors
    /// `InvalidConfig` if it is below 0, not whole, or no size at all.
    pub fn size(&self, field: &str) -> Result<Option<u64>> {
        let Some(node) = self.node(field) else { return Ok(None) };
        let size = match &node.value {
            Value::Integer(value) if *value < 0 => return Err(self.wrong(field, "a size cannot be below 0")),
            Value::Integer(value) => u64::try_from(*value).ok(),
            // JSON writers turn 1e6 into 1000000.0.
            Value::Float(value) if value.fract() == 0.0 && (0.0..9e15).contains(value) => Some(*value as u64),
            Value::Float(_) => None,
            Value::String(text) => Some(parse_size(text).map_err(|why| self.wrong(field, why.message()))?),
            _ => return self.mistyped(field, "a size in bytes such as 1000000 or \"64 MiB\"", node),
        };
        size.map(Some).ok_or_else(|| self.wrong(field, "must be a whole number of bytes from 0 to 2^64 - 1"))
    }

    /// A duration.
    ///
    /// # Errors
    /// `InvalidConfig` if it is below 0 or no duration at all.
    pub fn duration(&self, field: &str) -> Result<Option<Duration>> {
        let Some(node) = self.node(field) else { return Ok(None) };
        let seconds = match &node.value {
            Value::Integer(value) => *value as f64,
            Value::Float(value) => *value,
            Value::String(text) => {
                return parse_duration(text).map(Some).map_err(|why| self.wrong(field, why.message()));
            }
            _ => return self.mistyped(field, "a duration such as 15 (seconds) or \"500ms\"", node),
        };
        let duration = Duration::try_from_secs_f64(seconds);
        duration.map(Some).map_err(|_| self.wrong(field, "a duration must be a number of seconds from 0 to 2^64"))
    }

    /// A string that may contain references.
    ///
    /// # Errors
    /// `InvalidConfig` if it is no string, or a reference in it is malformed.
    pub fn text(&self, field: &str) -> Result<Option<Reference>> {
        match self.node(field) {
            None => Ok(None),
            Some(Node { value: Value::String(text), .. }) => {
                let reference = Reference::new(text.as_str()).map_err(|why| self.wrong(field, why.message()))?;
                Ok(Some(reference))
            }
            Some(node) => self.mistyped(field, "a string", node),
        }
    }

    /// A table of strings that may contain references, in its order. Whole numbers and booleans become strings.
    ///
    /// # Errors
    /// `InvalidConfig` if it is no such table, or a reference in it is malformed.
    pub fn texts(&self, field: &str) -> Result<Vec<(String, Reference)>> {
        let table = match self.node(field) {
            None => return Ok(Vec::new()),
            Some(Node { value: Value::Table(table), .. }) => table,
            Some(node) => return self.mistyped(field, "a table of strings", node),
        };
        let wrong = |name: &str, line, why: &dyn std::fmt::Display| {
            let name: String = name.chars().take(80).collect();
            self.error(line, format_args!("{field}.{name}: {why}"))
        };
        let read = |(name, node): (&str, &Node)| {
            let text = match &node.value {
                Value::String(text) => {
                    Reference::new(text.as_str()).map_err(|why| wrong(name, node.line, &why.message()))?
                }
                Value::Integer(number) => Reference::literal(&number.to_string()),
                Value::Bool(truth) => Reference::literal(&truth.to_string()),
                other => {
                    return Err(wrong(name, node.line, &format_args!("must be a string, not {}", other.kind())));
                }
            };
            Ok((name.to_owned(), text))
        };
        table.iter().map(read).collect()
    }

    /// An `InvalidConfig` error about one name in the table of `field`, with its line and place.
    #[must_use]
    pub fn wrong_in(&self, field: &str, name: &str, message: impl std::fmt::Display) -> Error {
        let line = match self.node(field) {
            Some(Node { value: Value::Table(table), line }) => table.get(name).map_or(*line, |node| node.line),
            _ => 0,
        };
        let name: String = name.chars().take(80).collect();
        self.error(line, format_args!("{field}.{name}: {message}"))
    }

    /// One of the words that the declaration of the field lists.
    ///
    /// # Errors
    /// `InvalidConfig` with the nearest word.
    pub fn choice(&self, field: &str) -> Result<Option<&'static str>> {
        let spec = self.specs.iter().find(|spec| spec.name == field);
        let words = match spec.map(|spec| spec.kind) {
            Some(FieldKind::Choice(words)) => words,
            _ => &[],
        };
        match self.node(field) {
            None => Ok(None),
            Some(Node { value: Value::String(text), .. }) => match words.iter().find(|word| *word == text) {
                Some(word) => Ok(Some(word)),
                None => {
                    Err(self.wrong(field, format_args!("unknown word {}", with_nearest(text, words.iter().copied()))))
                }
            },
            Some(node) => self.mistyped(field, &format!("one of {}", words.join(", ")), node),
        }
    }

    /// A list of strings.
    ///
    /// # Errors
    /// `InvalidConfig` if it is anything else.
    pub fn strings(&self, field: &str) -> Result<Option<Vec<String>>> {
        let Some(node) = self.node(field) else { return Ok(None) };
        let Value::List(items) = &node.value else {
            return self.mistyped(field, "a list of strings", node);
        };
        let texts: Option<Vec<String>> = items
            .iter()
            .map(|item| match &item.value {
                Value::String(text) => Some(text.clone()),
                _ => None,
            })
            .collect();
        texts.map(Some).ok_or_else(|| self.wrong(field, "must be a list of strings only"))
    }
}

fn is_of_the_policy(name: &str) -> bool {
    POLICY_FIELDS.iter().any(|spec| spec.name == name)
}

/// `"given"; the nearest known is "name"` if one is near, else all that are known.
pub(crate) fn with_nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    let shown: String = given.chars().take(80).collect();
    let known: Vec<&str> = known.collect();
    let given = shown.to_lowercase();
    let nearest = known
        .iter()
        .map(|name| (likeness(&given, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((_, name)) => format!("{shown:?}; the nearest known is {name:?}"),
        None => format!("{shown:?}; known are {}", known.join(", ")),
    }
}

/// From 0 to 1. One that is the beginning of the other is near, however long that is: host and hostname.
fn likeness(given: &str, known: &str) -> f64 {
    const SHORTEST: usize = 3;
    let (short, long) = if given.len() < known.len() { (given, known) } else { (known, given) };
    let alike = strsim::normalized_damerau_levenshtein(given, known);
    if short.len() >= SHORTEST && long.starts_with(short) { alike.max(0.7) } else { alike }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let nearest =
            |given| with_nearest(given, ["port", "hostname", "role_session_name", "region", "dir"].into_iter());
        for (given, meant) in [("host", "hostname"), ("prot", "port"), ("region_name", "region"), ("directory", "dir")]
        {
            assert!(nearest(given).ends_with(&format!("nearest known is {meant:?}")), "{}", nearest(given));
        }
        assert!(nearest("p").contains("known are port, "));
    }

    const SPECS: &[FieldSpec] = &[FieldSpec::new("options", FieldKind::Texts, "More.")];

    fn options(toml: &str) -> Result<Vec<(String, String)>> {
        let config = Config::from_text(&format!("[connectors.a]\ntype = \"any\"\n{toml}"))?;
        let table = &config.entries()[0].connector.options;
        let texts = Fields::new(table, "connectors.a", SPECS)?.texts("options")?;
        Ok(texts.into_iter().map(|(name, text)| (name, text.as_str().to_owned())).collect())
    }

    #[test]
    fn a_table_of_texts_keeps_its_order() {
        let found = options("options = { b = \"${env:X}\", a = true, c = 7 }").unwrap();
        let found: Vec<_> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(found, [("b", "${env:X}"), ("a", "true"), ("c", "7")]);
        assert_eq!(options("").unwrap(), []);
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (toml, words) in [
            ("options = 7", "connectors.a: options: must be a table of strings, not an integer"),
            ("options = { a = [] }", "line 3: connectors.a: options.a: must be a string, not a list"),
            ("[connectors.a.options]\nb = \"${x}\"", "line 4: connectors.a: options.b: \"${x}\" is not a reference"),
        ] {
            let message = options(toml).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
