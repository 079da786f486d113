//! Where the objects are: a URL and options, resolved on this host, and the clients made from them.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStoreScheme, RetryConfig};
use reqwest::Url;

use super::http::{ClientSettings, Http};
use super::names::Service;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use super::names::is_of_the_client;
use super::options::{ObjectStoreOptions, Wrong};
use super::store::Store;
use crate::config::{Reference, parse_duration};
use crate::error::{Error, ErrorKind, Result};

/// How long it may take to reach a server that does not answer, at most.
const CONNECT: Duration = Duration::from_secs(5);

/// Everything that is needed to make a [`Store`], secrets included: it has no `Debug` form.
pub(super) struct Place {
    service: Service,
    url: Url,
    /// The directory of the objects.
    prefix: Path,
    /// The store's options by their names: first those of the environment.
    options: Vec<(&'static str, String)>,
    /// As the config has it, for messages: what its references stand for is not shown.
    pub(super) named: String,
    client: ClientSettings,
    conditional: bool,
    /// Requests go without TLS.
    pub(super) is_plain: bool,
    /// Nobody gave credentials, so that the machine's role is asked for some.
    pub(super) asks_for_credentials: bool,
}

impl Place {
    /// Resolves the references, reads the environment, and checks what came of it. No I/O but for files that the config
    /// names.
    ///
    /// # Errors
    /// `InvalidConfig`; `Unavailable` where a reference cannot be resolved, or this build lacks the service.
    pub(super) fn of(options: &ObjectStoreOptions) -> Result<Self> {
        let options = options.clone().checked()?;
        let url = parse_url(&options.url)?;
        let service = Service::of_url(url.as_str()).ok_or_else(|| wrong_url("is no URL of an object store"))?;
        let (_, path) = ObjectStoreScheme::parse(&url).map_err(|_| wrong_url("has a path that no store takes"))?;
        // A URL that was a reference as a whole is known only now.
        let known = ObjectStoreOptions { url: Reference::literal(url.as_str()), ..options.clone() }.checked()?;
        let mut resolved = of_the_environment(service, &known.options);
        for (called, value) in &known.options {
            let Some(name) = service.option(called) else { continue };
            let text = value.resolve().map_err(|why| why.of_field(&format!("options.{called}")))?;
            // The crate would panic at a header that cannot be sent.
            if text.contains(|letter: char| !letter.is_ascii_graphic() && letter != ' ') && !is_document(called) {
                let why = "holds a character that cannot be sent; look for a newline or a letter outside of ASCII";
                return Err(Wrong::Option(called.clone(), why.to_owned()).into());
            }
            resolved.retain(|(name_before, _)| *name_before != name.name);
            resolved.push((name.name, text));
        }
        let find = |name: &str| resolved.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
        let endpoint = find("endpoint").or_else(|| find("base_url")).map(parse_endpoint).transpose()?;
        let asked = endpoint.as_ref().unwrap_or(&url);
        let client = client_settings(service, &options, &resolved, asked)?;
        if service == Service::S3 && find("access_key_id").is_some() != find("secret_access_key").is_some() {
            let why = "access_key_id and secret_access_key go together; give both, here or in the environment";
            return Err(Wrong::Field("options", why.to_owned()).into());
        }
        let is_plain = asked.scheme() == "http";
        let named = named(&options, endpoint.as_ref());
        let conditional = options.conditional_put && service != Service::Http;
        let given = ["access_key_id", "skip_signature", "web_identity_token_file", "container_credentials_full_uri"];
        let asks_for_credentials = service == Service::S3 && !given.iter().any(|name| find(name).is_some());
        Ok(Self {
            service,
            prefix: path,
            options: resolved,
            named,
            client,
            conditional,
            is_plain,
            asks_for_credentials,
            url,
        })
    }

    /// Whether writes ask the store to create and never to replace.
    pub(super) fn is_conditional(&self) -> bool {
        self.conditional
    }

    /// Whether parts of objects can be asked for, which a WebDAV server need not know.
    pub(super) fn has_ranges(&self) -> bool {
        self.service != Service::Http
    }

    /// Whether an object appears whole or not at all. A WebDAV server may show what it has so far: that is harmless as long as
    /// nobody knows the key.
    pub(super) fn is_atomic(&self) -> bool {
        self.service != Service::Http
    }

    /// The path of the object with that id.
    pub(super) fn object(&self, id: &str) -> Path {
        self.prefix.clone().join(id)
    }

    pub(super) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The clients of this process.
    ///
    /// # Errors
    /// `InvalidConfig`; `Unavailable` where this build lacks the service.
    pub(super) fn connect(&self, write_once: bool) -> Result<Store> {
        let client = self.client.client().map_err(|why| Error::new(ErrorKind::InvalidConfig, why))?;
        let http = Http::new(client, self.service == Service::S3 && self.conditional && write_once);
        match self.service {
            #[cfg(feature = "s3")]
            Service::S3 => self.connect_s3(http),
            #[cfg(feature = "gcs")]
            Service::Gcs => self.connect_gcs(http),
            #[cfg(feature = "azure")]
            Service::Azure => self.connect_azure(http),
            #[cfg(feature = "http")]
            Service::Http => self.connect_http(http),
            #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure", feature = "http")))]
            absent => {
                let message = format!(
                    "this build cannot reach {}; build crossdock with its feature {:?}",
                    self.named,
                    absent.feature()
                );
                Err(Error::new(ErrorKind::Unavailable, message).permanent())
            }
        }
    }

    #[cfg(feature = "s3")]
    fn connect_s3(&self, http: Http) -> Result<Store> {
        use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
        let mut builder = AmazonS3Builder::new()
            .with_url(self.url.as_str())
            .with_retry(no_retries())
            .with_allow_http(self.is_plain)
            .with_http_connector(http.clone());
        for (name, value) in self.options_of_the_crate() {
            let key = name.parse::<AmazonS3ConfigKey>().map_err(|_| unknown(name))?;
            builder = builder.with_config(key, value);
        }
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
        let one_by_one = builder.clone().with_config(AmazonS3ConfigKey::DisableBulkDelete, "true");
        let bulk = builder.get_config_value(&AmazonS3ConfigKey::DisableBulkDelete).as_deref() != Some("true");
        let many = Arc::new(builder.build().map_err(|cause| refused(&cause))?);
        let one = Arc::new(one_by_one.build().map_err(|cause| refused(&cause))?);
        Ok(Store {
            parts: Some(one.clone()),
            pages: Some(one.clone()),
            bulk: bulk.then_some(many),
            uploads: Some(super::uploads::Uploads::new(one.clone(), &http, region)),
            objects: one,
            http,
        })
    }

    #[cfg(feature = "gcs")]
    fn connect_gcs(&self, http: Http) -> Result<Store> {
        use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_url(self.url.as_str())
            .with_retry(no_retries())
            .with_http_connector(http.clone());
        for (name, value) in self.options_of_the_crate() {
            let key = name.parse::<GoogleConfigKey>().map_err(|_| unknown(name))?;
            builder = builder.with_config(key, value);
        }
        let store = Arc::new(builder.build().map_err(|cause| refused(&cause))?);
        Ok(Store { parts: Some(store.clone()), pages: Some(store.clone()), ..Store::of_one(store, http) })
    }

    #[cfg(feature = "azure")]
    fn connect_azure(&self, http: Http) -> Result<Store> {
        use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
        let mut builder = MicrosoftAzureBuilder::new()
            .with_url(self.url.as_str())
            .with_retry(no_retries())
            .with_allow_http(self.is_plain)
            .with_http_connector(http.clone());
        for (name, value) in self.options_of_the_crate() {
            let key = name.parse::<AzureConfigKey>().map_err(|_| unknown(name))?;
            builder = builder.with_config(key, value);
        }
        let store = Arc::new(builder.build().map_err(|cause| refused(&cause))?);
        Ok(Store { parts: Some(store.clone()), pages: Some(store.clone()), ..Store::of_one(store, http) })
    }

    #[cfg(feature = "http")]
    fn connect_http(&self, mut http: Http) -> Result<Store> {
        use object_store::ClientConfigKey;
        use object_store::http::HttpBuilder;
        http.is_dav = true;
        let find = |name| self.options.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
        if let Some(username) = find("username") {
            http.authorization = super::http::basic(username, find("password").unwrap_or_default());
        }
        let mut root = self.url.clone();
        root.set_path("");
        let store = HttpBuilder::new()
            .with_url(root.as_str())
            .with_retry(no_retries())
            .with_config(ClientConfigKey::AllowHttp, self.is_plain.to_string())
            .with_http_connector(http.clone())
            .build()
            .map_err(|cause| refused(&cause))?;
        Ok(Store::of_one(Arc::new(store), http))
    }

    /// The options that the crate applies.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    fn options_of_the_crate(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = self.options.iter().map(|(name, text)| (*name, text.as_str()));
        all.filter(|(name, _)| !is_of_the_client(name) || *name == "allow_http")
    }
}

/// Retries are ours, under one deadline for the whole call.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

fn wrong_url(why: &str) -> Error {
    Wrong::Url(why.to_owned()).into()
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn unknown(name: &str) -> Error {
    Wrong::Option(name.to_owned(), "is not known to this version of the crate object_store".to_owned()).into()
}

/// What the crate says of options that it does not take. It shows a value only where it is neither a number nor a secret.
fn refused(cause: &object_store::Error) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("the store refuses these options: {cause}; correct them"))
}

fn parse_url(url: &Reference) -> Result<Url> {
    let text = url.resolve().map_err(|why| why.of_field("url"))?;
    let url = Url::parse(&text).map_err(|cause| wrong_url(&format!("is no URL: {cause}")))?;
    if url.host_str().unwrap_or_default().is_empty() {
        return Err(wrong_url("names no bucket; write s3://BUCKET/PREFIX"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong_url("must end with the path; write what follows '?' as options"));
    }
    // Azure's drivers write abfs://container@account.
    let user_names_a_container = Service::of_url(&text) == Some(Service::Azure);
    if url.password().is_some() || (!url.username().is_empty() && !user_names_a_container) {
        return Err(wrong_url("must not contain a user; write it as an option"));
    }
    Ok(url)
}

/// The crate would panic at an endpoint that is none.
fn parse_endpoint(text: &str) -> Result<Url> {
    let wrong = |why: &str| Error::from(Wrong::Option("endpoint".to_owned(), why.to_owned()));
    let url = Url::parse(text).map_err(|_| wrong("is no URL; write one such as https://s3.example.org"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("must begin with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must have neither a user nor a query"));
    }
    Ok(url)
}

/// What the environment says of a service: `AWS_REGION` and the like. Credentials are taken from one place only, the
/// options or the environment, so that no token meets another one's key.
fn of_the_environment(service: Service, given: &[(String, Reference)]) -> Vec<(&'static str, String)> {
    let gives = |name: &str| given.iter().any(|(known, _)| known == name);
    let has_credentials = CREDENTIALS.iter().any(|name| gives(name));
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| !value.is_empty() && name.bytes().all(|byte| !byte.is_ascii_lowercase()))
        .collect();
    // AWS_ENDPOINT_URL_S3 comes behind AWS_ENDPOINT_URL, AWS_REGION behind AWS_DEFAULT_REGION.
    variables.sort();
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for (called, value) in variables {
        let called = called.to_ascii_lowercase();
        if !service.prefixes().iter().any(|prefix| called.starts_with(prefix)) {
            continue;
        }
        let Some(name) = service.option(&called) else { continue };
        if gives(name.name) || (has_credentials && CREDENTIALS.contains(&name.name)) || !value.is_ascii() {
            continue;
        }
        found.retain(|(known, _)| *known != name.name);
        found.push((name.name, value));
    }
    found
}

const CREDENTIALS: &[&str] = &[
    "access_key_id",
    "secret_access_key",
    "session_token",
    "service_account",
    "service_account_key",
    "application_credentials",
    "bearer_token",
    "account_key",
    "sas_key",
    "client_id",
    "client_secret",
];

/// Options whose values are texts of several lines.
fn is_document(name: &str) -> bool {
    name == "service_account_key"
}

fn client_settings(
    service: Service,
    options: &ObjectStoreOptions,
    resolved: &[(&'static str, String)],
    asked: &Url,
) -> Result<ClientSettings> {
    let find = |name: &str| resolved.iter().find(|(known, _)| *known == name).map(|(_, text)| text.clone());
    let duration = |name: &str| -> Result<Option<Duration>> {
        let read = |text: String| match text.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => parse_duration(&text),
        };
        let wrong = |why: Error| Wrong::Option(name.to_owned(), why.message().to_owned()).into();
        find(name).map(read).transpose().map_err(wrong)
    };
    let number = |name: &str| -> Result<Option<usize>> {
        let read =
            |text: String| text.parse().map_err(|_| Wrong::Option(name.to_owned(), "must be a number".to_owned()));
        Ok(find(name).map(read).transpose()?)
    };
    let certificates = match &options.ca_file {
        None => Vec::new(),
        Some(path) => {
            let named = path.as_str();
            let path = path.resolve().map_err(|why| why.of_field("ca_file"))?;
            std::fs::read(&path).map_err(|cause| Error::from_io("read", format_args!("the ca_file {named}"), cause))?
        }
    };
    let within_the_deadline = CONNECT.min((options.deadline / 2).max(Duration::from_millis(1)));
    // Credentials that are not at hand are fetched over TLS, wherever the objects are.
    let has_credentials = ["access_key_id", "skip_signature"].iter().any(|name| find(name).is_some());
    let is_plain = asked.scheme() == "http";
    Ok(ClientSettings {
        needs_tls: !(is_plain && (has_credentials || service == Service::Http)),
        certificates,
        connect_timeout: duration("connect_timeout")?.unwrap_or(within_the_deadline),
        pool_idle_timeout: duration("pool_idle_timeout")?,
        pool_max_idle_per_host: number("pool_max_idle_per_host")?,
        proxy_url: find("proxy_url"),
        proxy_excludes: find("proxy_excludes"),
        user_agent: find("user_agent"),
        is_local: is_local(asked),
    })
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The store for messages: the URL as the config has it, and the endpoint, if one is given.
fn named(options: &ObjectStoreOptions, endpoint: Option<&Url>) -> String {
    let given = options.options.iter().find(|(name, _)| ["endpoint", "base_url"].contains(&name.as_str()));
    let endpoint = match (given, endpoint) {
        (Some((_, text)), _) => Some(text.as_str()),
        (None, found) => found.map(Url::as_str),
    };
    let url = options.url.as_str();
    endpoint.map_or_else(|| url.to_owned(), |endpoint| format!("{url} at {}", endpoint.trim_end_matches('/')))
}
