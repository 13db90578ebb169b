//! Scheme, host and port of a URL. Credentials, client certificates and trusted links are bound to one [`Origin`].

use std::fmt;

use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};

/// Maximum characters shown of a URL's path: the server decides how long its URLs are.
const MAX_PATH_CHARS: usize = 400;

/// Scheme, host and port; `https://host` and `https://host:443` are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::registry) struct Origin {
    https: bool,
    host: Host<String>,
    port: u16,
}

impl Origin {
    /// The origin of a URL.
    ///
    /// # Errors
    /// [`ErrorKind::Transport`] if the scheme is neither http nor https.
    pub(in crate::registry) fn from_url(url: &Url) -> Result<Self> {
        match (url.scheme(), url.host(), url.port_or_known_default()) {
            ("http" | "https", Some(host), Some(port)) => {
                Ok(Self { https: url.scheme() == "https", host: host.to_owned(), port })
            }
            _ => Err(Error::new(ErrorKind::Transport, redact(url))
                .with_reason("not an http or https URL")),
        }
    }

    pub(in crate::registry) fn is_https(&self) -> bool {
        self.https
    }

    pub(in crate::registry) fn host(&self) -> &Host<String> {
        &self.host
    }

    pub(in crate::registry) fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, with the default port spelled out and an IPv6 address in brackets.
    pub(in crate::registry) fn host_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Host and port as in references: without the default port.
    pub(in crate::registry) fn authority(&self) -> String {
        let default = if self.https { 443 } else { 80 };
        if self.port == default { self.host.to_string() } else { self.host_port() }
    }

    /// Whether the host as written is this machine. Names are not resolved.
    pub(in crate::registry) fn is_local(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => {
                ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.host_port())
    }
}

/// The URL as it may be shown: without user info, query and fragment, which can be secrets (signed URLs are).
pub(in crate::registry) fn redact(url: &Url) -> String {
    let Some(host) = url.host_str() else { return format!("{}:…", url.scheme()) };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut path: String = url.path().chars().take(MAX_PATH_CHARS).collect();
    if path.len() < url.path().len() {
        path.push('…');
    }
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{}://{host}{port}{path}{query}", url.scheme())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::from_url(&Url::parse(url).unwrap()).unwrap()
    }

    #[test]
    fn origin_ignores_case_and_default_port() {
        assert_eq!(origin("https://Example.COM/a?b"), origin("https://example.com:443"));
        assert_eq!(origin("http://h/"), origin("http://h:80/v2/"));
        for other in ["http://h:443/", "https://h:444/", "https://h.example/", "https://h./"] {
            assert_ne!(origin(other), origin("https://h/"), "{other}");
        }
        assert_eq!(origin("http://[2001:DB8::1]").to_string(), "http://[2001:db8::1]:80");
        for none in ["file:///etc/passwd", "data:,x", "ftp://h/", "unix:/run/x"] {
            assert!(Origin::from_url(&Url::parse(none).unwrap()).is_err(), "{none}");
        }
    }

    #[test]
    fn origin_is_local_by_spelling_only() {
        for local in [
            "http://localhost",
            "http://127.0.0.1:5000",
            "https://127.255.0.9",
            "http://[::1]:5000",
            "http://[::ffff:127.0.0.1]",
            "http://2130706433",
        ] {
            assert!(origin(local).is_local(), "{local}");
        }
        for far in [
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://128.0.0.1",
            "http://[::2]",
            "http://[::ffff:10.0.0.1]",
            "http://0.0.0.0",
        ] {
            assert!(!origin(far).is_local(), "{far}");
        }
    }

    #[test]
    fn redact_url_hides_userinfo_and_query() {
        let shown = |url: &str| redact(&Url::parse(url).unwrap());
        assert_eq!(
            shown("https://user:canary@h.example:8443/v2/a?sig=canary#canary"),
            "https://h.example:8443/v2/a?…"
        );
        assert_eq!(shown("data:text/plain,canary"), "data:…");
        assert_eq!(shown("http://[::1]:5000/x"), "http://[::1]:5000/x");
        assert!(shown(&format!("https://h/{}", "x".repeat(1 << 16))).len() < 500);
    }
}
