use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const PATH: &str = "/certs.d/docker.io/hosts.toml";

fn parse(text: &str) -> Result<HostsFile> {
    HostsFile::parse(text, Path::new(PATH))
}

fn hosts(text: &str) -> ContentHosts {
    parse(text).unwrap().hosts("docker.io", "library/alpine")
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().chain()
}

fn api(host: &ContentHost) -> &str {
    host.api.as_ref().unwrap().as_str()
}

/// containerd's `core/remotes/docker/config/hosts_test.go#TestParseHostFile`.
const OF_CONTAINERD: &str = r#"
server = "https://test-default.registry"
ca = "/etc/path/default"
[header]
  x-custom-1 = "custom header"

[host."https://mirror.registry"]
  capabilities = ["pull"]
  ca = "/etc/certs/mirror.pem"
  skip_verify = false
  [host."https://mirror.registry".header]
    x-custom-2 = ["value1", "value2"]

[host."https://mirror-bak.registry/us"]
  capabilities = ["pull"]
  skip_verify = true

[host."http://mirror.registry"]
  capabilities = ["pull"]

[host."https://test-1.registry"]
  capabilities = ["pull", "resolve", "push", "referrers"]
  ca = ["/etc/certs/test-1-ca.pem", "/etc/certs/special.pem"]
  client = [["/etc/certs/client.cert", "/etc/certs/client.key"],["/etc/certs/client.pem", ""]]

[host."https://test-2.registry"]
  client = "/etc/certs/client.pem"

[host."https://test-3.registry"]
  client = ["/etc/certs/client-1.pem", "/etc/certs/client-2.pem"]

[host."https://no-referrers.registry"]
  capabilities = ["pull", "resolve", "push"]

[host."https://noncompliantmirror.registry/v2/namespaceprefix"]
  capabilities = ["pull"]
  override_path = true

[host."https://noprefixnoncompliant.registry"]
  override_path = true

[host."https://onlyheader.registry".header]
  x-custom-1 = "justaheader"

[host."https://dial-timeout.registry"]
  dial_timeout = "3s"
"#;

#[test]
fn hosts_toml_keeps_order_of_hosts() {
    let found = hosts(OF_CONTAINERD);
    let apis: Vec<&str> = found.mirrors.iter().map(api).collect();
    assert_eq!(
        apis,
        [
            "https://mirror.registry/v2/",
            "https://mirror-bak.registry/us/v2/",
            "http://mirror.registry/v2/",
            "https://test-1.registry/v2/",
            "https://test-2.registry/v2/",
            "https://test-3.registry/v2/",
            "https://no-referrers.registry/v2/",
            "https://noncompliantmirror.registry/v2/",
            "https://noprefixnoncompliant.registry/",
            "https://onlyheader.registry/v2/",
            "https://dial-timeout.registry/v2/",
        ]
    );
    assert_eq!(found.file, Path::new(PATH));
    assert_eq!(api(&found.registry), "https://test-default.registry/v2/");
    assert_eq!(found.push, found.registry);
    assert_eq!(found.mirrors[7].repository, "namespaceprefix/library/alpine");
    assert_eq!(found.mirrors[8].repository, "library/alpine");
}

#[test]
fn hosts_toml_settings_are_those_of_each_host() {
    let found = hosts(OF_CONTAINERD);
    let only_pull = Capabilities { pull: true, resolve: false, referrers: false };
    assert_eq!(found.mirrors[0].capabilities, only_pull);
    assert_eq!(found.mirrors[4].capabilities, Capabilities::ALL);
    assert!(!found.mirrors[6].capabilities.referrers);
    let insecure: Vec<usize> =
        (0..found.mirrors.len()).filter(|at| found.mirrors[*at].settings.insecure).collect();
    assert_eq!(insecure, [1]);
    let certs = |at: usize| found.mirrors[at].settings.certs.clone().unwrap();
    assert_eq!(certs(0).ca, [PathBuf::from("/etc/certs/mirror.pem")]);
    assert_eq!(certs(3).ca.len(), 2);
    let pair = |cert: &str, key: &str| Some((PathBuf::from(cert), PathBuf::from(key)));
    assert_eq!(certs(3).client, pair("/etc/certs/client.cert", "/etc/certs/client.key"));
    assert_eq!(certs(4).client, pair("/etc/certs/client.pem", "/etc/certs/client.pem"));
    assert_eq!(certs(5).client, pair("/etc/certs/client-1.pem", "/etc/certs/client-1.pem"));
    let sent = |host: &ContentHost, name: &str| -> Vec<String> {
        let values = host.settings.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(sent(&found.mirrors[0], "x-custom-2"), ["value1", "value2"]);
    assert!(found.mirrors[1].settings.headers.is_empty());
    assert_eq!(sent(&found.registry, "x-custom-1"), ["custom header"]);
    assert!(!format!("{found:?}").contains("custom header"), "it may be a token");
    assert!(found.mirrors.iter().all(|host| host.settings.has_next));
    assert!(!found.registry.settings.has_next);
}

#[test]
fn hosts_toml_namespace_is_for_other_hosts_only() {
    let found = hosts("[host.\"https://registry-1.docker.io\"]\n[host.\"mirror.local:5000\"]");
    let [hub, other] = found.mirrors.as_slice() else { panic!("two") };
    assert_eq!((hub.name.as_str(), &hub.settings.namespace), ("docker.io", &None));
    assert!(!hub.settings.is_other_host);
    assert_eq!(other.name, "mirror.local:5000");
    assert_eq!(api(other), "https://mirror.local:5000/v2/");
    assert_eq!(other.settings.namespace.as_deref(), Some("docker.io"));
    assert!(other.settings.is_other_host);
    let own = ContentHost::registry("docker.io", "library/alpine");
    assert_eq!(found.registry, own, "nothing is said of it");
}

#[test]
fn hosts_toml_paths_are_relative_to_the_file() {
    let found = hosts("ca = \"own.pem\"\n[host.\"a.b\"]\nclient = [[\"c.pem\", \"k.pem\"]]");
    let here = |name: &str| Path::new(PATH).with_file_name(name);
    assert_eq!(found.registry.settings.certs.unwrap().ca, [here("own.pem")]);
    let client = found.mirrors[0].settings.certs.clone().unwrap().client;
    assert_eq!(client, Some((here("c.pem"), here("k.pem"))));
}

#[test]
fn hosts_toml_errors_name_file_line_and_key() {
    let at = |line: u32| format!("hosts.toml: {PATH}:{line}: ");
    for (text, line, part) in [
        ("[host", 1, ""),
        ("server = 5", 1, "`server`: invalid type: integer `5`"),
        ("\nserver = \"ftp://a.b\"", 2, "expected an http or https URL"),
        ("[host.\"https://\"]", 1, "not a URL"),
        ("[host.\"https://u:canary@a.b\"]", 1, "must not contain a user or password"),
        ("\n[host.\"a.b\"]\ncapabilities = [\"pul\"]", 3, "`capabilities`: unknown variant `pul`"),
        ("[host.\"a.b\"]\nskip_verify = \"yes\"", 2, "`skip_verify`: invalid type"),
        ("[host.\"a.b\"]\nca = 5", 2, "`ca`: expected a string or a list of strings"),
        ("[host.\"a.b\"]\nclient = [1]", 2, "`client`: expected a file, a list of files"),
        ("[host.\"a.b\"]\noverride_path = 1", 2, "`override_path`: invalid type"),
        ("[host.\"a.b\".header]\n\"x y\" = \"z\"", 2, "`x y`: not the name of a header"),
        ("[host.\"a.b\".header]\nx = \"a\\nb\"", 2, "`x`: not the value of a header"),
        ("host = [\"a.b\"]", 1, "`host`: invalid type"),
        ("[host]\n\"a.b\" = 1", 2, "invalid type: integer `1`"),
    ] {
        let error = error(text);
        assert!(error.starts_with(&at(line)) && error.contains(part), "{text}: {error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn hosts_toml_unknown_keys_are_ignored() {
    let found = hosts("new = 1\n[host.\"a.b\"]\nnew = []\n[plugins]\nx = 1");
    assert_eq!(found.mirrors.len(), 1);
}

#[test]
fn hosts_toml_first_directory_of_registry_wins() {
    let root = tempfile::tempdir().unwrap();
    let find = |registry: &str| {
        let found = HostsFile::find(root.path(), registry).unwrap();
        found.map(|file| api(&file.hosts(registry, "a").registry).to_owned())
    };
    let write = |dir: &str, text: &str| {
        fs::create_dir_all(root.path().join(dir)).unwrap();
        fs::write(root.path().join(dir).join(FILE_NAME), text).unwrap();
    };
    assert_eq!(find("h.example:5000"), None);
    write("_default", "server = \"default.example\"");
    write("h.example", "server = \"bare.example\"");
    assert_eq!(find("h.example:5000").unwrap(), "https://default.example/v2/");
    assert_eq!(find("h.example").unwrap(), "https://bare.example/v2/");
    write("h.example:5000", "server = \"colon.example\"");
    assert_eq!(find("h.example:5000").unwrap(), "https://colon.example/v2/");
    write("h.example_5000_", "server = \"underscore.example\"");
    assert_eq!(find("h.example:5000").unwrap(), "https://underscore.example/v2/");
    write("outside", "server = \"outside.example\"");
    assert!(HostsFile::find(&root.path().join("h.example"), "../outside").unwrap().is_none());
}

#[test]
fn hosts_toml_missing_leaves_certificates_of_directory() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("h.example");
    fs::create_dir(&dir).unwrap();
    assert!(HostsFile::find(root.path(), "h.example").unwrap().is_none());
    fs::write(dir.join("ca.crt"), "").unwrap();
    fs::write(dir.join(FILE_NAME), " \n").unwrap();
    let found = HostsFile::find(root.path(), "h.example").unwrap().unwrap();
    let registry = found.hosts("h.example", "a").registry;
    assert_eq!(registry.settings.certs.unwrap().ca, [dir.join("ca.crt")]);
}

proptest! {
    #[test]
    fn hosts_toml_of_any_text_parses_or_names_line(text in "((server|ca|client|skip_verify|\\[host\\.\"[a-z:/.@]{0,9}\"\\]|header|\\[\\[)( = )?(\"[a-z:/.@%]{0,9}\"|\\[\\]|true|1)?\n){0,6}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().starts_with(&format!("hosts.toml: {PATH}:")), "{}", error);
        }
    }
}
