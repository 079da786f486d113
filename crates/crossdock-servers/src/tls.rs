//! Certificates for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Context, Error, Result};
use crate::program::Program;

const EXTENSIONS: &str = "
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
";

/// A certificate authority of its own, a server's certificate for `127.0.0.1` and `localhost`, and a client's: PEM files.
#[derive(Clone, Debug)]
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes new ones in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Missing`] without `openssl`, and what it said where it failed.
    pub fn make(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).context(|| format!("cannot make {}", dir.display()))?;
        let config = dir.join("openssl.cnf");
        fs::write(&config, EXTENSIONS).context(|| format!("cannot write {}", config.display()))?;
        let made = Self { dir: dir.to_owned() };
        made.sign("ca", &[])?;
        for name in ["server", "client"] {
            made.sign(name, &["-CA", "ca.pem", "-CAkey", "ca.key"])?;
        }
        Ok(made)
    }

    /// Those that were made in a directory.
    pub(crate) fn in_dir(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn sign(&self, name: &str, by: &[&str]) -> Result<()> {
        let mut openssl = Command::new(Program::Openssl.find()?);
        openssl.args(["req", "-x509", "-config", "openssl.cnf", "-days", "30", "-noenc"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-subj", &format!("/CN={name} of tests"), "-extensions", name]).args(by);
        openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
        let output = openssl.current_dir(&self.dir).stdin(Stdio::null()).output().context(|| "openssl".to_owned())?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
        Err(Error::failed(format!("openssl cannot make the certificate {name}: {why}")))
    }

    /// What a client must trust.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The server's certificate.
    pub fn server(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    /// The server's key.
    pub fn server_key(&self) -> PathBuf {
        self.dir.join("server.key")
    }

    /// A client's certificate.
    pub fn client(&self) -> PathBuf {
        self.dir.join("client.pem")
    }

    /// The client's key.
    pub fn client_key(&self) -> PathBuf {
        self.dir.join("client.key")
    }
}
