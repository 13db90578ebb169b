//! Classes of IP addresses, for the policy on server-supplied URLs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum AddressClass {
    Public,
    /// This machine.
    Loopback,
    /// A private network, whose servers may trust every client that reaches them.
    Private,
    /// Never the address of a registry: link-local (cloud metadata), multicast, reserved.
    Forbidden,
}

impl AddressClass {
    pub(in crate::registry) fn from_ip(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        match ip.octets() {
            [127, ..] => Self::Loopback,
            [10, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]
            // Meant for benchmarks, but VPN clients answer every name with it (Clash "fake-ip").
            | [198, 18 | 19, ..] => Self::Private,
            [0 | 224..=255, ..]
            | [169, 254, ..]
            | [192, 0, 0 | 2, _]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Forbidden,
            _ => Self::Public,
        }
    }

    /// IPv6 addresses that embed an IPv4 address have its class.
    fn of_v6(ip: Ipv6Addr) -> Self {
        let wrapped = |high: u16, low: u16| {
            let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // Compatible and mapped, NAT64, 6to4.
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => wrapped(high, low),
            [0xfc00..=0xfdff, ..] | [0x64, 0xff9b, 1, ..] => Self::Private,
            // Documentation ranges, and ranges reserved for tunnels and other protocols.
            [0x2001, 0xdb8 | 0..=0x1ff, ..] | [0x3fff, 0..=0xfff, ..] => Self::Forbidden,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Forbidden,
        }
    }

    /// The class of a host that needs no lookup. `localhost` is always loopback (RFC 6761).
    pub(in crate::registry) fn of_literal(host: &Host<String>) -> Option<Self> {
        match host {
            Host::Ipv4(ip) => Some(Self::of_v4(*ip)),
            Host::Ipv6(ip) => Some(Self::of_v6(*ip)),
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                let local = name == "localhost" || name.ends_with(".localhost");
                local.then_some(Self::Loopback)
            }
        }
    }
}

/// Whether a name that an image gives may lead to the registry `named`. `own` is the registry that the image comes from, if
/// any: an internal one may be named only by an image of the same kind. Names are not resolved.
#[cfg(feature = "cli")]
pub(crate) fn is_reachable_from(own: Option<&str>, named: &str) -> bool {
    let class = |registry: &str| {
        let host = match registry.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => registry,
        };
        Host::parse(host).ok().and_then(|host| AddressClass::of_literal(&host))
    };
    match class(named) {
        None | Some(AddressClass::Public) => true,
        Some(AddressClass::Forbidden) => false,
        internal => own.and_then(class) == internal,
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address, not allowed for a remote registry",
            Self::Private => "a private address, not allowed for a remote registry",
            Self::Forbidden => "a link-local or reserved address, never allowed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssrf_address_class_covers_embedded_ipv4() {
        for (class, addresses) in [
            (
                AddressClass::Public,
                "8.8.8.8 172.15.0.1 172.32.0.1 100.128.0.1 2606:4700::1111 64:ff9b::808:808",
            ),
            (
                AddressClass::Loopback,
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1",
            ),
            (
                AddressClass::Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 198.18.0.1 fd00::1 \
                 ::ffff:10.0.0.1 2002:a00:1:: 64:ff9b:1::1",
            ),
            (
                AddressClass::Forbidden,
                "0.0.0.0 0.1.2.3 169.254.169.254 192.0.2.1 198.51.100.1 203.0.113.1 224.0.0.1 255.255.255.255 \
                 :: fe80::1 fec0::1 ff02::1 2001:db8::1 2001::1 3fff::1 100::1 ::ffff:169.254.169.254",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(AddressClass::from_ip(address.parse().unwrap()), class, "{address}");
            }
        }
    }

    #[test]
    fn ssrf_localhost_name_is_loopback_without_lookup() {
        let of = |name: &str| AddressClass::of_literal(&Host::parse(name).unwrap());
        for local in ["localhost", "LOCALHOST.", "a.localhost", "127.1", "[::1]"] {
            assert_eq!(of(local), Some(AddressClass::Loopback), "{local}");
        }
        for name in ["localhost.example", "notlocalhost", "example.com"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn ssrf_internal_registry_is_reachable_from_its_own_kind() {
        for (own, named, wanted) in [
            (None, "docker.io", true),
            (None, "localhost:5000", false),
            (Some("ghcr.io"), "127.0.0.1", false),
            (Some("localhost:5000"), "127.0.0.1:5001", true),
            (Some("[::1]:5000"), "localhost", true),
            (Some("localhost"), "10.0.0.1:5000", false),
            (Some("169.254.169.254"), "169.254.169.254:80", false),
            (Some("docker.io"), "[fd00::1]:5000", false),
            (Some("docker.io"), "harbor.internal", true),
        ] {
            assert_eq!(is_reachable_from(own, named), wanted, "{own:?} {named}");
        }
    }
}
