//! Checks the `Host` header against DNS rebinding: a web page can let its own domain resolve to this machine and then
//! send requests to a local server. A server on loopback therefore accepts only loopback names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::header::HOST;
use hyper::{Request, StatusCode, Version};

use super::response::ApiError;
use crate::error::{Error, ErrorKind, Result};

/// The host names that a server accepts.
#[derive(Clone, Debug)]
pub(super) enum Hosts {
    /// Any name is accepted.
    Any,
    /// Loopback names, and these.
    Loopback(Vec<String>),
}

impl Hosts {
    pub(super) fn for_address(listening: Option<IpAddr>, names: Vec<String>) -> Self {
        match listening {
            Some(address) if address.to_canonical().is_loopback() => Self::Loopback(names),
            _ => Self::Any,
        }
    }

    /// Checks the host that a request names.
    ///
    /// # Errors
    /// The response for a request with a missing, duplicate or unexpected host.
    pub(super) fn check<B>(&self, request: &Request<B>) -> std::result::Result<(), ApiError> {
        let bad_request = |reason| ApiError::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", reason);
        let mut values = request.headers().get_all(HOST).iter();
        let host = match (values.next(), values.next()) {
            (None, _) if request.version() < Version::HTTP_11 => None,
            (None, _) => return Err(bad_request("missing Host header")),
            (Some(_), Some(_)) => return Err(bad_request("more than one Host header")),
            (Some(value), None) => {
                let host = value.to_str().ok().and_then(host_of);
                Some(host.ok_or_else(|| bad_request("invalid Host, expected HOST or HOST:PORT"))?)
            }
        };
        // RFC 9112, 3.2.2: the host of the request target takes precedence, so both must be acceptable.
        let target = request.uri().authority().map(|authority| host_of(authority.as_str()));
        let target =
            target.map(|host| host.ok_or_else(|| bad_request("the request target has no host")));
        for host in host.into_iter().chain(target.transpose()?) {
            if !self.accepts(host) {
                let reason = "unexpected Host: this registry answers to localhost only; start it with `--host NAME` to allow other names";
                return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "DENIED", reason));
            }
        }
        Ok(())
    }

    fn accepts(&self, host: &str) -> bool {
        let Self::Loopback(names) = self else { return true };
        let host = host.strip_suffix('.').unwrap_or(host);
        if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback());
        }
        host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
            || host.eq_ignore_ascii_case("localhost")
            || names.iter().any(|name| host.eq_ignore_ascii_case(name))
    }
}

/// Returns the host of `HOST` or `HOST:PORT`.
fn host_of(text: &str) -> Option<&str> {
    let end = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at_checked(end)?;
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let is_host_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=[]:".contains(&byte);
    let is_port_valid = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    (is_port_valid && !host.is_empty() && host.bytes().all(is_host_byte)).then_some(host)
}

/// Parses an additional host name of the server.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if it is not a host name, or has a port: every port is accepted.
pub(super) fn parse_host_name(name: &str) -> Result<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if host_of(name) == Some(name) && !name.starts_with('[') {
        return Ok(name.to_owned());
    }
    Err(Error::new(ErrorKind::InvalidInput, "host")
        .at(name)
        .with_reason("invalid host name; a port is not allowed"))
}

#[cfg(test)]
mod tests {
    use hyper::Uri;

    use super::*;

    fn status(hosts: &Hosts, headers: &[&str], target: &str, version: Version) -> u16 {
        let mut request = Request::new(());
        *request.uri_mut() = target.parse::<Uri>().unwrap();
        *request.version_mut() = version;
        for header in headers {
            request.headers_mut().append(HOST, header.parse().unwrap());
        }
        hosts.check(&request).map_or_else(|error| error.status.as_u16(), |()| 200)
    }

    fn loopback(address: &str) -> Hosts {
        Hosts::for_address(Some(address.parse().unwrap()), vec!["Box.example".into()])
    }

    #[test]
    fn host_other_than_loopback_is_misdirected() {
        let hosts = loopback("127.0.0.1");
        for host in [
            "localhost",
            "LocalHost:5000",
            "localhost.:5000",
            "127.0.0.1",
            "127.9.8.7:1",
            "[::1]",
            "[::1]:5000",
            "[0:0:0:0:0:0:0:1]:5000",
            "box.example",
            "BOX.example:443",
        ] {
            assert_eq!(status(&hosts, &[host], "/v2/", Version::HTTP_11), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:5000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "128.0.0.1",
            "0.0.0.0",
            "0x7f.1",
            "2130706433",
            "127.1",
            "[::2]",
            "[::ffff:1.2.3.4]",
            "box",
            "x.box.example",
        ] {
            assert_eq!(status(&hosts, &[host], "/v2/", Version::HTTP_11), 421, "{host}");
        }
    }

    #[test]
    fn host_missing_double_or_malformed_is_rejected() {
        for hosts in [loopback("::1"), loopback("::ffff:127.0.0.1"), loopback("192.0.2.1")] {
            for headers in [
                &[][..],
                &["localhost", "localhost"],
                &["localhost", "evil.example"],
                &[""],
                &[":5000"],
                &["localhost:x"],
                &["user@localhost"],
                &["localhost/"],
                &["[::1"],
                &["[::1]x"],
                &["a b"],
                &["a:1:2"],
            ] {
                assert_eq!(status(&hosts, headers, "/v2/", Version::HTTP_11), 400, "{headers:?}");
            }
            // RFC 9112, 3.2: HTTP/1.0 clients need not send a host.
            assert_eq!(status(&hosts, &[], "/v2/", Version::HTTP_10), 200);
        }
    }

    #[test]
    fn host_of_absolute_target_is_checked() {
        let hosts = loopback("127.0.0.1");
        let ask = |target| status(&hosts, &["localhost"], target, Version::HTTP_11);
        assert_eq!(ask("http://127.0.0.1:5000/v2/"), 200);
        assert_eq!(ask("http://evil.example/v2/"), 421);
        assert_eq!(ask("http://u@localhost/v2/"), 400);
        let open = loopback("192.0.2.1");
        assert_eq!(status(&open, &["anything.example"], "http://x/v2/", Version::HTTP_11), 200);
    }

    #[test]
    fn extra_host_name_with_port_is_rejected() {
        assert_eq!(parse_host_name("box.example.").unwrap(), "box.example");
        for bad in ["", "a:5000", "a b", "http://a", "a/b", "[::1]", "u@a"] {
            assert!(
                parse_host_name(bad).is_err_and(|error| error.kind() == ErrorKind::InvalidInput),
                "{bad}"
            );
        }
    }
}
