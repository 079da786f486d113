//! The HTTP client: one for all requests of a process, and what it says when one fails.

use std::error::Error as StdError;
use std::fmt;
use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue, IF_NONE_MATCH, SERVER};
use reqwest::{Method, StatusCode, Url};
use tokio::net::UnixStream;

/// The most that is read of an answer that says no, in bytes.
const LONGEST_REFUSAL: usize = 64 << 10;

/// A client, and what all its requests have in common.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    /// For WebDAV: who asks.
    pub(super) authorization: Option<HeaderValue>,
    /// The requests that complete an upload in parts shall create the object, never replace one.
    complete_creates: bool,
    /// Answers that the crate understands by their status, and which it must see therefore.
    pub(super) passes: fn(StatusCode) -> bool,
    /// What the server calls itself.
    server: Arc<OnceLock<String>>,
}

impl Http {
    pub(super) fn new(client: reqwest::Client, complete_creates: bool) -> Self {
        Self { client, authorization: None, complete_creates, passes: |_| false, server: Arc::new(OnceLock::new()) }
    }

    /// What the server calls itself, once it has answered.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.get().map(String::as_str)
    }
}

/// As short as the values are secret.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl HttpConnector for Http {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        Ok(HttpClient::new(Requests { http: self.clone(), allows_http }))
    }
}

#[derive(Debug)]
struct Requests {
    http: Http,
    allows_http: bool,
}

#[async_trait::async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let place = place_of(&request);
        let is_metadata = request.uri().host().is_some_and(is_link_local);
        let answer = self.send(request, &place).await?;
        let status = answer.status();
        if status.is_success() || is_metadata || (self.http.passes)(status) {
            return Ok(answer);
        }
        Err(refusal(&place, answer).await)
    }
}

impl Requests {
    async fn send(&self, request: HttpRequest, place: &str) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url =
            Url::parse(&parts.uri.to_string()).map_err(|cause| not_sent(format!("{place} is no URL: {cause}")))?;
        if url.scheme() == "http" && !self.allows_http {
            return Err(not_sent(format!("{place} would be asked without TLS, which only allow_http = true allows")));
        }
        let mut sent = reqwest::Request::new(parts.method, url);
        *sent.headers_mut() = parts.headers;
        if let Some(authorization) = &self.http.authorization {
            sent.headers_mut().entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        if self.http.complete_creates && completes_an_upload(&sent) {
            sent.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        // With its length in a header, hyper sends the body as it is, not in chunks.
        if !sent.headers().contains_key(CONTENT_LENGTH) && !body.is_empty() {
            sent.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.content_length()));
        }
        if let Some(look) = parts.extensions.get::<Arc<Look>>() {
            look.end().await;
        }
        let watch = parts.extensions.get::<Watch>().cloned();
        *sent.body_mut() = Some(reqwest::Body::wrap(Watched::new(body, watch)));
        let answer = self.http.client.execute(sent).await.map_err(|cause| broken(place, &cause))?;
        if let Some(name) = answer.headers().get(SERVER).and_then(|name| name.to_str().ok()) {
            self.http.server.get_or_init(|| name.chars().filter(|letter| !letter.is_control()).take(60).collect());
        }
        let (parts, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
        let body = HttpResponseBody::new(Answer { body, place: place.to_owned() });
        Ok(HttpResponse::from_parts(parts, body))
    }
}

/// `http://host:port`, without what may be secret in a URL.
fn place_of(request: &HttpRequest) -> String {
    let uri = request.uri();
    let port = uri.port_u16().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or("?"))
}

/// The metadata service of a cloud's machine, whose answers the crate reads by their status.
fn is_link_local(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_link_local())
}

fn completes_an_upload(request: &reqwest::Request) -> bool {
    request.method() == Method::POST && request.url().query_pairs().any(|(name, _)| name == "uploadId")
}

/// A look at the connections, so that the runtime sees which of them have been closed: a write on one of those would be in
/// doubt for no reason.
///
/// The kernel reports in the order in which things happened. So when this event is reported, whatever happened to a
/// connection before has been, too. It begins before the request is signed, and is over by then.
#[derive(Debug)]
pub(super) struct Look(UnixStream);

impl Look {
    /// `None` where the system gives no sockets: then it goes without.
    pub(super) fn begin() -> Option<Self> {
        let (mut near, far) = std::os::unix::net::UnixStream::pair().ok()?;
        near.write_all(&[0]).ok()?;
        far.set_nonblocking(true).ok()?;
        UnixStream::from_std(far).ok().map(Self)
    }

    async fn end(&self) {
        let (Ok(()) | Err(_)) = self.0.readable().await;
    }
}

/// Whether the body of one request has left. `object_store` carries it to us in the request's extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<AtomicBool>);

impl Watch {
    /// Whether the server may have seen all of it. Of less than all nothing is stored.
    pub(super) fn is_sent(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The body of a request, watched as it leaves.
struct Watched {
    body: HttpRequestBody,
    watch: Option<Watch>,
}

impl Watched {
    fn new(body: HttpRequestBody, watch: Option<Watch>) -> Self {
        let watched = Self { body, watch };
        // Nobody asks for the frames of an empty body.
        watched.look();
        watched
    }

    fn look(&self) {
        if let Some(watch) = self.watch.as_ref().filter(|_| self.body.is_end_stream()) {
            watch.0.store(true, Ordering::Release);
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.look();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, whose errors are ours.
struct Answer {
    body: reqwest::Body,
    place: String,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map_err(|cause| broken(&self.place, &cause))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a request brought no answer, or none that is of use. Travels through the errors of `object_store`.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server answered, and not with yes.
    Refused { place: String, status: StatusCode, code: String, reason: String },
    /// Nothing was sent.
    NotSent(String),
    /// The connection broke under way.
    Broken(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, status, code, reason) = match self {
            Self::NotSent(text) | Self::Broken(text) => return f.write_str(text),
            Self::Refused { place, status, code, reason } => (place, status, code, reason),
        };
        write!(f, "{place} answered {status}")?;
        match (code.as_str(), reason.as_str()) {
            ("", "") => Ok(()),
            ("", text) | (text, "") => write!(f, " ({text})"),
            (code, reason) => write!(f, " ({code}: {reason})"),
        }
    }
}

impl StdError for Trouble {}

fn not_sent(text: String) -> HttpError {
    HttpError::new(HttpErrorKind::Connect, Trouble::NotSent(text))
}

/// The header of somebody with a password.
#[cfg(feature = "http")]
pub(super) fn basic(username: &str, password: &str) -> Option<HeaderValue> {
    let request = reqwest::Client::new().get("http://x").basic_auth(username, Some(password)).build().ok()?;
    request.headers().get(AUTHORIZATION).cloned()
}

/// An error of the client. Its URL is not shown: a query may hold a signature.
fn broken(place: &str, cause: &reqwest::Error) -> HttpError {
    let why = innermost(cause);
    if cause.is_connect() || cause.is_builder() {
        return not_sent(format!("cannot connect to {place}: {why}"));
    }
    HttpError::new(HttpErrorKind::Interrupted, Trouble::Broken(format!("the connection to {place} broke: {why}")))
}

fn innermost(cause: &(dyn StdError + 'static)) -> String {
    let last = std::iter::successors(Some(cause), |cause| (*cause).source()).last();
    last.map_or_else(String::new, ToString::to_string)
}

/// The answer of a server that said no, in its own words if it has some.
async fn refusal(place: &str, answer: HttpResponse) -> HttpError {
    let (parts, mut body) = answer.into_parts();
    let mut text = Vec::new();
    while text.len() < LONGEST_REFUSAL {
        match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            Some(Ok(frame)) => text.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(_)) | None => break,
        }
    }
    let text = String::from_utf8_lossy(&text);
    HttpError::new(
        HttpErrorKind::Unknown,
        Trouble::Refused {
            place: place.to_owned(),
            status: parts.status,
            code: element(&text, "Code"),
            reason: element(&text, "Message"),
        },
    )
}

/// What stands in an element of the XML that all of these services answer with, cut to a length that people read.
fn element(text: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inside = text.split_once(&open).and_then(|(_, rest)| rest.split_once(&close)).map_or("", |(inside, _)| inside);
    let line = inside.lines().next().unwrap_or_default();
    line.chars().filter(|letter| !letter.is_control()).take(200).collect::<String>().trim_end_matches('.').to_owned()
}

/// How the client is to be made.
#[derive(Default)]
pub(super) struct ClientSettings {
    /// Whether anything is asked over TLS. The certificates of the system take some milliseconds.
    pub(super) needs_tls: bool,
    /// More certificates that are trusted, in PEM.
    pub(super) certificates: Vec<u8>,
    pub(super) connect_timeout: Duration,
    pub(super) pool_idle_timeout: Option<Duration>,
    pub(super) pool_max_idle_per_host: Option<usize>,
    pub(super) proxy_url: Option<String>,
    pub(super) proxy_excludes: Option<String>,
    pub(super) user_agent: Option<String>,
    /// The store is on this machine: no proxy of the environment leads there.
    pub(super) is_local: bool,
}

/// Connections that are idle for longer may have been closed by the server, which shows only when they are used.
const IDLE: Duration = Duration::from_secs(20);

impl ClientSettings {
    pub(super) fn client(&self) -> Result<reqwest::Client, String> {
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls()?)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .tcp_keepalive(IDLE)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.pool_idle_timeout.unwrap_or(IDLE))
            .user_agent(self.user_agent.as_deref().unwrap_or(concat!("crossdock/", env!("CARGO_PKG_VERSION"))));
        if let Some(most) = self.pool_max_idle_per_host {
            client = client.pool_max_idle_per_host(most);
        }
        if let Some(url) = &self.proxy_url {
            let proxy = reqwest::Proxy::all(url).map_err(|_| "proxy_url is no URL of a proxy".to_owned())?;
            let excludes = self.proxy_excludes.as_deref().and_then(reqwest::NoProxy::from_string);
            client = client.proxy(proxy.no_proxy(excludes));
        } else if self.is_local {
            client = client.no_proxy();
        }
        client.build().map_err(|cause| format!("the HTTP client cannot be made: {}", innermost(&cause)))
    }

    /// TLS by rustls and ring, with the certificates that the system trusts and those given. Nothing is set for the
    /// process.
    fn tls(&self) -> Result<rustls::ClientConfig, String> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let mut trusted = rustls::RootCertStore::empty();
        if self.needs_tls {
            trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        for certificate in CertificateDer::pem_slice_iter(&self.certificates) {
            let added = certificate.map_err(|cause| cause.to_string());
            let added = added.and_then(|certificate| trusted.add(certificate).map_err(|cause| cause.to_string()));
            added.map_err(|why| format!("ca_file holds what is no certificate in PEM: {why}"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(|cause| format!("TLS cannot be had: {cause}"))?;
        Ok(config.with_root_certificates(trusted).with_no_client_auth())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_from_xml() {
        let text = "<?xml?><Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist.\nMore</Message></Error>";
        assert_eq!(element(text, "Code"), "NoSuchBucket");
        assert_eq!(element(text, "Message"), "The specified bucket does not exist");
        assert_eq!(element("<html>", "Code"), "");
        assert_eq!(element(&format!("<Code>{}</Code>", "x".repeat(900)), "Code").len(), 200);
    }

    #[test]
    fn a_client_can_be_made_without_a_provider_of_the_process() {
        assert!(ClientSettings { needs_tls: true, ..Default::default() }.client().is_ok());
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
        assert!(ClientSettings { proxy_url: Some("::".into()), ..Default::default() }.client().is_err());
    }
}
