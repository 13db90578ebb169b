//! Settings of a single host, beside those of all hosts.

use reqwest::header::HeaderMap;

use super::certs_dir::HostCerts;

/// The settings of a host that a file of another tool describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::registry) struct HostSettings {
    /// Instead of those in the `certs.d` directories.
    pub(in crate::registry) certs: Option<HostCerts>,
    /// Accept any certificate of the host, and use plain http if it does not speak TLS.
    pub(in crate::registry) insecure: bool,
    /// Sent with every request to the host, and to no other.
    pub(in crate::registry) headers: HeaderMap,
    /// The registry that the host is asked in place of; sent as `ns`.
    pub(in crate::registry) namespace: Option<String>,
    /// Whether this is another host than that of the registry: what the user typed for the registry is not sent to it.
    pub(in crate::registry) is_other_host: bool,
    /// Whether another host is asked if this one fails. Then nothing is retried here.
    pub(in crate::registry) has_next: bool,
}
