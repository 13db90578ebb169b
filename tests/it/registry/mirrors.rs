//! Mirrors that other tools are configured for: who is asked for what, and with what.

use serde_json::json;

use crate::support::assertions::assert_digests_are_right;
use crate::support::certs::{Certs, ClientCert};
use crate::support::cli::Output;
use crate::support::fake_registry::{Auth, Options};
use crate::support::mirrored::Mirrored;

const USER: &str = "user";

fn basic(user: &str, password: &str) -> Options {
    let (user, password) = (user.to_owned(), password.to_owned());
    Options { auth: Auth::Basic { user, password }, ..Options::default() }
}

fn auth(user: &str, password: &str) -> serde_json::Value {
    json!({"username": user, "password": password})
}

#[tokio::test]
async fn mirror_with_image_leaves_registry_alone() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let output = all.pull().await;
    output.expect(0, &format!("using the mirror {} for", all.mirror.server.host()));
    assert_eq!(output.stderr.matches("using the mirror").count(), 1, "{}", output.stderr);
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    assert!(all.registry.server.requests().is_empty(), "{:?}", all.registry.server.lines());
    let ns = all.registry.server.host();
    assert_eq!(all.mirror.server.requests().len(), 4, "{:?}", all.mirror.server.lines());
    for request in all.mirror.server.requests() {
        assert_eq!(request.pairs(), [("ns".to_owned(), ns.clone())]);
    }
    let report = output.report();
    assert_eq!(report["requests"]["total"], 4);
    assert_eq!(report["hosts"], json!(null), "there was only one");
    assert_digests_are_right(&all.cli.store());
}

#[tokio::test]
async fn mirror_is_not_used_with_no_mirrors() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let conf = "[[registry]]\nlocation = \"REGISTRY\"\n[[registry.mirror]]\nlocation = \"MIRROR\"";
    let name = all.name();
    let (all, output) = all.pull_by_registries_conf(conf, &name).await;
    output.expect(0, "using the mirror");
    all.mirror.server.forget();
    all.cli.run(&["pull", "--no-mirrors", "-o", "oci:out", &name]).await.expect(0, "");
    assert!(all.mirror.server.requests().is_empty());
    assert_eq!(all.registry.server.requests().len(), 4);
}

#[tokio::test]
async fn mirror_without_capability_to_resolve_gives_blobs_only() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let hosts = format!("[host.\"{}\"]\ncapabilities = [\"pull\"]\n", all.mirror_url());
    let output = all.run(&hosts, &["pull", "--json", &all.name()]).await;
    output.expect(0, "using the mirror");
    assert_eq!(all.registry.server.count("/blobs/"), 0);
    assert_eq!(all.registry.server.count("GET /v2/app/manifests/1"), 1);
    assert_eq!(all.mirror.server.count("/manifests/"), 0);
    assert_eq!(all.mirror.server.count("GET /v2/app/blobs/"), 3);
    all.mirror.server.forget();
    let pinned = format!("{}@{}", all.registry.repository("app"), all.image.manifest.digest());
    let output = all.run(&hosts, &["manifest", &pinned]).await;
    output.expect(0, "");
    assert_eq!(all.mirror.server.count("/manifests/"), 1, "by digest");
}

#[tokio::test]
async fn mirror_gets_its_headers_and_path() {
    let all = Mirrored::start().await;
    all.image.publish(&all.mirror, "hub/app", Some("1"));
    let hosts = format!(
        "[host.\"{}/v2/hub\"]\noverride_path = true\n[host.\"{0}/v2/hub\".header]\nX-Key = \"canary\"\n",
        all.mirror_url()
    );
    let output = all.run(&hosts, &["pull", "-vv", &all.name()]).await;
    output.expect(0, "using the mirror");
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    assert!(all.registry.server.requests().is_empty());
    for request in all.mirror.server.requests() {
        assert!(request.path.starts_with("/v2/hub/app/"), "{}", request.line());
        assert_eq!(request.header("x-key"), Some("canary"));
    }
}

#[tokio::test]
async fn mirror_gets_no_credentials_of_registry() {
    let all = Mirrored::start_with(basic(USER, "canary"), Options::default()).await;
    let docker = all.cli.home().join(".docker");
    std::fs::create_dir(&docker).unwrap();
    let auths = json!({"auths": {all.registry.server.host(): auth(USER, "canary")}});
    std::fs::write(docker.join("config.json"), auths.to_string()).unwrap();
    all.pull().await.expect(0, "");
    assert_eq!(all.mirror.server.requests().len(), 4, "{:?}", all.mirror.server.lines());
    assert!(all.mirror.server.requests().iter().all(|one| one.header("authorization").is_none()));
}

#[tokio::test]
async fn mirror_gets_its_own_credentials_only() {
    let all = Mirrored::start_with(basic(USER, "canary"), basic("own", "key")).await;
    all.fill_mirror();
    let hosts = format!("[host.\"{}\"]\n", all.mirror_url());
    let creds = format!("{USER}:canary");
    let typed = ["pull", "--jobs", "1", "--creds", &creds, &all.name()];
    let output = all.run(&hosts, &typed).await;
    output.expect(0, &format!("warning: mirror {} is left out", all.mirror.server.host()));
    let sent = all.mirror.server.requests();
    assert!(sent.iter().all(|one| one.header("authorization").is_none()), "{sent:?}");

    all.mirror.server.forget();
    all.registry.server.forget();
    let both = json!({"auths": {
        all.registry.server.host(): auth(USER, "canary"),
        all.mirror.server.host(): auth("own", "key"),
    }});
    std::fs::write(all.cli.dir().join("auth.json"), both.to_string()).unwrap();
    let output =
        all.run(&hosts, &["pull", "--authfile", "auth.json", "-o", "oci:out", &all.name()]).await;
    output.expect(0, "using the mirror");
    assert!(all.registry.server.requests().is_empty());
}

#[tokio::test]
async fn mirror_is_not_pushed_to() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    all.pull().await.expect(0, "");
    all.mirror.server.forget();
    let hosts = format!("[host.\"{}\"]\n", all.mirror_url());
    let to = all.registry.repository("pushed:1");
    all.run(&hosts, &["push", &all.name(), &to]).await.expect(0, "");
    let tag = format!("docker://{}", all.registry.repository("app:2"));
    all.run(&hosts, &["tag", &all.name(), &tag]).await.expect(0, "");
    all.run(&hosts, &["delete", "--yes", &to]).await.expect(0, "");
    all.run(&hosts, &["tags", &all.registry.repository("app")]).await.expect(0, "");
    assert!(all.mirror.server.requests().is_empty(), "{:?}", all.mirror.server.lines());
    assert!(all.registry.tagged("pushed", "1").is_none());
}

#[tokio::test]
async fn server_of_hosts_toml_replaces_registry() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let hosts = format!("server = \"{}\"\n", all.mirror_url());
    let output = all.run(&hosts, &["pull", &all.name()]).await;
    output.expect(0, "");
    let to = all.registry.repository("pushed:1");
    all.run(&hosts, &["push", &all.name(), &to]).await.expect(0, "");
    assert!(all.registry.server.requests().is_empty(), "{:?}", all.registry.server.lines());
    assert!(all.mirror.tagged("pushed", "1").is_some());
    all.mirror.fail_requests("", 0..99, crate::support::http::Reply::new(404, ""));
    all.run(&hosts, &["digest", &all.name()]).await.expect(3, "");
    assert!(all.registry.server.requests().is_empty());
}

#[tokio::test]
async fn registries_conf_mirror_is_used_by_kind_of_reference() {
    let conf = "[[registry]]\nlocation = \"REGISTRY\"\n[[registry.mirror]]\nlocation = \"MIRROR/m\"\n\
                pull-from-mirror = \"digest-only\"";
    let all = Mirrored::start().await;
    all.image.publish(&all.mirror, "m/app", Some("1"));
    let name = all.name();
    let (all, output) = all.pull_by_registries_conf(conf, &name).await;
    output.expect(0, "");
    assert!(all.mirror.server.requests().is_empty());
    assert_eq!(all.registry.server.requests().len(), 4);

    let all = Mirrored::start().await;
    all.image.publish(&all.mirror, "m/app", Some("1"));
    let pinned = format!("{}@{}", all.registry.repository("app"), all.image.manifest.digest());
    let (all, output) = all.pull_by_registries_conf(conf, &pinned).await;
    output.expect(0, "using the mirror");
    assert!(all.registry.server.requests().is_empty());
    let lines = all.mirror.server.lines();
    assert!(
        lines.iter().all(|line| line.contains("/v2/m/app/") && !line.contains("ns=")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn registries_conf_blocked_registry_is_not_asked() {
    let all = Mirrored::start().await;
    let name = all.name();
    let blocked = "[[registry]]\nlocation = \"REGISTRY\"\nblocked = true";
    let (all, output) = all.pull_by_registries_conf(blocked, &name).await;
    output.expect(4, "the registry is blocked there").expect(4, "--no-mirrors");
    assert!(all.registry.server.requests().is_empty());
    all.cli.run(&["pull", "--no-mirrors", &name]).await.expect(0, "");
}

#[tokio::test]
async fn registries_conf_location_replaces_registry_for_reading() {
    let all = Mirrored::start().await;
    all.image.publish(&all.mirror, "copies/app", Some("1"));
    let name = all.name();
    let conf = "[[registry]]\nprefix = \"REGISTRY\"\nlocation = \"MIRROR/copies\"";
    let (all, output) = all.pull_by_registries_conf(conf, &name).await;
    output.expect(0, "");
    assert!(all.registry.server.requests().is_empty());
    let to = all.registry.repository("pushed:1");
    all.cli.run(&["push", &name, &to]).await.expect(0, "");
    assert!(all.registry.tagged("pushed", "1").is_some());
}

#[tokio::test]
async fn mirror_is_trusted_by_its_own_certificates() {
    let certs = Certs::new();
    let tls = Some(certs.server_config(Certs::SERVER, ClientCert::Required));
    let all = Mirrored::start_with(Options::default(), Options { tls, ..Options::default() }).await;
    all.fill_mirror();
    let url = format!("https://{}", all.mirror.server.host());
    let hosts = all.hosts_dir("");
    let here = |name: &str| hosts.join(all.registry.server.host()).join(name);
    std::fs::copy(certs.cert(Certs::CA), here("ca.pem")).unwrap();
    let (cert, key) = (certs.cert(Certs::CLIENT), certs.key(Certs::CLIENT));
    let own = format!(
        "[host.\"{url}\"]\nca = \"ca.pem\"\nclient = [[\"{}\", \"{}\"]]\n",
        cert.display(),
        key.display()
    );
    let output = all.run(&own, &["pull", &all.name()]).await;
    output.expect(0, "using the mirror");
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    assert!(all.registry.server.requests().is_empty());
    assert!(all.mirror.server.requests().iter().all(|one| one.client_certificate));

    // What is typed for the registry is not shown to the mirror.
    let typed =
        ["--cert-file", &cert.display().to_string(), "--key-file", &key.display().to_string()]
            .map(str::to_owned);
    let plain = format!("server = \"http://{}\"\n", all.registry.server.host());
    let without = format!("{plain}[host.\"{url}\"]\nca = \"ca.pem\"\n");
    let name = all.name();
    let arguments = [&["digest", &name][..], &typed.each_ref().map(String::as_str)].concat();
    all.run(&without, &arguments).await.expect(0, "is left out");
}

#[tokio::test]
async fn mirror_without_verification_is_announced_once() {
    let certs = Certs::new();
    let tls = || Some(certs.server_config(Certs::SERVER, ClientCert::NotAsked));
    let start =
        || Mirrored::start_with(Options::default(), Options { tls: tls(), ..Options::default() });
    let expect = |all: &Mirrored, output: &Output| {
        let warning = format!("warning: certificates of {} are", all.mirror.server.host());
        output.expect(0, &warning).expect(0, "using the mirror");
        assert_eq!(output.stderr.matches("warning").count(), 1, "{}", output.stderr);
        assert!(all.registry.server.requests().is_empty());
    };
    let all = start().await;
    all.fill_mirror();
    let hosts = format!("[host.\"{}\"]\nskip_verify = true\n", all.mirror.server.host());
    let output = all.run(&hosts, &["pull", &all.name()]).await;
    expect(&all, &output);

    let all = start().await;
    all.fill_mirror();
    let conf = "[[registry]]\nlocation = \"REGISTRY\"\n[[registry.mirror]]\nlocation = \"MIRROR\"\n\
                insecure = true";
    let name = all.name();
    let (all, output) = all.pull_by_registries_conf(conf, &name).await;
    expect(&all, &output);
}

#[tokio::test]
async fn invalid_mirror_file_names_line_and_remedy() {
    let all = Mirrored::start().await;
    let output =
        all.run("\n[host.\"a.b\"]\ncapabilities = [\"pul\"]", &["pull", &all.name()]).await;
    output.expect(2, "hosts.toml:3: `capabilities`: unknown variant `pul`");
    output.expect(2, "hint: correct the file, or ignore it with `--no-mirrors`");
    assert!(all.registry.server.requests().is_empty());
    let missing = ["--hosts-dir", "missing", "pull", &all.name()];
    all.cli.run(&missing).await.expect(2, "`--hosts-dir`: missing: not a directory");
    let both = ["--hosts-dir", ".", "--no-mirrors", "pull", &all.name()];
    all.cli.run(&both).await.expect(2, "cannot be used with");
}
