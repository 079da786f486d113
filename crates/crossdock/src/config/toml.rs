//! TOML to the tree of a config and back.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use crate::config::value::{Lines, Node, Table, Value, float, integer, invalid};
use crate::error::{Error, ErrorKind, Result};

pub(super) fn parse(text: &str) -> Result<Table> {
    let lines = Lines::of(text);
    let parsed = DeTable::parse(text).map_err(|why| {
        let line = why.span().map_or(0, |span| lines.line(span.start));
        invalid(line, format_args!("not valid TOML: {}{}", why.message().replace('\n', ", "), advice(why.message())))
    })?;
    read_table(&lines, parsed.get_ref())
}

/// For the two slips that are made most.
fn advice(message: &str) -> &'static str {
    if message.contains("escape") {
        "; in double quotes write \\\\ for a backslash, or use single quotes: 'nid\\d+'"
    } else {
        "; a config is TOML, or JSON that begins with a brace"
    }
}

fn read_table(lines: &Lines, table: &DeTable<'_>) -> Result<Table> {
    let mut read = Table::new();
    for (name, value) in table {
        let line = lines.line(name.span().start);
        read.add(name.get_ref().to_string(), read_node(lines, value, line)?)?;
    }
    Ok(read)
}

fn read_node(lines: &Lines, value: &Spanned<DeValue<'_>>, line: usize) -> Result<Node> {
    let value = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(number) => {
            let value = i128::from_str_radix(number.as_str(), number.radix());
            integer(line, value.map_err(|_| invalid(line, "a number is out of range"))?)?
        }
        DeValue::Float(number) => {
            float(line, number.as_str().parse().map_err(|_| invalid(line, "a number is out of range"))?)?
        }
        DeValue::Datetime(_) => return Err(invalid(line, "a date has no meaning here; put it in quotes")),
        DeValue::Array(items) => Value::List(
            items.iter().map(|item| read_node(lines, item, lines.line(item.span().start))).collect::<Result<_>>()?,
        ),
        DeValue::Table(table) => Value::Table(read_table(lines, table)?),
    };
    Ok(Node { value, line })
}

pub(super) fn write(table: &Table) -> Result<String> {
    let text = ::toml::to_string(&to_toml(table)?);
    text.map_err(|why| Error::new(ErrorKind::InvalidConfig, format!("this config cannot be written as TOML: {why}")))
}

fn to_toml(table: &Table) -> Result<::toml::Table> {
    let fields = table.iter().map(|(name, node)| Ok((name.to_owned(), to_value(name, &node.value)?)));
    fields.collect()
}

fn to_value(name: &str, value: &Value) -> Result<::toml::Value> {
    let refuse =
        |what: &str| Error::new(ErrorKind::InvalidConfig, format!("{name}: TOML cannot hold {what}; use JSON"));
    Ok(match value {
        Value::Null => return Err(refuse("null")),
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => match i64::try_from(*value) {
            Ok(value) => value.into(),
            // A size may be a string too; what else this is, nobody knows.
            Err(_) if name.ends_with("_bytes") => value.to_string().into(),
            Err(_) => return Err(refuse("a number of more than 63 bits")),
        },
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::List(items) => {
            ::toml::Value::Array(items.iter().map(|item| to_value(name, &item.value)).collect::<Result<_>>()?)
        }
        Value::Table(table) => to_toml(table)?.into(),
    })
}
