//! The JSON Schema of configs, from the same declarations that read them.

use serde_json::{Map, Value, json};

use super::{ConnectorType, Registry};
use crate::config::{FieldKind, FieldSpec, POLICY_FIELDS};

impl Registry {
    /// The JSON Schema (draft 2020-12) of configs with the types of this registry, for editors and validators.
    ///
    /// It describes both forms; in ProxyStore's, options of classes that are not in the registry are not checked.
    #[must_use]
    pub fn json_schema(&self) -> Value {
        let ours: Vec<Value> =
            self.types().iter().map(|known| json!({"$ref": format!("#/$defs/{}", known.name)})).collect();
        let mut definitions = Map::new();
        definitions.insert("policy".to_owned(), table(POLICY_FIELDS, &Map::new(), "Which objects a connector takes."));
        definitions.insert("entry".to_owned(), json!({ "oneOf": ours }));
        definitions.insert("proxystore_entry".to_owned(), self.proxystore_entry());
        for known in self.types() {
            definitions.insert(known.name.clone(), known.schema());
        }
        let connectors = json!({
            "type": "object",
            "description": "The connectors by name. Their order breaks ties of priority.",
            "additionalProperties": {"anyOf": [{"$ref": "#/$defs/entry"}, {"$ref": "#/$defs/proxystore_entry"}]},
        });
        definitions.insert("connectors".to_owned(), connectors);
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "crossdock config",
            "$defs": definitions,
            "type": "object",
            "anyOf": [
                {
                    "properties": {"connectors": {"$ref": "#/$defs/connectors"}},
                    "required": ["connectors"],
                    "additionalProperties": false,
                },
                {"additionalProperties": {"$ref": "#/$defs/proxystore_entry"}},
            ],
        })
    }

    fn proxystore_entry(&self) -> Value {
        json!({
            "type": "array",
            "description": "[class path, options, policy], as ProxyStore writes it.",
            "prefixItems": [{"type": "string"}, {"type": "object"}, {"$ref": "#/$defs/policy"}],
            "minItems": 3,
            "maxItems": 3,
        })
    }
}

impl ConnectorType {
    fn schema(&self) -> Value {
        let names: Vec<&str> =
            std::iter::once(self.name.as_str()).chain(self.class_paths.iter().map(String::as_str)).collect();
        let mut extra = Map::new();
        extra.insert("type".to_owned(), json!({ "enum": names }));
        extra.insert("policy".to_owned(), json!({"$ref": "#/$defs/policy"}));
        table(self.fields, &extra, &format!("A connector of the type \"{}\".", self.name))
    }
}

fn table(fields: &[FieldSpec], extra: &Map<String, Value>, doc: &str) -> Value {
    let mut properties = extra.clone();
    let mut demands: Vec<Value> = Vec::new();
    for field in fields {
        properties.insert(field.name.to_owned(), describe(field));
        if let Some(alias) = field.alias {
            properties.insert(alias.to_owned(), describe(field));
            let both = json!({"required": [field.name, alias]});
            demands.push(json!({ "not": both }));
        }
        if field.required {
            let names = std::iter::once(field.name).chain(field.alias);
            let one: Vec<Value> = names.map(|name| json!({"required": [name]})).collect();
            demands.push(json!({ "anyOf": one }));
        }
    }
    let mut schema = json!({
        "type": "object",
        "description": doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if extra.contains_key("type") {
        demands.push(json!({"required": ["type"]}));
    }
    if let (Some(schema), false) = (schema.as_object_mut(), demands.is_empty()) {
        schema.insert("allOf".to_owned(), demands.into());
    }
    schema
}

fn describe(field: &FieldSpec) -> Value {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let mut schema = match field.kind {
        FieldKind::Bool => json!({"type": "boolean"}),
        FieldKind::Integer => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
        FieldKind::Size => json!({
            "oneOf": [
                {"type": "integer", "minimum": 0, "maximum": u64::MAX},
                {"type": "string", "pattern": r"^\s*[0-9][0-9_]*(\.[0-9][0-9_]*)?\s*([kKmMgGtTpP]?[iI]?[bB]|[kKmMgG]|[bB][yY][tT][eE][sS]?)?\s*$"},
            ],
        }),
        FieldKind::Duration => json!({
            "oneOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*([0-9]+\s*(ms|s|m|h|d)|0+)\s*$"},
            ],
        }),
        FieldKind::Text => json!({"type": "string"}),
        FieldKind::Texts => json!({
            "type": "object",
            "additionalProperties": {"type": ["string", "integer", "boolean"]},
        }),
        FieldKind::Choice(words) => json!({ "enum": words }),
        FieldKind::Strings => strings,
        FieldKind::Patterns => json!({"anyOf": [{"type": "null"}, {"type": "string"}, strings]}),
        FieldKind::Connectors => json!({"$ref": "#/$defs/connectors"}),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), field.doc.into());
    }
    schema
}
