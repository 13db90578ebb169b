//! The policy for server-supplied URLs (SSRF). URLs are checked here, the addresses of names when the connection is
//! made, so that a second lookup cannot answer differently (google/go-containerregistry#2193, #2440).
//!
//! A registry may send its client to public addresses and to those of its own class. Behind a proxy, the proxy resolves
//! names, and only the URL itself is checked.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address_class::AddressClass;
use super::dns_lookup::lookup;
use super::origin::{Origin, redact};
use crate::error::{Error, ErrorDetail, ErrorKind};

/// Longest accepted server-supplied URL, in bytes; signed URLs have two to four thousand.
const MAX_URL_BYTES: usize = 16 << 10;

/// The network location of the registry itself.
#[derive(Debug, Default)]
pub(in crate::registry) struct UrlPolicy {
    /// Non-public addresses that the registry's name resolved to.
    resolved: Mutex<HashSet<IpAddr>>,
    /// Those of `resolved` that a response came from.
    peers: Mutex<HashSet<IpAddr>>,
    /// Hosts that the user allows in internal networks.
    internal_hosts: Vec<Host<String>>,
}

impl UrlPolicy {
    /// The policy before the first request. URLs with `internal_hosts` may lead into internal networks.
    pub(in crate::registry) fn new(internal_hosts: &[Host<String>]) -> Self {
        Self { internal_hosts: internal_hosts.to_vec(), ..Self::default() }
    }

    /// Records the address that a response of the registry came from.
    ///
    /// Only addresses of the registry's own name count, so that a proxy in a private network does not make a public
    /// registry private. Only a response counts, because any name can be made to point anywhere.
    pub(in crate::registry) fn record_peer(&self, peer: Option<SocketAddr>) {
        let Some(ip) = peer.map(|peer| peer.ip()) else { return };
        if self.resolved.lock().unwrap_or_else(PoisonError::into_inner).contains(&ip) {
            self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(ip);
        }
    }

    /// Whether a registry may lead to such an address; `registry` is the class of its host as written.
    fn is_class_allowed(&self, class: AddressClass, registry: Option<AddressClass>) -> bool {
        match class {
            AddressClass::Public => true,
            AddressClass::Loopback | AddressClass::Private => {
                registry == Some(class) || self.has_peer_of(class)
            }
            AddressClass::Forbidden => false,
        }
    }

    fn has_peer_of(&self, class: AddressClass) -> bool {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.iter().any(|ip| AddressClass::from_ip(*ip) == class)
    }

    /// Whether it is an address of the registry itself: another port of the same machine is as near.
    fn is_registry_address(&self, ip: IpAddr) -> bool {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).contains(&ip)
    }

    /// Whether the user allows the host. Forbidden addresses stay forbidden.
    fn is_allowed_by_user(&self, host: &Host<String>, class: AddressClass) -> bool {
        class != AddressClass::Forbidden && self.internal_hosts.contains(host)
    }

    fn note_resolved(&self, addresses: &[SocketAddr]) {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.clear();
        let inner = addresses.iter().map(SocketAddr::ip);
        resolved.extend(inner.filter(|ip| AddressClass::from_ip(*ip) != AddressClass::Public));
    }
}

/// Why a server-supplied URL is rejected.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) struct Refusal {
    pub(in crate::registry) reason: String,
    /// What the user can do about it.
    pub(in crate::registry) detail: Option<ErrorDetail>,
}

/// Checks a server-supplied URL.
pub(in crate::registry) fn check_server_url(
    url: &Url,
    registry: &Origin,
    policy: &UrlPolicy,
) -> Result<(), Refusal> {
    let reject = |reason: String| Err(Refusal { reason, detail: None });
    if url.as_str().len() > MAX_URL_BYTES {
        return reject(format!("sent a URL of {} bytes", url.as_str().len()));
    }
    let named = redact(url);
    let Ok(target) = Origin::from_url(url) else {
        return reject(format!("sent {named}, not an http or https URL"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return reject(format!("sent {named} with a user name"));
    }
    if target == *registry {
        return Ok(());
    }
    if registry.is_https() && !target.is_https() {
        return reject(format!("sent {named}, not an https URL"));
    }
    // Another port of the registry's own host is the same machine.
    let Some(class) =
        AddressClass::of_literal(target.host()).filter(|_| target.host() != registry.host())
    else {
        return Ok(());
    };
    if policy.is_class_allowed(class, AddressClass::of_literal(registry.host()))
        || policy.is_allowed_by_user(target.host(), class)
    {
        return Ok(());
    }
    Err(Refusal { reason: format!("sent {named}: {class}"), detail: internal_host_detail(class) })
}

/// The error detail for an address of this class.
fn internal_host_detail(class: AddressClass) -> Option<ErrorDetail> {
    matches!(class, AddressClass::Loopback | AddressClass::Private)
        .then_some(ErrorDetail::InternalHost)
}

/// Resolves names for the client of one origin and omits forbidden addresses.
///
/// The client connects to exactly these addresses. It also asks for names other than the origin's: those of proxies,
/// which the user chose.
#[derive(Clone)]
pub(in crate::registry) struct GuardedResolver {
    host: String,
    role: ResolverRole,
    policy: Arc<UrlPolicy>,
}

#[derive(Clone, Copy)]
enum ResolverRole {
    /// Named by the user: any address is allowed and is recorded.
    Registry,
    /// Named by a registry whose host, as written, is of this class.
    ServerSupplied(Option<AddressClass>),
}

impl GuardedResolver {
    pub(in crate::registry) fn for_registry(registry: &Origin, policy: Arc<UrlPolicy>) -> Self {
        Self { host: registry.host().to_string(), role: ResolverRole::Registry, policy }
    }

    pub(in crate::registry) fn for_server_url(
        named: &Origin,
        registry: &Origin,
        policy: Arc<UrlPolicy>,
    ) -> Self {
        let role = ResolverRole::ServerSupplied(AddressClass::of_literal(registry.host()));
        Self { host: named.host().to_string(), role, policy }
    }

    fn filter_addresses(
        &self,
        name: &str,
        mut found: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Error> {
        if !name.eq_ignore_ascii_case(&self.host) {
            return Ok(found);
        }
        let ResolverRole::ServerSupplied(registry) = self.role else {
            self.policy.note_resolved(&found);
            return Ok(found);
        };
        let Some(first) = found.first().map(SocketAddr::ip) else { return Ok(found) };
        let is_local = AddressClass::of_literal(&Host::Domain(name.to_owned())).is_some();
        found.retain(|address| match AddressClass::from_ip(address.ip()) {
            // `localhost` must be this machine, whatever a name server says.
            class if is_local && class != AddressClass::Loopback => false,
            // A registry on this machine may be a tunnel to one in a private network.
            AddressClass::Private
                if self.policy.is_class_allowed(AddressClass::Loopback, registry) =>
            {
                true
            }
            class => {
                self.policy.is_class_allowed(class, registry)
                    || self.policy.is_registry_address(address.ip())
                    || self.policy.is_allowed_by_user(&Host::Domain(self.host.clone()), class)
            }
        });
        if found.is_empty() {
            let reason = format!("resolves to {first}: {}", AddressClass::from_ip(first));
            return Err(Error::new(ErrorKind::Transport, name)
                .with_reason(reason)
                .with_detail(internal_host_detail(AddressClass::from_ip(first))));
        }
        Ok(found)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = lookup(name.as_str()).await?;
            let admitted = guard.filter_addresses(name.as_str(), found)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
