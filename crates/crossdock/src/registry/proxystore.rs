//! Configs in the shape that ProxyStore writes and reads: `{name: [class path, options, policy]}`.

use super::Registry;
use crate::config::{Config, Entry, Reference, Table, Value, write_json};
use crate::error::Result;
use crate::policy::Policy;

/// For whom the JSON is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Our Python package: our class paths, all options.
    Crossdock,
    /// ProxyStore itself: its class paths, and only what it understands.
    Proxystore,
}

/// A config in the shape of ProxyStore.
#[derive(Clone, Debug)]
pub struct ProxystoreJson {
    /// The JSON.
    pub text: String,
    /// What the reader would not understand and was left out, one sentence each.
    pub left_out: Vec<String>,
}

impl Registry {
    /// The config as ProxyStore's `MultiConnector.config()` gives it.
    ///
    /// # Errors
    /// As [`Registry::connect`].
    pub fn to_proxystore_json(&self, config: &Config, flavor: Flavor) -> Result<ProxystoreJson> {
        let mut left_out = Vec::new();
        let table = self.to_shape(&self.canonical(config)?, flavor, "", &mut left_out)?;
        Ok(ProxystoreJson { text: write_json(&table), left_out })
    }

    fn to_shape(&self, config: &Config, flavor: Flavor, place: &str, left_out: &mut Vec<String>) -> Result<Table> {
        let mut shape = Table::new();
        for entry in config.entries() {
            let place = format!("{place}{}", entry.name);
            let (class_path, options) = self.to_class(entry, flavor, &place, left_out)?;
            let mut policy = entry.policy.to_table();
            for field in Policy::EXTENSIONS.iter().filter(|_| flavor == Flavor::Proxystore) {
                if policy.remove(field).is_some() {
                    left_out.push(format!("{place}: ProxyStore's policies know no {field}"));
                }
            }
            shape.set(&*entry.name, Value::list([class_path.into(), options.into(), policy.into()]));
        }
        Ok(shape)
    }

    fn to_class(
        &self,
        entry: &Entry,
        flavor: Flavor,
        place: &str,
        left_out: &mut Vec<String>,
    ) -> Result<(String, Table)> {
        let written = &entry.connector;
        let Some(known) = self.get(&written.type_name) else {
            return Ok((written.type_name.clone(), written.options.clone()));
        };
        let wanted = usize::from(flavor == Flavor::Proxystore);
        let Some(class_path) = known.class_paths.get(wanted).cloned() else {
            left_out.push(format!("{place}: there is no class of Python for the type {:?}", known.name));
            return Ok((known.name.clone(), written.options.clone()));
        };
        if known.nests {
            let nested = Config::from_table(&written.options, place)?;
            return Ok((class_path, self.to_shape(&nested, flavor, &format!("{place}."), left_out)?));
        }
        let mut options = Table::new();
        for (field, node) in written.options.iter() {
            let alias = known.fields.iter().find(|spec| spec.name == field).and_then(|spec| spec.alias);
            let is_same = known.same_fields.contains(&field);
            if alias.is_none() && !is_same && flavor == Flavor::Proxystore {
                left_out.push(format!("{place}: ProxyStore's {} knows no option {field:?}", known.name));
                continue;
            }
            let mut value = node.value.clone();
            if let (Flavor::Proxystore, Value::String(text)) = (flavor, &value) {
                match Reference::new(text.as_str())?.as_literal() {
                    Some(literal) => value = literal.into(),
                    None => left_out.push(format!(
                        "{place}: ProxyStore takes the reference in {field:?} literally; write the value there"
                    )),
                }
            }
            options.set(alias.unwrap_or(field), value);
        }
        for (field, value) in &known.python_fields {
            options.set(*field, value.clone());
        }
        Ok((class_path, options))
    }
}
