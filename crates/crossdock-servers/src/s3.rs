//! One S3 server over a directory.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::place::Place;
use crate::port::Port;
use crate::program::Program;
use crate::server::{Kind, Server};

/// How an S3 server is to be.
#[derive(Clone)]
pub struct S3Options {
    buckets: Vec<String>,
    access_key: String,
    secret_key: String,
}

impl Default for S3Options {
    fn default() -> Self {
        Self { buckets: Vec::new(), access_key: "access-of-tests".to_owned(), secret_key: "secret-of-tests".to_owned() }
    }
}

impl S3Options {
    /// One bucket, `objects`, unless others are named.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more bucket; its name has 3 letters or more.
    pub fn bucket(mut self, name: &str) -> Self {
        self.buckets.push(name.to_owned());
        self
    }

    /// Other than the default keys. They are seen in the list of processes: not for a secret that is one elsewhere.
    pub fn keys(mut self, access: &str, secret: &str) -> Self {
        access.clone_into(&mut self.access_key);
        secret.clone_into(&mut self.secret_key);
        self
    }
}

impl Kind for S3Options {
    fn program(&self) -> Program {
        Program::S3
    }

    fn prepare(&self, place: &Place, ports: &[Port]) -> Result<Vec<String>> {
        let root = place.join(ROOT);
        for bucket in &self.buckets {
            fs::create_dir_all(root.join(bucket)).context(|| format!("cannot make the bucket {bucket}"))?;
        }
        let (port, root) = (ports[0].number().to_string(), root.to_string_lossy());
        let listen = ["--host", "127.0.0.1", "--port", &port];
        let keys = ["--access-key", &self.access_key, "--secret-key", &self.secret_key];
        Ok([&listen[..], &keys, &[&root]].concat().into_iter().map(str::to_owned).collect())
    }

    fn asks(&self, _: &Place, ports: &[Port]) -> Result<()> {
        answers_http(ports[0].address()).map_err(|error| Error::failed(error.to_string()))
    }
}

/// A running `s3s-fs`. Dropping it ends it and removes its directory.
pub struct S3 {
    server: Server,
    options: S3Options,
}

/// Whatever can be done to any server.
impl Deref for S3 {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl S3 {
    /// Starts one; it answers when this returns.
    ///
    /// # Errors
    /// [`Error::Missing`], or what the server said when it refused to start.
    pub fn start(options: &S3Options) -> Result<Self> {
        let mut options = options.clone();
        if options.buckets.is_empty() {
            options.buckets.push("objects".to_owned());
        }
        Ok(Self { server: Server::start(options.clone())?, options })
    }

    /// `http://127.0.0.1:port`; buckets are the first part of the path. Any region will do.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The access key.
    pub fn access_key(&self) -> &str {
        &self.options.access_key
    }

    /// The secret key.
    pub fn secret_key(&self) -> &str {
        &self.options.secret_key
    }

    /// The names of the buckets that it started with.
    pub fn buckets(&self) -> &[String] {
        &self.options.buckets
    }

    /// The directory that has a directory for each bucket, and what the server keeps besides.
    pub fn root(&self) -> PathBuf {
        self.dir().join(ROOT)
    }

    /// The directory of a bucket. An object is a file with the object's name.
    pub fn bucket_dir(&self, bucket: &str) -> PathBuf {
        self.root().join(bucket)
    }
}

const ROOT: &str = "buckets";

fn answers_http(address: SocketAddr) -> io::Result<()> {
    let limit = Some(Duration::from_secs(5));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut start = [0; 5];
    stream.read_exact(&mut start)?;
    if &start == b"HTTP/" { Ok(()) } else { Err(io::Error::other("it does not speak HTTP")) }
}
