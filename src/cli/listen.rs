//! Listens on the address that the user named.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::error::{Error, ErrorKind, Result};

/// Listens on the address. Without a host it is loopback, so that other machines cannot connect by default.
pub(super) async fn listen(typed: &str) -> Result<(TcpListener, SocketAddr)> {
    let fail = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
            _ => ErrorKind::Transport,
        };
        Error::new(kind, "listen").at(typed).with_source(error)
    };
    let host_and_port =
        if typed.starts_with(':') { format!("127.0.0.1{typed}") } else { typed.to_owned() };
    let listener = TcpListener::bind(host_and_port).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}
