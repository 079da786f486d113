//! TLS over a TCP connection.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::failure::{Cause, Failure};
use super::options::TlsOptions;
use crate::config::Reference;
use crate::error::{Error, ErrorKind, Result};

/// How a connection is encrypted.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts the given authorities, or those of the system.
    ///
    /// # Errors
    /// `Unavailable`, naming the file that is missing or wrong.
    pub(super) fn new(options: &TlsOptions) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| broken("tls", &cause))?
            .with_root_certificates(authorities(options.ca_file.as_ref())?);
        let config = match (&options.cert_file, &options.key_file) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("tls_cert_file", cert)?, private_key(key)?)
                .map_err(|cause| broken("tls_cert_file", &cause))?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn over(&self, stream: TcpStream, host: &str) -> Result<TlsStream, Failure> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Failure::before_sending(Cause::Protocol("its name is none that a certificate can be made for"))
        })?;
        let connection = ClientConnection::new(self.0.clone(), name).map_err(|cause| Failure::io(tls_error(cause)))?;
        Ok(TlsStream(StreamOwned::new(connection, stream)))
    }
}

/// The library shows the name that a certificate is not for, which in the config may be a reference.
fn without_our_name(cause: io::Error) -> io::Error {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
    let inner = cause.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) = inner {
        return io::Error::other("its certificate is made out to other names than the one it is reached by");
    }
    cause
}

fn tls_error(cause: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

fn broken(field: &str, cause: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{field}: {cause}; correct the files that it names")).permanent()
}

fn authorities(ca_file: Option<&Reference>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            for certificate in certificates("tls_ca_file", file)? {
                store.add(certificate).map_err(|cause| broken("tls_ca_file", &cause))?;
            }
        }
        None => {
            // What the system has that cannot be read is of no use to others either.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        let message = "there are no certificates of authorities to trust; install ca-certificates, or give tls_ca_file";
        return Err(Error::new(ErrorKind::Unavailable, message).permanent());
    }
    Ok(store)
}

fn certificates(field: &str, file: &Reference) -> Result<Vec<CertificateDer<'static>>> {
    let path = file.resolve().map_err(|why| why.of_field(field))?;
    let read = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(broken(field, &format_args!("{} has no certificate in PEM form in it", file.as_str()))),
        Err(cause) => Err(broken(field, &format_args!("{} cannot be read: {cause}", file.as_str()))),
    }
}

fn private_key(file: &Reference) -> Result<PrivateKeyDer<'static>> {
    let path = file.resolve().map_err(|why| why.of_field("tls_key_file"))?;
    PrivateKeyDer::from_pem_file(&path)
        .map_err(|cause| broken("tls_key_file", &format_args!("{} cannot be read: {cause}", file.as_str())))
}

/// An encrypted connection. Calls that come back because nothing has happened for a while can be repeated.
pub(super) struct TlsStream(StreamOwned<ClientConnection, TcpStream>);

impl TlsStream {
    pub(super) fn is_handshaking(&self) -> bool {
        self.0.conn.is_handshaking()
    }

    pub(super) fn shake_hands(&mut self) -> io::Result<()> {
        self.0.conn.complete_io(&mut self.0.sock).map(drop).map_err(without_our_name)
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.0.sock.as_fd()
    }

    /// Through a buffer of one record: the library wants memory that was written before.
    pub(super) fn read(&mut self, memory: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        let mut record = [0; 16 << 10];
        let room = memory.len().min(record.len());
        let read = self.0.read(&mut record[..room])?;
        memory[..read].write_copy_of_slice(&record[..read]);
        Ok(read)
    }

    pub(super) fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        // What it takes stays in its buffer until it is on the way: no more of it before that.
        self.flush()?;
        self.0.conn.writer().write_vectored(parts)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.0.conn.wants_write() {
            self.0.conn.write_tls(&mut self.0.sock)?;
        }
        Ok(())
    }
}
