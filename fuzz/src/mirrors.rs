//! Files of other tools that say which mirrors a registry has.

use std::path::Path;

use rpull::error::ErrorKind;
use rpull::registry::credentials::Environment;
use rpull::registry::{Client, Mirrors, RegistryOptions};

/// Names that the seeds have something about: by tag, by digest, and of a registry with a port.
const NAMES: [&str; 3] = [
    "registry.example/team/app:1",
    "registry.example/team/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "localhost:5000/app:1",
];

const HOSTS_TOML: [&str; 3] = [
    r#"server = "https://registry.example"
[host."https://mirror.example:8443/hub"]
  capabilities = ["pull", "resolve"]
  override_path = true
  ca = ["a.pem", "b.pem"]
  client = [["c.cert", "c.key"]]
  skip_verify = true
  [host."https://mirror.example:8443/hub".header]
    x-token = ["a", "b"]
[host."http://10.0.0.1"]
"#,
    "[host.\"mirror.example\"]\ncapabilities = [\"pull\", \"push\", \"referrers\"]\nclient = \"c.pem\"\n",
    "capabilities = [\"resolve\"]\nskip_verify = true\n",
];

const REGISTRIES_CONF: [&str; 3] = [
    r#"unqualified-search-registries = ["docker.io"]
short-name-mode = "enforcing"
credential-helpers = ["pass"]
[[registry]]
prefix = "*.example"
insecure = true
[[registry]]
prefix = "registry.example/team"
location = "internal.example/mirror-of/team"
mirror-by-digest-only = true
[[registry.mirror]]
location = "one.example/hub"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "two.example"
insecure = true
pull-from-mirror = "digest-only"
[aliases]
"app" = "registry.example/team/app"
"#,
    "[[registry]]\nlocation = \"registry.example\"\nblocked = true\n",
    "[registries.search]\nregistries = [\"docker.io\"]\n[registries.insecure]\nregistries = []\n",
];

/// Opens repositories with bytes that are taken for a `hosts.toml`.
pub fn hosts_toml(bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["registry.example", "localhost_5000_"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("hosts.toml"), bytes).unwrap();
    }
    open(&Mirrors::in_hosts_dir(dir.path()));
}

/// Opens repositories with bytes that are taken for a `registries.conf`.
pub fn registries_conf(bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registries.conf");
    std::fs::write(&path, bytes).unwrap();
    open(&Mirrors::from_env(&only(&path)));
}

fn only(path: &Path) -> Environment {
    let mut environment = Environment::default();
    environment.registries_conf = Some(path.to_owned());
    environment
}

/// Opens repositories, which sends nothing. What is wrong is said of the file, with its place.
fn open(mirrors: &Mirrors) {
    let client = Client::new(RegistryOptions::default().mirrors(mirrors.clone()));
    for name in NAMES {
        if let Err(error) = client.repository(&name.parse().unwrap()) {
            let kinds = [ErrorKind::InvalidInput, ErrorKind::Denied, ErrorKind::Store];
            assert!(kinds.contains(&error.kind()), "{}", error.chain());
        }
    }
}

/// The first inputs of `hosts_toml`, or of `registries_conf`.
pub fn mirror_seeds(is_hosts_toml: bool) -> Vec<(String, Vec<u8>)> {
    let texts = if is_hosts_toml { HOSTS_TOML } else { REGISTRIES_CONF };
    let named = texts.iter().enumerate();
    named.map(|(at, text)| (format!("{at}.toml"), text.as_bytes().to_vec())).collect()
}
