//! Looks up the addresses of a host with the system's resolver and classifies failures.

use std::net::SocketAddr;
use std::{fmt, io};

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};

/// Why a name could not be resolved.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) enum LookupFailure {
    /// The host does not exist or has no address.
    NotFound,
    /// No name server answered.
    Temporary,
    Other,
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "host not found",
            Self::Temporary => "temporary failure of name resolution",
            Self::Other => "name resolution failed",
        })
    }
}

impl std::error::Error for LookupFailure {}

/// The addresses of a host, without duplicates.
pub(in crate::registry) async fn lookup(host: &str) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    tokio::task::spawn_blocking(move || addresses(&host)).await.map_err(io::Error::other)?
}

fn addresses(host: &str) -> io::Result<Vec<SocketAddr>> {
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let found = getaddrinfo(Some(host), None, Some(hints)).map_err(|error| match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => {
            io::Error::new(io::ErrorKind::NotFound, LookupFailure::NotFound)
        }
        LookupErrorKind::Again => io::Error::other(LookupFailure::Temporary),
        // An error of the system and not of the name, e.g. no free file descriptor.
        LookupErrorKind::System => io::Error::from(error),
        _ => io::Error::other(LookupFailure::Other),
    })?;
    found.map(|info| info.map(|info| info.sockaddr)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dns_failure_names_its_kind() {
        let found = lookup("127.0.0.1").await.unwrap();
        assert_eq!(found, ["127.0.0.1:0".parse().unwrap()]);
        let error = lookup("rpull-test.invalid").await.unwrap_err();
        let text = error.to_string();
        assert!(
            ["host not found", "temporary failure of name resolution"].contains(&text.as_str()),
            "{text}"
        );
    }
}
