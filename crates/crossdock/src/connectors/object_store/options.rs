//! The options of an object store connector.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ObjectStoreConnector;
use super::fields::{Sugar, TUNING, with_tuning};
use super::names::Service;
use crate::config::{ConnectorConfig, FieldKind, FieldSpec, Fields, Reference, Table, with_nearest};
use crate::connector::{Connector, Opener, Properties};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Durability, Integrity};

/// The smallest part that S3 takes, but for the last one.
const SMALLEST_PART: u64 = 5 << 20;
/// The largest object or part that one request may carry.
const LARGEST_PART: u64 = 5 << 30;
const MOST_AT_ONCE: i64 = 256;
const MOST_RETRIES: i64 = 100;

/// How an [`ObjectStoreConnector`] is to be built.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectStoreOptions {
    pub(super) url: Reference,
    /// By the names that [`Service::option`] gives them.
    pub(super) options: Vec<(String, Reference)>,
    pub(super) ca_file: Option<Reference>,
    pub(super) integrity: Integrity,
    pub(super) write_once: bool,
    pub(super) conditional_put: bool,
    pub(super) multipart_threshold: u64,
    pub(super) part_size: u64,
    pub(super) concurrency: usize,
    pub(super) retries: u32,
    pub(super) deadline: Duration,
    pub(super) clear: bool,
}

impl ObjectStoreOptions {
    /// Objects at `url`, such as `s3://bucket/prefix`, with the defaults.
    pub fn new(url: impl AsRef<str>) -> Self {
        Self::at(Reference::literal(url.as_ref()))
    }

    /// Objects at a URL that may contain references such as `${env:BUCKET}`.
    #[must_use]
    pub fn at(url: Reference) -> Self {
        Self {
            url,
            options: Vec::new(),
            ca_file: None,
            integrity: Integrity::Checksum,
            write_once: true,
            conditional_put: true,
            multipart_threshold: 16 << 20,
            part_size: 8 << 20,
            concurrency: 32,
            retries: 3,
            deadline: Duration::from_secs(15),
            clear: false,
        }
    }

    /// An option of the store itself, such as `region` or `aws_secret_access_key`. One that is secret must be a reference:
    /// [`ObjectStoreConnector::open`] refuses any other, as configs would show it. What is not given is taken from the
    /// environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
    ///
    /// ```
    /// use crossdock::config::Reference;
    /// use crossdock::connectors::ObjectStoreOptions;
    /// let options = ObjectStoreOptions::new("s3://runs/today")
    ///     .option("endpoint", Reference::literal("https://s3.example.org"))
    ///     .option("secret_access_key", Reference::new("${file:/run/secrets/s3}")?);
    /// # let _ = options;
    /// # Ok::<(), crossdock::Error>(())
    /// ```
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: Reference) -> Self {
        self.options.push((name.into(), value));
        self
    }

    /// A file of certificates (PEM) that are trusted besides those of the system.
    #[must_use]
    pub fn ca_file(mut self, path: Reference) -> Self {
        self.ca_file = Some(path);
        self
    }

    /// What keys carry, and what is checked. Default: the checksum.
    #[must_use]
    pub fn integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = integrity;
        self
    }

    /// Whether an object is written once. Without, a `set` with other bytes replaces the object, whole; keys then say nothing
    /// of the bytes, so that these are not checked. Default: it is.
    #[must_use]
    pub fn write_once(mut self, write_once: bool) -> Self {
        self.write_once = write_once;
        self
    }

    /// Whether puts ask the store to create and never to replace (`If-None-Match: *`). Some older servers cannot do that:
    /// without, a put is as safe, as its id is new, but of two writers of one deferred key the later one may win. Default:
    /// they ask. WebDAV servers are never asked.
    #[must_use]
    pub fn conditional_put(mut self, conditional: bool) -> Self {
        self.conditional_put = conditional;
        self
    }

    /// From which size on, in bytes, an object is written and read in parts. Default 16 MiB, at most 5 GiB.
    #[must_use]
    pub fn multipart_threshold(mut self, bytes: u64) -> Self {
        self.multipart_threshold = bytes;
        self
    }

    /// The size of a part, in bytes, from 5 MiB to 5 GiB. Default 8 MiB. Objects of more than 10,000 parts get larger ones.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes;
        self
    }

    /// How many requests one call makes at the same time, from 1 to 256. Default 32.
    #[must_use]
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// How often a request is repeated where that may help. 0 for never; default 3.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long one call may take with all its retries, besides a second for each 8 MiB that it moves. More than 0; default 15
    /// seconds.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether `close` removes all objects. Counts only in the process that asked for it, and is no part of the config.
    #[must_use]
    pub fn clear(mut self, clear: bool) -> Self {
        self.clear = clear;
        self
    }

    /// The URL, with its references unresolved.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The fields of the type `object_store` in a config.
    pub const FIELDS: &'static [FieldSpec] = &with_tuning::<2, { 2 + TUNING.len() }>([
        FieldSpec::new(
            "url",
            FieldKind::Text,
            "Where the objects are: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or the http(s) URL of a \
             WebDAV directory. Required.",
        )
        .required(),
        FieldSpec::new(
            "options",
            FieldKind::Texts,
            "Options of the store by the names that the crate object_store gives them, such as region, endpoint or \
             aws_secret_access_key; secrets must be references. What is not given is taken from the environment.",
        ),
    ]);

    /// The fields of the type `s3` in a config.
    pub const S3_FIELDS: &'static [FieldSpec] = super::fields::S3_FIELDS;
    /// The fields of the type `gcs` in a config.
    pub const GCS_FIELDS: &'static [FieldSpec] = super::fields::GCS_FIELDS;
    /// The fields of the type `azure` in a config.
    pub const AZURE_FIELDS: &'static [FieldSpec] = super::fields::AZURE_FIELDS;

    /// Reads the options from a config of the type `object_store`.
    ///
    /// # Errors
    /// `InvalidConfig` with the line, the place and what to do.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self> {
        let url = fields.text("url")?.filter(|url| !url.as_str().is_empty()).ok_or_else(|| {
            fields.wrong("url", "the URL is missing; add a line such as url = \"s3://bucket/prefix\"")
        })?;
        let options = Self { options: fields.texts("options")?, ..Self::at(url) };
        options.tuned(fields, "url")
    }

    /// Reads the options from a config of the type `s3`.
    ///
    /// # Errors
    /// As [`from_fields`](Self::from_fields).
    pub fn from_s3_fields(fields: &Fields<'_>) -> Result<Self> {
        Self::from_sugar(fields, &super::fields::S3)
    }

    /// Reads the options from a config of the type `gcs`.
    ///
    /// # Errors
    /// As [`from_fields`](Self::from_fields).
    pub fn from_gcs_fields(fields: &Fields<'_>) -> Result<Self> {
        Self::from_sugar(fields, &super::fields::GCS)
    }

    /// Reads the options from a config of the type `azure`.
    ///
    /// # Errors
    /// As [`from_fields`](Self::from_fields).
    pub fn from_azure_fields(fields: &Fields<'_>) -> Result<Self> {
        Self::from_sugar(fields, &super::fields::AZURE)
    }

    fn from_sugar(fields: &Fields<'_>, sugar: &Sugar) -> Result<Self> {
        let mut options = Self::at(sugar.url(fields)?);
        for name in sugar.options {
            if let Some(value) = fields.text(name)? {
                check_option(sugar.service, name, &value).map_err(|why| fields.wrong(name, why))?;
                options.options.push(((*name).to_owned(), value));
            }
        }
        options.options.extend(fields.texts("options")?);
        options.tuned(fields, sugar.bucket)
    }

    /// Reads the fields that all types have, and checks the whole.
    fn tuned(mut self, fields: &Fields<'_>, url_field: &str) -> Result<Self> {
        self.ca_file = fields.text("ca_file")?;
        if fields.choice("integrity")? == Some("size") {
            self.integrity = Integrity::Size;
        }
        self.write_once = fields.boolean("write_once")?.unwrap_or(self.write_once);
        self.conditional_put = fields.boolean("conditional_put")?.unwrap_or(self.conditional_put);
        self.multipart_threshold = fields.size("multipart_threshold")?.unwrap_or(self.multipart_threshold);
        self.part_size = fields.size("part_size")?.unwrap_or(self.part_size);
        let number = |field, least, most| match fields.integer(field)? {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            Some(_) => Err(fields.wrong(field, format_args!("must be from {least} to {most}"))),
            None => Ok(None),
        };
        if let Some(concurrency) = number("concurrency", 1, MOST_AT_ONCE)? {
            self.concurrency = usize::try_from(concurrency).unwrap_or(self.concurrency);
        }
        if let Some(retries) = number("retries", 0, MOST_RETRIES)? {
            self.retries = u32::try_from(retries).unwrap_or(self.retries);
        }
        self.deadline = fields.duration("deadline")?.unwrap_or(self.deadline);
        fields.boolean("clear")?;
        self.checked().map_err(|wrong| match wrong {
            Wrong::Url(why) => fields.wrong(url_field, why),
            Wrong::Field(field, why) => fields.wrong(field, why),
            Wrong::Option(name, why) => fields.wrong_in("options", &name, why),
        })
    }

    /// The options, if they are right, with the names of the store's options as [`Service::option`] gives them.
    ///
    /// What hides behind references is checked when they are resolved.
    pub(super) fn checked(mut self) -> Result<Self, Wrong> {
        let sizes =
            [("multipart_threshold", self.multipart_threshold, 0), ("part_size", self.part_size, SMALLEST_PART)];
        for (field, size, least) in sizes {
            if !(least..=LARGEST_PART).contains(&size) {
                return Err(Wrong::Field(field, format!("must be from {least} to {LARGEST_PART} bytes")));
            }
        }
        if self.deadline.is_zero() {
            return Err(Wrong::Field("deadline", "must be more than 0; leave it out for 15 seconds".to_owned()));
        }
        if self.concurrency == 0 || self.concurrency > MOST_AT_ONCE as usize {
            return Err(Wrong::Field("concurrency", format!("must be from 1 to {MOST_AT_ONCE}")));
        }
        let text = self.url.as_str();
        if has_password(text) {
            let why = "must not contain a user and a password; write them as options, the password as ${env:NAME} or \
                       ${file:PATH}";
            return Err(Wrong::Url(why.to_owned()));
        }
        let Some(service) = Service::of_url(text) else {
            if text.starts_with("${") {
                return match self.options.iter().find(|(called, value)| !may_show(None, called, value)) {
                    Some((called, _)) => Err(Wrong::Option(called.clone(), SECRET.to_owned())),
                    None => Ok(self),
                };
            }
            let shown: String = text.chars().take(80).collect();
            let why = format!(
                "{shown:?} is no URL of an object store; write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX \
                 or an http(s) URL"
            );
            return Err(Wrong::Url(why));
        };
        for index in 0..self.options.len() {
            let (called, value) = &self.options[index];
            let name = check_option(service, called, value).map_err(|why| Wrong::Option(called.clone(), why))?;
            if self.options[..index].iter().any(|(before, _)| before == name) {
                return Err(Wrong::Option(called.clone(), format!("{name} is given twice; keep one of the two")));
            }
            name.clone_into(&mut self.options[index].0);
        }
        Ok(self)
    }
}

/// What is wrong in options, and where.
#[derive(Debug)]
pub(super) enum Wrong {
    Url(String),
    Field(&'static str, String),
    Option(String, String),
}

impl From<Wrong> for Error {
    fn from(wrong: Wrong) -> Self {
        let message = match wrong {
            Wrong::Url(why) => format!("url: {why}"),
            Wrong::Field(field, why) => format!("{field}: {why}"),
            Wrong::Option(name, why) => format!("options.{}: {why}", name.chars().take(80).collect::<String>()),
        };
        Self::new(ErrorKind::InvalidConfig, message)
    }
}

/// The name of an option of the service, if it is one, and its value is no secret that everybody could read.
fn check_option(service: Service, called: &str, value: &Reference) -> Result<&'static str, String> {
    let Some(name) = service.option(called) else {
        let known = service.names().map(|known| known.name);
        return Err(format!("unknown option {}", with_nearest(called, known)));
    };
    if !may_show(Some(service), called, value) {
        return Err(SECRET.to_owned());
    }
    Ok(name.name)
}

const SECRET: &str = "is a secret, which must not stand in a config; write ${env:NAME} or ${file:PATH} instead of it";

/// Whether everybody may see the value of an option: a reference, or no secret. Where the service is not known yet, it
/// must be so for each.
fn may_show(service: Option<Service>, called: &str, value: &Reference) -> bool {
    let mut services = Service::ALL.into_iter().filter(|each| service.is_none_or(|service| service == *each));
    let secret = services.any(|service| service.option(called).is_some_and(|name| name.secret));
    if secret { value.as_literal().is_none() } else { !has_password(value.as_str()) }
}

/// Whether there is a password in a URL that is no reference.
fn has_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| !password.starts_with("${"))
}

/// Without the values of the store's options: some of them may be secrets, which opening refuses.
impl fmt::Debug for ObjectStoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.options.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "ObjectStoreOptions(url={:?}, options={names:?})", self.url.as_str())
    }
}

impl Opener for ObjectStoreOptions {
    fn open(&self) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(ObjectStoreConnector::open(self)?))
    }

    fn config(&self) -> ConnectorConfig {
        let mut table = Table::new().with("url", self.url.as_str());
        let plain = Self::at(self.url.clone());
        let service = Service::of_url(self.url.as_str());
        let shown = self.options.iter().filter(|(called, value)| may_show(service, called, value));
        let shown = shown.fold(Table::new(), |table, (name, value)| table.with(name.as_str(), value.as_str()));
        if !shown.is_empty() {
            table.set("options", shown);
        }
        if let Some(path) = &self.ca_file {
            table.set("ca_file", path.as_str());
        }
        if self.integrity != plain.integrity {
            table.set("integrity", self.integrity.as_str());
        }
        if !self.write_once {
            table.set("write_once", false);
        }
        if !self.conditional_put {
            table.set("conditional_put", false);
        }
        if self.multipart_threshold != plain.multipart_threshold {
            table.set("multipart_threshold", self.multipart_threshold);
        }
        if self.part_size != plain.part_size {
            table.set("part_size", self.part_size);
        }
        if self.concurrency != plain.concurrency {
            table.set("concurrency", self.concurrency as u64);
        }
        if self.retries != plain.retries {
            table.set("retries", u64::from(self.retries));
        }
        if self.deadline != plain.deadline {
            table.set("deadline", self.deadline);
        }
        ConnectorConfig { type_name: "object_store".to_owned(), options: table }
    }

    fn properties(&self) -> Properties {
        Properties::NONE.durable(Durability::Backend).remote().shared()
    }
}
