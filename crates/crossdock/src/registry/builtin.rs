//! The types of this crate.

use std::sync::Arc;

use super::{ConnectorType, Lane, Scope, build};
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use crate::config::Fields;
use crate::config::{Config, ConnectorConfig, FieldKind, FieldSpec, Table};
use crate::connector::{Connector, Opener, Properties};
#[cfg(feature = "object-store")]
use crate::connectors::ObjectStoreOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::hostname::Hostname;

pub(super) fn types() -> Vec<ConnectorType> {
    vec![
        #[cfg(feature = "local")]
        local(),
        #[cfg(feature = "file")]
        file(),
        #[cfg(feature = "object-store")]
        object_store(),
        #[cfg(feature = "s3")]
        bucket("s3", ObjectStoreOptions::S3_FIELDS, ObjectStoreOptions::from_s3_fields),
        #[cfg(feature = "gcs")]
        bucket("gcs", ObjectStoreOptions::GCS_FIELDS, ObjectStoreOptions::from_gcs_fields),
        #[cfg(feature = "azure")]
        bucket("azure", ObjectStoreOptions::AZURE_FIELDS, ObjectStoreOptions::from_azure_fields),
        #[cfg(feature = "redis")]
        redis(),
        #[cfg(feature = "shm")]
        shm(),
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
    // ProxyStore clears by default: a config that is silent would delete the directory over there.
    file.python_fields = vec![("clear", false.into()), ("buffering", (-1_i64).into())];
    file
}

#[cfg(feature = "object-store")]
fn object_store() -> ConnectorType {
    ConnectorType::new("object_store", ObjectStoreOptions::FIELDS, |fields| {
        Ok(Arc::new(ObjectStoreOptions::from_fields(fields)?))
    })
    .class_paths(["crossdock.connectors.object_store.ObjectStoreConnector"])
}

/// A shorter way to write the config of an object store, into which it is turned.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn bucket(
    name: &str,
    fields: &'static [FieldSpec],
    read: fn(&Fields<'_>) -> Result<ObjectStoreOptions>,
) -> ConnectorType {
    ConnectorType::new(name, fields, move |fields| Ok(Arc::new(read(fields)?)))
}

#[cfg(feature = "redis")]
fn redis() -> ConnectorType {
    use crate::connectors::RedisOptions;
    let mut redis =
        ConnectorType::new("redis", RedisOptions::FIELDS, |fields| Ok(Arc::new(RedisOptions::from_fields(fields)?)))
            .class_paths(class_paths("redis", "RedisConnector"));
    redis.same_fields = &["hostname", "port"];
    redis.python_fields = vec![("clear", false.into())];
    redis
}

#[cfg(feature = "shm")]
fn shm() -> ConnectorType {
    use crate::connectors::ShmOptions;
    ConnectorType::new("shm", ShmOptions::FIELDS, |fields| Ok(Arc::new(ShmOptions::from_fields(fields)?)))
        .class_paths(["crossdock.connectors.shm.SharedMemoryConnector"])
}

const MULTI_FIELDS: &[FieldSpec] =
    &[FieldSpec::new("connectors", FieldKind::Connectors, "The connectors of the nested multi-connector. Required.")
        .required()];

fn multi() -> ConnectorType {
    ConnectorType {
        name: "multi".to_owned(),
        fields: MULTI_FIELDS,
        class_paths: class_paths("multi", "MultiConnector").to_vec(),
        nests: true,
        same_fields: &[],
        python_fields: Vec::new(),
        read: Arc::new(|scope, table, place| Ok(Arc::new(MultiOptions::read(scope, table, place)?))),
    }
}

/// The options of a nested multi-connector, read once, as deep as they go.
#[derive(Debug)]
struct MultiOptions {
    lanes: Vec<Lane>,
    hostname: Hostname,
    config: Config,
    properties: Properties,
}

impl MultiOptions {
    fn read(scope: &Scope<'_>, table: &Table, place: &str) -> Result<Self> {
        if table.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("{place}: connectors is missing; add some to it"),
            ));
        }
        let config = Config::from_table(table, place)?;
        let scope = scope.deeper();
        let lanes = scope.read(&config, &Config::place_of_entries(table, place))?;
        let multi = build(&lanes, scope.hostname.clone())?;
        let (config, properties) = (multi.config(), Connector::properties(&multi));
        Ok(Self { lanes, hostname: scope.hostname.clone(), config, properties })
    }
}

impl Opener for MultiOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(build(&self.lanes, self.hostname.clone())?))
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig { type_name: "multi".to_owned(), options: self.config.to_table() }
    }

    fn properties(&self) -> Properties {
        self.properties
    }
}
