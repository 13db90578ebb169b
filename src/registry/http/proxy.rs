//! The proxy for a host from the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in upper or lower
//! case.
//!
//! Read here and not by the HTTP client, so that `NO_PROXY` works as in other registry clients (curl's manual, Go's
//! `httpproxy`), an empty variable counts as unset, and errors can name the setting.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::origin::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::redactor::Redactor;
use crate::secret::Secret;

/// Default port of a SOCKS proxy.
const SOCKS_PORT: u16 = 1080;

/// A proxy and the variable that configures it.
#[derive(Clone)]
pub(in crate::registry) struct ProxySetting {
    pub(in crate::registry) url: Url,
    variable: &'static str,
}

impl ProxySetting {
    /// The proxy for this origin; `None` for this machine itself.
    ///
    /// # Errors
    /// [`ErrorKind::Transport`] if the variable holds no usable proxy URL. The value is not repeated: it may contain a
    /// password.
    pub(in crate::registry) fn for_origin(
        origin: &Origin,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>> {
        if origin.is_local() {
            return Ok(None);
        }
        let set = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = variable(name)?.trim().to_owned();
                (!value.is_empty()).then_some((*name, value))
            })
        };
        let names: &[&str] = if origin.is_https() {
            &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        } else if variable("REQUEST_METHOD").is_some() {
            // A web server puts the `Proxy` header of a request there (CVE-2016-5385).
            &["http_proxy", "ALL_PROXY", "all_proxy"]
        } else {
            &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        };
        let Some((name, value)) = set(names) else { return Ok(None) };
        let excluded = set(&["NO_PROXY", "no_proxy"]);
        if excluded.is_some_and(|(_, list)| is_excluded(&list, origin.host(), origin.port())) {
            return Ok(None);
        }
        Self::parse(name, &value).map(Some)
    }

    fn parse(variable: &'static str, value: &str) -> Result<Self> {
        let invalid = |reason: &str| {
            Error::new(ErrorKind::Transport, "proxy").at(variable).with_reason(reason)
        };
        let full = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let mut url = Url::parse(&full).map_err(|_| invalid("invalid proxy URL"))?;
        match url.scheme() {
            "http" | "https" | "socks4" | "socks4a" | "socks5h" => {}
            // The proxy resolves names, as in all clients written in Go: often only it can.
            "socks5" => {
                url.set_scheme("socks5h").map_err(|()| invalid("invalid proxy URL"))?;
            }
            other => {
                let reason = format!(
                    "unsupported proxy scheme `{other}`, expected http, https, socks4, socks4a, socks5 or socks5h"
                );
                return Err(invalid(&reason));
            }
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("missing host"));
        }
        if url.scheme().starts_with("socks") && url.port().is_none() {
            url.set_port(Some(SOCKS_PORT)).map_err(|()| invalid("invalid proxy URL"))?;
        }
        Ok(Self { url, variable })
    }

    /// Adds the password to the redactor: the proxy may repeat it.
    pub(in crate::registry) fn note_secrets(&self, redactor: &Redactor) {
        let Some(password) = self.url.password() else { return };
        let decoded = |text: &str| {
            let pairs = format!("x={}", text.replace('+', "%2B"));
            let pair = url::form_urlencoded::parse(pairs.as_bytes()).next();
            pair.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let (user, password) = (decoded(self.url.username()), decoded(password));
        redactor.add(&password);
        redactor.add(crate::registry::credentials::pair(&user, &Secret::new(password)).expose());
    }
}

/// Omits user and password.
impl fmt::Display for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.url.scheme() == "socks5h" { "socks5" } else { self.url.scheme() };
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        write!(f, "proxy {scheme}://{host}:{port} of {}", self.variable)
    }
}

/// Whether `NO_PROXY` lists the host: `*`, a host or domain with everything below it, `*.domain` and `.domain`, an
/// address, or a network in CIDR notation. All but networks may have a port.
fn is_excluded(list: &str, host: &Host<String>, port: u16) -> bool {
    list.split([',', ' ', '\t', ';']).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        let address = match host {
            Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(*ip).to_canonical()),
            Host::Domain(_) => None,
        };
        if let Some((network, bits)) = entry.split_once('/') {
            let network = network.trim_matches(['[', ']']).parse::<IpAddr>();
            return match (address, network, bits.parse()) {
                (Some(ip), Ok(network), Ok(bits)) => is_within(ip, network, bits),
                _ => false,
            };
        }
        let (name, entry_port) = split_port(entry);
        if entry_port.is_some_and(|entry_port| entry_port != port) {
            return false;
        }
        match host {
            Host::Domain(domain) => is_below(domain, name),
            _ => name.parse::<IpAddr>().is_ok_and(|ip| Some(ip.to_canonical()) == address),
        }
    })
}

/// Splits `name:port`, `[address]:port` or either without a port. An IPv6 address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some(bracketed) = entry.strip_prefix('[') {
        let (name, rest) = bracketed.split_once(']').unwrap_or((bracketed, ""));
        return (name, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn is_below(domain: &str, name: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let (name, is_only_below) = match name.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (name.strip_prefix('.').unwrap_or(&name), false),
    };
    match domain.strip_suffix(name) {
        _ if name.is_empty() => false,
        Some("") => !is_only_below,
        Some(before) => before.ends_with('.'),
        None => false,
    }
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (ip, network, size) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (u128::from(ip.to_bits()) << 96, u128::from(network.to_bits()) << 96, 32)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    bits <= size && (bits == 0 || (ip ^ network) >> (128 - bits) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str, variables: &[(&str, &str)]) -> String {
        let origin = Origin::from_url(&Url::parse(url).unwrap()).unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        match ProxySetting::for_origin(&origin, &variable) {
            Ok(proxy) => proxy.map_or("none".to_owned(), |proxy| proxy.to_string()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn proxy_empty_variable_falls_back_to_other() {
        let http = "http://h.example";
        for (variables, proxy) in [
            (&[("HTTP_PROXY", ""), ("http_proxy", "p")][..], "proxy http://p:80 of http_proxy"),
            (
                &[("HTTP_PROXY", " "), ("ALL_PROXY", ""), ("all_proxy", "http://p:1")],
                "proxy http://p:1 of all_proxy",
            ),
            (&[("HTTP_PROXY", "a:1"), ("http_proxy", "b:1")], "proxy http://a:1 of HTTP_PROXY"),
            (&[("HTTPS_PROXY", "a:1")], "none"),
            (&[("http_proxy", "a"), ("NO_PROXY", ""), ("no_proxy", "h.example")], "none"),
            (&[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "a")], "none"),
            (&[("http_proxy", "https://a")], "proxy https://a:443 of http_proxy"),
            (&[("http_proxy", "socks5://u:canary@a")], "proxy socks5://a:1080 of http_proxy"),
            (
                &[("http_proxy", "ftp://u:canary@a")],
                "proxy: http_proxy: unsupported proxy scheme `ftp`, expected http, https, socks4, socks4a, socks5 or socks5h",
            ),
            (&[("http_proxy", "http://u:canary @ a b")], "proxy: http_proxy: invalid proxy URL"),
        ] {
            assert_eq!(shown(http, variables), proxy, "{variables:?}");
        }
        let all = [("https_proxy", "a:1"), ("http_proxy", "b:1")];
        assert_eq!(shown("https://h.example", &all), "proxy http://a:1 of https_proxy");
        for local in ["http://127.0.0.1:5000", "http://localhost", "https://[::1]"] {
            assert_eq!(shown(local, &all), "none", "{local}");
        }
    }

    #[test]
    fn no_proxy_patterns_exclude_hosts() {
        for (list, host, is_direct) in [
            ("*", "http://h.example", true),
            ("*.example", "http://h.example", true),
            ("*.example", "http://a.h.example", true),
            ("*.example", "http://example", false),
            ("*.h.example", "http://h.example", false),
            (".example", "http://h.example", true),
            ("example", "http://h.example", true),
            ("h.EXAMPLE.", "http://H.example.", true),
            ("ample", "http://h.example", false),
            ("a, h.example", "http://h.example", true),
            ("a h.example", "http://h.example", true),
            ("h.example:5000", "http://h.example:5000", true),
            ("h.example:5000", "http://h.example", false),
            ("h.example:443", "https://h.example", true),
            ("*.example:80", "http://h.example", true),
            ("10.0.0.0/8", "http://10.1.2.3:5000", true),
            ("10.0.0.0/8", "http://11.1.2.3", false),
            ("10.0.0.0/33", "http://10.0.0.0", false),
            ("0.0.0.0/0", "http://11.1.2.3", true),
            ("10.0.0.1", "http://10.0.0.1:99", true),
            ("10.0.0.1:99", "http://10.0.0.1:98", false),
            ("fd00::/8", "http://[fd12::1]:5000", true),
            ("[fd00::]/8", "http://[fd12::1]", true),
            ("fd12::1", "http://[fd12::1]:5000", true),
            ("[fd12::1]", "http://[fd12::1]:5000", true),
            ("[fd12::1]:5000", "http://[fd12::1]:5000", true),
            ("[fd12::1]:5001", "http://[fd12::1]:5000", false),
            ("10.0.0.1", "http://[::ffff:10.0.0.1]", true),
            ("10.0.0.1", "http://h.example", false),
            (",,.,", "http://h.example", false),
        ] {
            let found = shown(host, &[("ALL_PROXY", "http://p:1"), ("NO_PROXY", list)]);
            assert_eq!(found == "none", is_direct, "{list} {host}: {found}");
        }
    }
}
