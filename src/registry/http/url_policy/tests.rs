use std::time::Duration;

use super::super::transport_error::request_failed;
use super::*;

fn origin(url: &str) -> Origin {
    Origin::from_url(&Url::parse(url).unwrap()).unwrap()
}

fn check(registry: &str, target: &str) -> Result<(), String> {
    let url = Url::parse(target).map_err(|error| error.to_string())?;
    check_server_url(&url, &origin(registry), &UrlPolicy::default()).map_err(|it| it.reason)
}

/// A registry that answered from a private address which its name has.
fn private() -> UrlPolicy {
    let (policy, peer) = (UrlPolicy::default(), SocketAddr::from(([10, 0, 0, 7], 443)));
    policy.note_resolved(&[peer]);
    policy.record_peer(Some(peer));
    policy
}

#[test]
fn ssrf_public_registry_leads_to_public_addresses_only() {
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
fn ssrf_downgrade_userinfo_or_other_scheme_is_refused() {
    for bad in [
        "http://registry.example/token",
        "http://auth.example/token",
        "https://user@auth.example/",
        "https://:password@registry.example/",
        "file:///etc/passwd",
        "data:,x",
        "ftp://auth.example/",
    ] {
        let reason = check("https://registry.example", bad).unwrap_err();
        assert!(!reason.contains("password@"), "{reason}");
    }
    assert_eq!(check("http://registry.example", "http://auth.example/token"), Ok(()));
    let long = format!("https://auth.example/{}", "x".repeat(64 << 10));
    assert!(check("https://registry.example", &long).unwrap_err().len() < 100);
}

#[test]
fn ssrf_private_registry_leads_to_own_address_class() {
    for (registry, target) in [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
        ("http://localhost:5000", "http://[::1]:9/token"),
        ("http://[::1]:5000", "http://[::1]:5000/auth"),
        ("https://10.0.0.1", "https://10.0.0.1/auth"),
        ("https://10.0.0.1", "https://192.168.7.7/auth"),
        ("https://169.254.1.1", "https://169.254.1.1:8443/auth"),
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
fn ssrf_registry_is_private_only_after_own_answer() {
    let url = Url::parse("https://10.0.0.9/token").unwrap();
    let allowed = |policy: &UrlPolicy| {
        check_server_url(&url, &origin("https://registry.corp"), policy).is_ok()
    };
    assert!(allowed(&private()));
    let peer = |text: &str| Some(text.parse().unwrap());
    let policy = UrlPolicy::default();
    policy.record_peer(peer("10.0.0.7:3128"));
    assert!(!allowed(&policy), "a proxy's address says nothing");
    policy.note_resolved(&[peer("10.0.0.7:0").unwrap(), peer("8.8.8.8:0").unwrap()]);
    policy.record_peer(peer("8.8.8.8:443"));
    assert!(!allowed(&policy), "it answered from a public one of its addresses");
}

#[test]
fn ssrf_loopback_registry_by_name_leads_to_loopback() {
    let loopback = |peers: bool| {
        let (policy, peer) = (UrlPolicy::default(), SocketAddr::from(([127, 0, 1, 1], 443)));
        policy.note_resolved(&[peer]);
        policy.record_peer(peers.then_some(peer));
        policy
    };
    let allowed = |policy: &UrlPolicy, url: &str| {
        let url = Url::parse(url).unwrap();
        check_server_url(&url, &origin("https://registry.corp"), policy).is_ok()
    };
    assert!(allowed(&loopback(true), "https://127.0.0.1:8443/token"));
    assert!(!allowed(&loopback(false), "https://127.0.0.1:8443/token"), "it did not answer");
    assert!(!allowed(&loopback(true), "https://10.0.0.1/token"));
    assert!(!allowed(&loopback(true), "https://169.254.169.254/token"));
}

#[test]
fn ssrf_internal_host_is_allowed_if_listed() {
    let hosts = ["10.0.0.9", "127.0.0.1", "169.254.169.254"].map(|ip| Host::parse(ip).unwrap());
    let policy = UrlPolicy::new(&hosts);
    let refusal = |url: &str| {
        let url = Url::parse(url).unwrap();
        check_server_url(&url, &origin("https://registry.example"), &policy).err()
    };
    assert_eq!(refusal("https://10.0.0.9:8443/token"), None);
    assert_eq!(refusal("https://127.0.0.1/token"), None);
    assert_eq!(refusal("https://10.0.0.8/token").unwrap().detail, Some(ErrorDetail::InternalHost));
    assert_eq!(refusal("https://169.254.169.254/").unwrap().detail, None);
    assert_eq!(refusal("http://10.0.0.9/").unwrap().detail, None, "not https");
}

#[test]
fn ssrf_private_address_after_dns_is_refused() {
    let admitted = |registry: &str, policy: UrlPolicy, found: &[&str]| {
        let named = origin("https://auth.example");
        let guard = GuardedResolver::for_server_url(&named, &origin(registry), Arc::new(policy));
        let found = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
        let left = guard.filter_addresses("auth.example", found)?;
        Ok::<_, Error>(left.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>())
    };
    let public = "https://registry.example";
    let mixed = ["127.0.0.1", "8.8.8.8", "10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1"];
    assert_eq!(admitted(public, UrlPolicy::default(), &mixed).unwrap(), ["8.8.8.8"]);
    assert_eq!(
        admitted(public, private(), &mixed).unwrap(),
        ["8.8.8.8", "10.0.0.1", "::ffff:10.0.0.1"]
    );
    assert_eq!(admitted("http://localhost:5000", UrlPolicy::default(), &mixed).unwrap().len(), 4);
    for bad in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "0.0.0.0"] {
        let error = admitted(public, UrlPolicy::default(), &[bad]).unwrap_err();
        assert!(error.to_string().contains(bad), "{error}");
    }
}

#[tokio::test]
async fn ssrf_refused_name_is_never_connected() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = Url::parse(&format!("http://localhost:{port}/token")).unwrap();
    let named = Origin::from_url(&url).unwrap();
    let guard =
        |registry: &str| GuardedResolver::for_server_url(&named, &origin(registry), Arc::default());
    let client = |guard| {
        reqwest::Client::builder().no_proxy().tls_certs_only([]).dns_resolver(guard).build()
    };
    let refused = client(guard("http://registry.example")).unwrap().get(url.clone()).send();
    let refused = tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    let error = request_failed("token", &url, refused.unwrap_err());
    assert!(!error.is_transient());
    assert!(error.to_string().contains("resolves to"), "{error}");
    // A connection would wait to be accepted.
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();

    let open = client(guard("http://127.0.0.1:1")).unwrap().get(url).send();
    let accepted = tokio::select! {
        accepted = listener.accept() => accepted.is_ok(),
        answer = open => panic!("{answer:?}"),
    };
    assert!(accepted);
}
