//! The types of this crate.

use std::sync::Arc;

use super::{ConnectorType, Registry};
use crate::config::{Config, ConnectorConfig, FieldKind, FieldSpec, Table};
use crate::connector::{Connector, Opener};
use crate::error::Result;

pub(super) fn types() -> Vec<ConnectorType> {
    vec![
        #[cfg(feature = "local")]
        local(),
        #[cfg(feature = "file")]
        file(),
        multi(),
    ]
}

/// Our class path and ProxyStore's.
fn class_paths(module: &str, class: &str) -> [String; 2] {
    ["crossdock", "proxystore"].map(|package| format!("{package}.connectors.{module}.{class}"))
}

#[cfg(feature = "local")]
fn local() -> ConnectorType {
    use crate::connectors::LocalOptions;
    let mut local =
        ConnectorType::new("local", LocalOptions::FIELDS, |fields| Ok(Arc::new(LocalOptions::from_fields(fields)?)))
            .class_paths(class_paths("local", "LocalConnector"));
    local.python_fields = vec![("include_data_in_config", false.into())];
    local
}

#[cfg(feature = "file")]
fn file() -> ConnectorType {
    use crate::connectors::FileOptions;
    let mut file =
        ConnectorType::new("file", FileOptions::FIELDS, |fields| Ok(Arc::new(FileOptions::from_fields(fields)?)))
            .class_paths(class_paths("file", "FileConnector"));
    file.required = &["dir"];
    // ProxyStore clears by default: a config that is silent would delete the directory over there.
    file.python_fields = vec![("clear", false.into()), ("buffering", (-1_i64).into())];
    file
}

const MULTI_FIELDS: &[FieldSpec] = &[FieldSpec {
    name: "connectors",
    alias: None,
    kind: FieldKind::Connectors,
    doc: "The connectors of the nested multi-connector. Required.",
}];

fn multi() -> ConnectorType {
    let mut multi = ConnectorType::new("multi", MULTI_FIELDS, |_| Ok(Arc::new(MultiOptions::default())))
        .class_paths(class_paths("multi", "MultiConnector"));
    multi.required = &["connectors"];
    multi.read = Arc::new(|registry, table, place| Ok(Arc::new(MultiOptions::read(registry, table, place)?)));
    multi
}

/// The options of a nested multi-connector: a config and the registry to open it with.
#[derive(Debug, Default)]
struct MultiOptions {
    config: Config,
    registry: Registry,
}

impl MultiOptions {
    fn read(registry: &Registry, table: &Table, place: &str) -> Result<Self> {
        let config = Config::from_table(table, place)?;
        // Reads and checks what is nested, as deep as it goes.
        Ok(Self { config: registry.canonical(&config)?, registry: registry.clone() })
    }
}

impl Opener for MultiOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(self.registry.connect(&self.config)?))
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig { type_name: "multi".to_owned(), options: self.config.to_table() }
    }
}
