//! The tree that a config is read into: values that remember their order and their line.

use indexmap::IndexMap;

use crate::error::{Error, ErrorKind, Result};

/// One value of a config.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// JSON's `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number; wide enough for every size and priority.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// Named values in their order.
    Table(Table),
}

impl Value {
    pub(crate) fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(items.into_iter().map(Node::from).collect())
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<&[String]> for Value {
    fn from(value: &[String]) -> Self {
        Self::list(value.iter().map(|text| text.as_str().into()))
    }
}

impl From<Table> for Value {
    fn from(value: Table) -> Self {
        Self::Table(value)
    }
}

/// A value and the line it stands on. The line does not count when nodes are compared.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// The line, counted from 1, or 0 where the value comes from no text.
    pub line: usize,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self { value, line: 0 }
    }
}

/// Named values in the order in which they were written. Tables with another order are not equal.
#[derive(Clone, Debug, Default)]
pub struct Table(IndexMap<String, Node>);

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().eq(&other.0)
    }
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into().into());
    }

    /// The same table with one more value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds a node as it was read.
    ///
    /// # Errors
    /// `InvalidConfig` if the name is there already.
    pub(crate) fn add(&mut self, name: String, node: Node) -> Result<()> {
        let line = node.line;
        match self.0.insert_full(name, node) {
            (_, None) => Ok(()),
            (index, Some(_)) => {
                let name: String = self.0.get_index(index).map_or("", |(name, _)| name).chars().take(80).collect();
                Err(invalid(line, format_args!("{name:?} is given twice; keep one of the two")))
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Node> {
        self.0.shift_remove(name)
    }

    /// A value by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.0.get(name)
    }

    /// The names and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Node)> {
        self.0.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All that another process needs to build one connector: the name of its type and its options.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConnectorConfig {
    /// The type's name, such as `"file"`, or a class path of Python.
    pub type_name: String,
    /// The type's options, by their names.
    pub options: Table,
}

impl ConnectorConfig {
    /// A config of that type and with those options.
    pub fn new(type_name: impl Into<String>, options: Table) -> Self {
        Self { type_name: type_name.into(), options }
    }
}

/// An `InvalidConfig` error that begins with the line, where one is known.
pub(crate) fn invalid(line: usize, message: impl std::fmt::Display) -> Error {
    let place = if line == 0 { String::new() } else { format!("line {line}: ") };
    Error::new(ErrorKind::InvalidConfig, format!("{place}{message}"))
}

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line of an offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|newline| *newline < offset)
    }
}

/// A number that every form of a config can hold: sizes fit in 64 bits, priorities in 63 and a sign.
pub(super) fn integer(line: usize, value: i128) -> Result<Value> {
    if u64::try_from(value).is_ok() || i64::try_from(value).is_ok() {
        return Ok(Value::Integer(value));
    }
    Err(invalid(line, "a number does not fit in 64 bits; write a smaller one, or a string"))
}

pub(super) fn float(line: usize, value: f64) -> Result<Value> {
    if value.is_finite() {
        Ok(Value::Float(value))
    } else {
        Err(invalid(line, "a number is infinite or none; JSON has no such"))
    }
}
