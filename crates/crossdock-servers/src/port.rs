//! Ports that stay with their server.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

use crate::error::{Context, Error, Result};

/// A port of 127.0.0.1 that nobody else gets, also while the server is down: this socket is bound to it and never
/// listens. Servers bind with `SO_REUSEADDR` and so get past it; the kernel gives the port to nobody who asks for any.
pub(crate) struct Port {
    number: u16,
    _held: OwnedFd,
}

impl Port {
    pub(crate) fn reserve() -> Result<Self> {
        let reserve = || {
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
            // Not before `bind`, which would then share a port with somebody who reserves likewise.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            let address = getsockname(&socket)?;
            rustix::io::Result::Ok((socket, address))
        };
        let (held, address) = reserve().context(|| "no free port on 127.0.0.1".to_owned())?;
        let address = SocketAddr::try_from(address).map_err(|_| Error::failed("a port without a number"))?;
        Ok(Self { number: address.port(), _held: held })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
