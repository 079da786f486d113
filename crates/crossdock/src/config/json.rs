//! JSON to the tree of a config and back. Order, double names and lines are kept, which `serde_json::Value` does not.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::value::{Lines, Node, Table, Value, float, integer, invalid};
use crate::error::{Error, Result};

/// Deeper than any config, shallower than any stack.
const MAX_DEPTH: usize = 64;

pub(super) fn parse(text: &str) -> Result<Table> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|why| not_json(&why))?;
    match (Reader { text, lines: Lines::of(text) }).node(raw, 0)?.value {
        Value::Table(table) => Ok(table),
        other => Err(invalid(1, format_args!("a config must be a table, not {}", other.kind()))),
    }
}

fn not_json(why: &serde_json::Error) -> Error {
    let text = why.to_string();
    let (message, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    invalid(why.line(), format_args!("not valid JSON: {message}"))
}

struct Reader<'a> {
    text: &'a str,
    lines: Lines,
}

impl<'a> Reader<'a> {
    /// Raw values borrow from the text, so their addresses give their lines.
    fn line(&self, raw: &str) -> usize {
        let offset = (raw.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        self.lines.line(offset)
    }

    fn node(&self, raw: &'a RawValue, depth: usize) -> Result<Node> {
        let line = self.line(raw.get());
        if depth == MAX_DEPTH {
            return Err(invalid(line, format_args!("more than {MAX_DEPTH} levels are nested")));
        }
        let wrong = |why: serde_json::Error| invalid(line, format_args!("not valid JSON: {why}"));
        let value = match raw.get().as_bytes().first() {
            Some(b'{') => {
                let mut table = Table::new();
                for (name, raw) in self.members(raw)? {
                    table.add(name, self.node(raw, depth + 1)?)?;
                }
                Value::Table(table)
            }
            Some(b'[') => {
                let items = self.items(raw)?;
                Value::List(items.into_iter().map(|item| self.node(item, depth + 1)).collect::<Result<_>>()?)
            }
            Some(b'"') => Value::String(serde_json::from_str(raw.get()).map_err(wrong)?),
            Some(b't' | b'f') => Value::Bool(serde_json::from_str(raw.get()).map_err(wrong)?),
            Some(b'n') => Value::Null,
            _ => {
                let out_of_range = || invalid(line, "a number is out of range");
                if raw.get().bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
                    integer(line, raw.get().parse().map_err(|_| out_of_range())?)?
                } else {
                    float(line, raw.get().parse().map_err(|_| out_of_range())?)?
                }
            }
        };
        Ok(Node { value, line })
    }

    fn members(&self, raw: &'a RawValue) -> Result<Vec<(String, &'a RawValue)>> {
        serde_json::Deserializer::from_str(raw.get()).deserialize_map(Members).map_err(|why| not_json(&why))
    }

    fn items(&self, raw: &'a RawValue) -> Result<Vec<&'a RawValue>> {
        serde_json::Deserializer::from_str(raw.get()).deserialize_seq(Items).map_err(|why| not_json(&why))
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(all)
    }
}

/// Two spaces a level, in the order of the table.
pub(crate) fn write(table: &Table) -> String {
    format!("{:#}\n", to_json(&Value::Table(table.clone())))
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        // Sizes fit in u64, priorities in i64; both are exact here.
        Value::Integer(value) => match (u64::try_from(*value), i64::try_from(*value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            _ => serde_json::Value::from(*value as f64),
        },
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::List(items) => items.iter().map(|item| to_json(&item.value)).collect(),
        Value::Table(table) => serde_json::Value::Object(
            table.iter().map(|(name, node)| (name.to_owned(), to_json(&node.value))).collect(),
        ),
    }
}
