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
    FieldSpec::new(
        "max_failures",
        FieldKind::Integer,
        "How many puts in a row may fail here before the connector is skipped for a while: by puts that may fall back; \
              others fail at once then. 0: never. Default 5.",
    ),
    FieldSpec::new(
        "cooldown",
        FieldKind::Duration,
        "How long it is skipped then, before one put tries it again, in seconds or with a unit. Default 10 s.",
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
        if let Some(failures) = fields.integer("max_failures")? {
            let wrong = |_| fields.wrong("max_failures", "must be a number from 0 (never skipped) to 4294967295");
            builder = builder.max_failures(u32::try_from(failures).map_err(wrong)?);
        }
        if let Some(cooldown) = fields.duration("cooldown")? {
            builder = builder.cooldown(cooldown);
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

    /// The six fields that ProxyStore knows, and the [others](Self::EXTENSIONS) only where they differ from their defaults:
    /// ProxyStore refuses other fields.
    #[must_use]
    pub fn to_table(&self) -> Table {
        let host_pattern = match self.host_pattern() {
            None => Value::Null,
            Some(HostPatterns::One(pattern)) => pattern.as_str().into(),
            Some(HostPatterns::AnyOf(patterns)) => Value::list(patterns.iter().map(|pattern| pattern.as_str().into())),
        };
        let mut table = Table::new()
            .with("priority", self.priority())
            .with("host_pattern", host_pattern)
            .with("min_size_bytes", self.min_size_bytes())
            .with("max_size_bytes", self.max_size_bytes())
            .with("subset_tags", self.subset_tags())
            .with("superset_tags", self.superset_tags());
        let usual = Self::any();
        if self.fallback() {
            table.set("fallback", true);
        }
        if self.max_failures() != usual.max_failures() {
            table.set("max_failures", i64::from(self.max_failures()));
        }
        if self.cooldown() != usual.cooldown() {
            table.set("cooldown", self.cooldown());
        }
        table
    }

    /// The fields that ProxyStore does not know.
    pub const EXTENSIONS: [&str; 3] = ["fallback", "max_failures", "cooldown"];

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
