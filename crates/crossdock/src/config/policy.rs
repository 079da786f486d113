//! Policies as tables of a config.

use crate::config::fields::{FieldKind, FieldSpec, Fields};
use crate::config::value::{Table, Value};
use crate::error::Result;
use crate::policy::{HostPatterns, Policy};

/// The fields of a policy.
pub const POLICY_FIELDS: &[FieldSpec] = &[
    FieldSpec::new(
        "priority",
        FieldKind::Integer,
        "Connectors with a higher priority are asked first; ties in the order of the config. Default 0.",
    ),
    FieldSpec::new(
        "host_pattern",
        FieldKind::Patterns,
        "The hosts on which the connector is active: one pattern or a list, matched against the whole hostname \
              as Python's re.fullmatch does. Default: every host.",
    ),
    FieldSpec::new("min_size_bytes", FieldKind::Size, "The smallest object that is taken, in bytes. Default 0."),
    FieldSpec::new(
        "max_size_bytes",
        FieldKind::Size,
        "The largest object that is taken, in bytes. Default 9223372036854775807.",
    ),
    FieldSpec::new("subset_tags", FieldKind::Strings, "An object's subset tags must all be among these. Default none."),
    FieldSpec::new(
        "superset_tags",
        FieldKind::Strings,
        "An object's superset tags must contain all of these. Default none.",
    ),
    FieldSpec::new(
        "fallback",
        FieldKind::Bool,
        "Whether a put that fails here without having written anything goes on to the next valid connector. \
              Default false.",
    ),
];

impl Policy {
    /// Reads a policy from a table that stands at `place`, such as `connectors.bulk.policy`.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn from_table(table: &Table, place: &str) -> Result<Self> {
        let fields = Fields::new(table, place, POLICY_FIELDS)?;
        let mut builder = Self::builder();
        if let Some(priority) = fields.integer("priority")? {
            builder = builder.priority(priority);
        }
        if let Some(bytes) = fields.size("min_size_bytes")? {
            builder = builder.min_size_bytes(bytes);
        }
        if let Some(bytes) = fields.size("max_size_bytes")? {
            builder = builder.max_size_bytes(bytes);
        }
        if let Some(tags) = fields.strings("subset_tags")? {
            builder = builder.subset_tags(tags);
        }
        if let Some(tags) = fields.strings("superset_tags")? {
            builder = builder.superset_tags(tags);
        }
        if let Some(fallback) = fields.boolean("fallback")? {
            builder = builder.fallback(fallback);
        }
        builder = match fields.node("host_pattern").map(|node| &node.value) {
            None | Some(Value::Null) => builder,
            Some(Value::String(pattern)) => builder.host_pattern(pattern),
            Some(_) => builder.host_patterns(fields.strings("host_pattern")?.unwrap_or_default()),
        };
        // A broken pattern stands where it stands; an impossible range has two ends.
        builder.build().map_err(|why| {
            let field = if why.message().contains("pattern") { "host_pattern" } else { "min_size_bytes" };
            fields.about(field, why.message())
        })
    }

    /// The six fields that ProxyStore knows, and `fallback` only where it is set: ProxyStore refuses other fields.
    #[must_use]
    pub fn to_table(&self) -> Table {
        let host_pattern = match self.host_pattern() {
            None => Value::Null,
            Some(HostPatterns::One(pattern)) => pattern.as_str().into(),
            Some(HostPatterns::AnyOf(patterns)) => Value::list(patterns.iter().map(|pattern| pattern.as_str().into())),
        };
        let table = Table::new()
            .with("priority", self.priority())
            .with("host_pattern", host_pattern)
            .with("min_size_bytes", self.min_size_bytes())
            .with("max_size_bytes", self.max_size_bytes())
            .with("subset_tags", self.subset_tags())
            .with("superset_tags", self.superset_tags());
        if self.fallback() { table.with("fallback", true) } else { table }
    }

    /// Only the fields that differ from their defaults: what a person would write.
    pub(crate) fn to_short_table(&self) -> Table {
        let plain = Self::any().to_table();
        let mut short = Table::new();
        for (name, node) in self.to_table().iter() {
            if plain.get(name) != Some(node) {
                short.set(name, node.value.clone());
            }
        }
        short
    }
}
