//! The tree that a config is read into: values that remember their order and their line.

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

/// Named values in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(Vec<(String, Node)>);

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, node) = (name.into(), Node::from(value.into()));
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = node,
            None => self.0.push((name, node)),
        }
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
        if self.get(&name).is_some() {
            return Err(invalid(node.line, format_args!("{name:?} is given twice; keep one of the two")));
        }
        self.0.push((name, node));
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Node> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// A value by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, node)| node)
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
