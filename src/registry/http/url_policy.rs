//! Where a registry may send its client: every URL that a server names is judged here, the addresses of names when the
//! connection is made, so that no second lookup can answer differently (google/go-containerregistry#2193, #2440).
//!
//! A registry may lead to the public and to neighbours of its own kind. Behind a proxy, names are resolved by the proxy
//! and only what the URL itself says is judged.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address_class::AddressClass;
use super::dns_lookup::lookup;
use super::origin::{Origin, redact};
use crate::error::{Error, ErrorDetail, ErrorKind};

/// The longest URL that is taken from a server, in bytes; signed ones have two to four thousand.
const LONGEST_URL: usize = 16 << 10;

/// What is known about where the registry itself is.
#[derive(Debug, Default)]
pub(in crate::registry) struct UrlPolicy {
    /// Addresses that are not public and that the registry's name was resolved to here.
    resolved: Mutex<HashSet<IpAddr>>,
    /// Those of them that it answered from.
    answered: Mutex<HashSet<IpAddr>>,
    /// Hosts that the user vouches for.
    internal_hosts: Vec<Host<String>>,
}

impl UrlPolicy {
    /// Of a registry that was not asked yet; it may lead to these hosts in any network but those of no use.
    pub(in crate::registry) fn new(internal_hosts: &[Host<String>]) -> Self {
        Self { internal_hosts: internal_hosts.to_vec(), ..Self::default() }
    }

    /// Learns from an answer of the registry who it came from.
    ///
    /// Only an address that the registry's own name has counts, so that a proxy in a private network does not make a
    /// public registry private; and only a response counts, because any name can be made to point anywhere.
    pub(in crate::registry) fn record_peer(&self, peer: Option<SocketAddr>) {
        let Some(ip) = peer.map(|peer| peer.ip()) else { return };
        if self.resolved.lock().unwrap_or_else(PoisonError::into_inner).contains(&ip) {
            self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(ip);
        }
    }

    /// Whether a registry may lead to such an address; `registry` is the class of its own spelling.
    fn is_open(&self, class: AddressClass, registry: Option<AddressClass>) -> bool {
        match class {
            AddressClass::Public => true,
            AddressClass::Loopback | AddressClass::Private => {
                registry == Some(class) || self.has_answered(class)
            }
            AddressClass::Forbidden => false,
        }
    }

    fn has_answered(&self, class: AddressClass) -> bool {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.iter().any(|ip| AddressClass::of(*ip) == class)
    }

    /// Whether it is an address of the registry itself: another port of the same machine is as near.
    fn is_own(&self, ip: IpAddr) -> bool {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).contains(&ip)
    }

    /// Whether the user vouches for the host; that makes no address good that nothing can be pulled from.
    fn is_vouched_for(&self, host: &Host<String>, class: AddressClass) -> bool {
        class != AddressClass::Forbidden && self.internal_hosts.contains(host)
    }

    fn note_resolved(&self, addresses: &[SocketAddr]) {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.clear();
        let inner = addresses.iter().map(SocketAddr::ip);
        resolved.extend(inner.filter(|ip| AddressClass::of(*ip) != AddressClass::Public));
    }
}

/// Why a URL that the registry named is not used.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) struct Refusal {
    pub(in crate::registry) why: String,
    /// What would help.
    pub(in crate::registry) matter: Option<ErrorDetail>,
}

/// Judges a URL that the registry named; says in a few words what is wrong with it.
pub(in crate::registry) fn check_server_url(
    url: &Url,
    registry: &Origin,
    vicinity: &UrlPolicy,
) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal { why, matter: None });
    if url.as_str().len() > LONGEST_URL {
        return refuse(format!("sent a URL of {} bytes", url.as_str().len()));
    }
    let named = redact(url);
    let Ok(target) = Origin::of(url) else {
        return refuse(format!("sent {named}, not an http or https URL"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(format!("sent {named} with a user name"));
    }
    if target == *registry {
        return Ok(());
    }
    if registry.is_https() && !target.is_https() {
        return refuse(format!("sent {named}, not an https URL"));
    }
    // Another port of the registry's own host is no other place.
    let Some(class) =
        AddressClass::of_literal(target.host()).filter(|_| target.host() != registry.host())
    else {
        return Ok(());
    };
    if vicinity.is_open(class, AddressClass::of_literal(registry.host()))
        || vicinity.is_vouched_for(target.host(), class)
    {
        return Ok(());
    }
    Err(Refusal { why: format!("sent {named}: {class}"), matter: internal_matter(class) })
}

/// What helps against an address of this class.
fn internal_matter(class: AddressClass) -> Option<ErrorDetail> {
    matches!(class, AddressClass::Loopback | AddressClass::Private)
        .then_some(ErrorDetail::InternalHost)
}

/// Resolves names for the client of one origin, and leaves out the addresses that it must not be led to.
///
/// What it answers is what gets connected. Other names than the origin's are asked for too: those of proxies, which the
/// user chose.
#[derive(Clone)]
pub(in crate::registry) struct GuardedResolver {
    host: String,
    role: ResolverRole,
    vicinity: Arc<UrlPolicy>,
}

#[derive(Clone, Copy)]
enum ResolverRole {
    /// The user named it: it may be anywhere, which is remembered.
    Registry,
    /// A registry named it, whose own spelling is of this class.
    ServerSupplied(Option<AddressClass>),
}

impl GuardedResolver {
    /// For the registry itself.
    pub(in crate::registry) fn for_registry(registry: &Origin, vicinity: Arc<UrlPolicy>) -> Self {
        Self { host: registry.host().to_string(), role: ResolverRole::Registry, vicinity }
    }

    /// For a host that the registry named.
    pub(in crate::registry) fn for_server_url(
        named: &Origin,
        registry: &Origin,
        vicinity: Arc<UrlPolicy>,
    ) -> Self {
        let role = ResolverRole::ServerSupplied(AddressClass::of_literal(registry.host()));
        Self { host: named.host().to_string(), role, vicinity }
    }

    fn admit(&self, name: &str, mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
        if !name.eq_ignore_ascii_case(&self.host) {
            return Ok(found);
        }
        let ResolverRole::ServerSupplied(registry) = self.role else {
            self.vicinity.note_resolved(&found);
            return Ok(found);
        };
        let Some(first) = found.first().map(SocketAddr::ip) else { return Ok(found) };
        let is_local = AddressClass::of_literal(&Host::Domain(name.to_owned())).is_some();
        found.retain(|address| match AddressClass::of(address.ip()) {
            // `localhost` must be this machine, whatever a name server says.
            class if is_local && class != AddressClass::Loopback => false,
            // A registry on this machine may be a tunnel to one in a private network.
            AddressClass::Private if self.vicinity.is_open(AddressClass::Loopback, registry) => {
                true
            }
            class => {
                self.vicinity.is_open(class, registry)
                    || self.vicinity.is_own(address.ip())
                    || self.vicinity.is_vouched_for(&Host::Domain(self.host.clone()), class)
            }
        });
        if found.is_empty() {
            let why = format!("resolves to {first}: {}", AddressClass::of(first));
            return Err(Error::new(ErrorKind::Transport, name)
                .with_reason(why)
                .with_detail(internal_matter(AddressClass::of(first))));
        }
        Ok(found)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = lookup(name.as_str()).await?;
            let admitted = guard.admit(name.as_str(), found)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
