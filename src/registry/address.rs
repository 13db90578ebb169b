//! Where a registry may send its client: every URL that a server names is judged here, the addresses of names when the
//! connection is made, so that no second lookup can answer differently (google/go-containerregistry#2193, #2440).
//!
//! A registry may lead to the public and to neighbours of its own kind. Behind a proxy, names are resolved by the proxy
//! and only what the URL itself says is judged.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::network::Class;
use super::origin::{Origin, redact};
use crate::error::{Error, ErrorKind};

/// The longest URL that is taken from a server, in bytes; signed ones have two to four thousand.
const LONGEST_URL: usize = 16 << 10;

/// What is known about where the registry itself is.
#[derive(Debug, Default)]
pub(super) struct Vicinity {
    /// Private addresses that the registry's name was resolved to here.
    resolved: Mutex<HashSet<IpAddr>>,
    private: AtomicBool,
}

impl Vicinity {
    /// Learns from an answer of the registry who it came from.
    ///
    /// Only an address that the registry's own name has counts, so that a proxy in a private network does not make a
    /// public registry private; and only an answer counts, because anybody can let a name point anywhere.
    pub(super) fn answered(&self, peer: Option<SocketAddr>) {
        let Some(ip) = peer.map(|peer| peer.ip()) else { return };
        if !self.is_private()
            && self.resolved.lock().unwrap_or_else(PoisonError::into_inner).contains(&ip)
        {
            self.private.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a registry may lead to such an address; `registry` is the class of its own spelling.
    fn is_open(&self, class: Class, registry: Option<Class>) -> bool {
        match class {
            Class::Public => true,
            Class::Loopback => registry == Some(Class::Loopback),
            Class::Private => registry == Some(Class::Private) || self.is_private(),
            Class::Forbidden => false,
        }
    }

    fn is_private(&self) -> bool {
        self.private.load(Ordering::Relaxed)
    }

    fn note_resolved(&self, addresses: &[SocketAddr]) {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.clear();
        let private = addresses.iter().map(SocketAddr::ip);
        resolved.extend(private.filter(|ip| Class::of(*ip) == Class::Private));
    }
}

/// Judges a URL that the registry named; says in a few words what is wrong with it.
pub(super) fn check_foreign_url(
    url: &Url,
    registry: &Origin,
    vicinity: &Vicinity,
) -> Result<(), String> {
    if url.as_str().len() > LONGEST_URL {
        return Err(format!("names a URL of {} bytes", url.as_str().len()));
    }
    let named = redact(url);
    let target = Origin::of(url)
        .map_err(|_| format!("names {named}, which is neither an http nor an https URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("names {named} with a user in it"));
    }
    if target == *registry {
        return Ok(());
    }
    if registry.is_https() && !target.is_https() {
        return Err(format!("names {named}, which is not https"));
    }
    match Class::of_literal(target.host()) {
        Some(class) if !vicinity.is_open(class, Class::of_literal(registry.host())) => {
            Err(format!("names {named}: that is {class}"))
        }
        _ => Ok(()),
    }
}

/// Resolves names for the client of one origin, and leaves out the addresses that it must not be led to.
///
/// What it answers is what gets connected. Other names than the origin's are asked for too: those of proxies, which the
/// user chose.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    host: String,
    role: Role,
    vicinity: Arc<Vicinity>,
}

#[derive(Clone, Copy)]
enum Role {
    /// The user named it: it may be anywhere, which is remembered.
    Registry,
    /// A registry named it, whose own spelling is of this class.
    NamedBy(Option<Class>),
}

impl GuardedResolver {
    /// For the registry itself.
    pub(super) fn of_registry(registry: &Origin, vicinity: Arc<Vicinity>) -> Self {
        Self { host: registry.host().to_string(), role: Role::Registry, vicinity }
    }

    /// For a host that the registry named.
    pub(super) fn of_named(named: &Origin, registry: &Origin, vicinity: Arc<Vicinity>) -> Self {
        let role = Role::NamedBy(Class::of_literal(registry.host()));
        Self { host: named.host().to_string(), role, vicinity }
    }

    fn admit(&self, name: &str, mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
        if !name.eq_ignore_ascii_case(&self.host) {
            return Ok(found);
        }
        let Role::NamedBy(registry) = self.role else {
            self.vicinity.note_resolved(&found);
            return Ok(found);
        };
        let Some(first) = found.first().map(SocketAddr::ip) else { return Ok(found) };
        let is_local = Class::of_literal(&Host::Domain(name.to_owned())).is_some();
        found.retain(|address| match Class::of(address.ip()) {
            // `localhost` must be this machine, whatever a name server says.
            class if is_local && class != Class::Loopback => false,
            // A registry on this machine may be a tunnel to one in a private network.
            Class::Private if registry == Some(Class::Loopback) => true,
            class => self.vicinity.is_open(class, registry),
        });
        if found.is_empty() {
            let why = format!("resolves to {first}: that is {}", Class::of(first));
            return Err(Error::new(ErrorKind::Transport, name).because(why));
        }
        Ok(found)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let admitted = guard.admit(name.as_str(), found)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::failure::unreachable;

    fn origin(url: &str) -> Origin {
        Origin::of(&Url::parse(url).unwrap()).unwrap()
    }

    fn check(registry: &str, target: &str) -> Result<(), String> {
        let url = Url::parse(target).map_err(|error| error.to_string())?;
        check_foreign_url(&url, &origin(registry), &Vicinity::default())
    }

    /// A registry that answered from a private address which its name has.
    fn private() -> Vicinity {
        let (vicinity, peer) = (Vicinity::default(), SocketAddr::from(([10, 0, 0, 7], 443)));
        vicinity.note_resolved(&[peer]);
        vicinity.answered(Some(peer));
        vicinity
    }

    #[test]
    fn a_public_registry_leads_to_the_public_only() {
        let registry = "https://registry.example";
        for open in [
            "https://auth.example/token?a=b",
            "https://8.8.8.8/token",
            "https://[2606:4700::1111]:8443/",
            "https://registry.example:443/token",
            "https://[64:ff9b::808:808]/",
        ] {
            assert_eq!(check(registry, open), Ok(()), "{open}");
        }
        for closed in [
            "https://127.0.0.1:5000/token",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://localhost/",
            "https://auth.localhost./",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:a00:1::]/",
            "https://10.0.0.1/",
            "https://172.31.255.255/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://[fd00::1]/",
            "https://169.254.169.254/token",
            "https://[fe80::1]/",
            "https://0.0.0.0:8443/",
            "https://0/",
            "https://[::]/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://[ff02::1]/",
            "https://[2001:db8::1]/",
        ] {
            assert!(check(registry, closed).is_err(), "{closed}");
        }
    }

    #[test]
    fn neither_less_safe_nor_with_a_user_nor_something_else() {
        for bad in [
            "http://registry.example/token",
            "http://auth.example/token",
            "https://user@auth.example/",
            "https://:password@registry.example/",
            "file:///etc/passwd",
            "data:,x",
            "ftp://auth.example/",
        ] {
            let why = check("https://registry.example", bad).unwrap_err();
            assert!(!why.contains("password@"), "{why}");
        }
        assert_eq!(check("http://registry.example", "http://auth.example/token"), Ok(()));
        let long = format!("https://auth.example/{}", "x".repeat(64 << 10));
        assert!(check("https://registry.example", &long).unwrap_err().len() < 100);
    }

    #[test]
    fn a_registry_leads_to_neighbours_of_its_own_kind() {
        for (registry, target) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
            ("http://localhost:5000", "http://[::1]:9/token"),
            ("http://[::1]:5000", "http://[::1]:5000/auth"),
            ("https://10.0.0.1", "https://10.0.0.1/auth"),
            ("https://10.0.0.1", "https://192.168.7.7/auth"),
            ("https://169.254.1.1", "https://169.254.1.1/auth"),
        ] {
            assert_eq!(check(registry, target), Ok(()), "{registry} {target}");
        }
        for (registry, target) in [
            ("http://registry.example", "http://127.0.0.1:5000/auth"),
            ("http://127.0.0.1:5000", "http://10.0.0.1/auth"),
            ("http://127.0.0.1:5000", "http://169.254.169.254/auth"),
            ("https://10.0.0.1", "https://127.0.0.1/auth"),
            ("https://169.254.1.1", "https://169.254.169.254/"),
        ] {
            assert!(check(registry, target).is_err(), "{registry} {target}");
        }
    }

    #[test]
    fn only_an_answer_from_an_address_of_its_own_name_makes_a_registry_private() {
        let url = Url::parse("https://10.0.0.9/token").unwrap();
        let allowed = |vicinity: &Vicinity| {
            check_foreign_url(&url, &origin("https://registry.corp"), vicinity).is_ok()
        };
        assert!(allowed(&private()));
        let peer = |text: &str| Some(text.parse().unwrap());
        let vicinity = Vicinity::default();
        vicinity.answered(peer("10.0.0.7:3128"));
        assert!(!allowed(&vicinity), "a proxy's address says nothing");
        vicinity.note_resolved(&[peer("10.0.0.7:0").unwrap(), peer("8.8.8.8:0").unwrap()]);
        vicinity.answered(peer("8.8.8.8:443"));
        assert!(!allowed(&vicinity), "it answered from a public one of its addresses");
    }

    #[test]
    fn names_are_judged_by_what_they_resolve_to() {
        let admitted = |registry: &str, vicinity: Vicinity, found: &[&str]| {
            let named = origin("https://auth.example");
            let guard = GuardedResolver::of_named(&named, &origin(registry), Arc::new(vicinity));
            let found = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            let left = guard.admit("auth.example", found)?;
            Ok::<_, Error>(left.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>())
        };
        let public = "https://registry.example";
        let mixed = ["127.0.0.1", "8.8.8.8", "10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1"];
        assert_eq!(admitted(public, Vicinity::default(), &mixed).unwrap(), ["8.8.8.8"]);
        assert_eq!(
            admitted(public, private(), &mixed).unwrap(),
            ["8.8.8.8", "10.0.0.1", "::ffff:10.0.0.1"]
        );
        assert_eq!(
            admitted("http://localhost:5000", Vicinity::default(), &mixed).unwrap().len(),
            4
        );
        for bad in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "0.0.0.0"] {
            let error = admitted(public, Vicinity::default(), &[bad]).unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refused_name_is_never_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = Url::parse(&format!("http://localhost:{port}/token")).unwrap();
        let named = Origin::of(&url).unwrap();
        let guard =
            |registry: &str| GuardedResolver::of_named(&named, &origin(registry), Arc::default());
        let client = |guard| {
            reqwest::Client::builder().no_proxy().tls_certs_only([]).dns_resolver(guard).build()
        };
        let refused = client(guard("http://registry.example")).unwrap().get(url.clone()).send();
        let refused = tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
        let error = unreachable("token", &url, refused.unwrap_err());
        assert!(!error.is_transient());
        assert!(error.to_string().contains("resolves to"), "{error}");
        let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept());
        assert!(nobody.await.is_err());

        let open = client(guard("http://127.0.0.1:1")).unwrap().get(url).send();
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted.is_ok(),
            answer = open => panic!("{answer:?}"),
        };
        assert!(accepted);
    }
}
