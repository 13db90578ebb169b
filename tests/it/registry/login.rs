//! `login` and `logout`: what is tried, where it is stored, and what else in that file is preserved.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::http::{Reply, Server};
use crate::support::images::{Family, image, layer};
use crate::support::terminal::Terminal;

const LOGIN: [&str; 4] = ["login", "-u", "user", "--password-stdin"];

/// A registry for `user` with `pass`, that holds `app:1`.
async fn closed() -> (FakeRegistry, String) {
    let auth = Auth::Basic { user: "user".into(), password: "pass".into() };
    let registry = FakeRegistry::start_with(Options { auth, ..Options::default() }).await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "app", Some("1"));
    let host = registry.server.host();
    (registry, host)
}

fn login(host: &str) -> Vec<&str> {
    [&LOGIN[..], &[host]].concat()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn login_stores_accepted_credential_with_mode_0600() {
    let (registry, host) = closed().await;
    let cli = Cli::new();
    let config = cli.home().join(".docker/config.json");
    let name = format!("{host}/app:1");
    cli.run_on("wrong", &login(&host)).await.expect(4, "login: ").expect(4, "password");
    assert!(!config.parent().unwrap().exists(), "nothing is written");
    cli.run(&[&name]).await.expect(4, "rpull login");

    cli.run_on("pass\n", &login(&host)).await.expect(0, "logged in to 127.0.0.1:");
    assert_eq!((mode(&config), mode(config.parent().unwrap())), (0o600, 0o700));
    assert_eq!(read(&config), json!({"auths": {&host: {"auth": STANDARD.encode("user:pass")}}}));
    cli.run(&[&name]).await.expect(0, "");

    let before = std::fs::read(&config).unwrap();
    cli.run_on("wrong", &login(&host)).await.expect(4, "");
    assert_eq!(std::fs::read(&config).unwrap(), before);
    cli.run(&["logout", &host]).await.expect(0, "logged out of 127.0.0.1:");
    assert_eq!(read(&config), json!({"auths": {}}));
    cli.run(&["logout", &host]).await.expect(0, "not logged in to 127.0.0.1:");
    drop(registry);
    cli.run_on("pass", &[&["--retries", "0"], &login(&host)[..]].concat()).await.expect(6, "login");
}

#[tokio::test]
async fn login_authfile_keeps_other_content() {
    let (_registry, host) = closed().await;
    let cli = Cli::new();
    let text = "{\n\t\"zeta\": 1.0,\n\t\"auths\": {\n\t\t\"a.example\": {\"auth\":  \"eDp5\"}\n\t},\n\t\"alpha\": [ ]\n}\n";
    let (real, named) = (cli.dir().join("real.json"), cli.dir().join("named.json"));
    std::fs::write(&real, text).unwrap();
    std::os::unix::fs::symlink("real.json", &named).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).unwrap();
    cli.run_on("pass", &[&login(&host)[..], &["--authfile", "named.json"]].concat())
        .await
        .expect(0, "named.json");
    assert!(named.is_symlink());
    let written = std::fs::read_to_string(&real).unwrap();
    assert!(written.starts_with(
        "{\n\t\"zeta\": 1.0,\n\t\"auths\": {\n\t\t\"a.example\": {\"auth\":  \"eDp5\"},"
    ));
    assert!(written.ends_with("\n\t},\n\t\"alpha\": [ ]\n}\n"), "{written}");
    assert!(!cli.home().join(".docker").exists());
    let cli = cli.env("REGISTRY_AUTH_FILE", named.to_str().unwrap());
    cli.run(&["digest", &format!("{host}/app:1")]).await.expect(0, "");
    cli.run(&["logout", &host]).await.expect(0, "logged out");
    assert_eq!(std::fs::read_to_string(&real).unwrap(), text);

    let runtime = cli.dir().join("run/containers");
    std::fs::create_dir(&runtime).unwrap();
    let podmans = json!({"auths": {&host: {"auth": STANDARD.encode("user:old")}}});
    std::fs::write(runtime.join("auth.json"), podmans.to_string()).unwrap();
    let cli = cli.env("REGISTRY_AUTH_FILE", "");
    cli.run_on("pass", &login(&host))
        .await
        .expect(0, "auth.json also has a credential for 127.0.0.1:");
    std::fs::write(cli.home().join(".docker/config.json"), "{oops").unwrap();
    cli.run_on("pass", &login(&host)).await.expect(4, "config.json: malformed at line 1");
}

#[tokio::test]
async fn login_credential_helper_failure_stores_nothing() {
    let (registry, host) = closed().await;
    let cli = Cli::new();
    let bin = cli.dir().join("bin");
    for dir in [&bin, &cli.home().join(".docker")] {
        std::fs::create_dir(dir).unwrap();
    }
    let config = cli.home().join(".docker/config.json");
    let text = json!({"auths": {}, "credHelpers": {&host: "broken"}, "credsStore": "other"});
    std::fs::write(&config, text.to_string()).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let cli = cli.env("PATH", path);
    let missing = "helper docker-credential-broken: not found in PATH";
    cli.run_on("pass", &login(&host)).await.expect(4, missing);
    cli.run(&["logout", &host]).await.expect(4, missing);
    assert!(registry.server.requests().is_empty(), "what cannot be kept is not tried");

    let helper = bin.join("docker-credential-broken");
    std::fs::write(&helper, "#!/bin/sh\necho cannot open the keyring; exit 1\n").unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let failed = "helper docker-credential-broken: failed";
    cli.run_on("pass", &login(&host)).await.expect(4, failed);
    cli.run(&["logout", &host]).await.expect(4, failed);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), text.to_string());
}

#[tokio::test]
async fn login_concurrent_runs_keep_all_credentials() {
    let registries = futures_util::future::join_all((0..5).map(|_| closed())).await;
    let cli = Cli::new();
    let input = cli.dir().join("pass");
    std::fs::write(&input, "pass").unwrap();
    let running: Vec<_> = registries
        .iter()
        .map(|(_, host)| cli.spawn_on(std::fs::File::open(&input).unwrap(), &login(host)))
        .collect();
    for one in running {
        one.wait().await.expect(0, "logged in");
    }
    let auths = read(&cli.home().join(".docker/config.json"))["auths"].clone();
    assert!(registries.iter().all(|(_, host)| auths.get(host).is_some()), "{auths}");
}

/// Gives a token to `user` with `pass`, and on `offline_token` an identity token that is accepted later.
fn token(request: &crate::support::http::Request) -> Reply {
    let pairs = request.pairs();
    let wants = |key: &str| pairs.iter().any(|(held, _)| held == key);
    let form = String::from_utf8_lossy(&request.body).into_owned();
    let basic = format!("Basic {}", STANDARD.encode("user:pass"));
    match request.header("authorization") {
        Some(shown) if shown == basic && wants("offline_token") => {
            Reply::json(200, &json!({"token": "good", "refresh_token": "identity"}))
        }
        None if form.contains("refresh_token=identity") => {
            Reply::json(200, &json!({"access_token": "good"}))
        }
        _ => Reply::error(401, "UNAUTHORIZED", "wrong"),
    }
}

#[tokio::test]
async fn login_identity_token_replaces_password() {
    let server = Server::start(|request| {
        if request.path == "/token" {
            return token(request);
        }
        if request.header("authorization") == Some("Bearer good") {
            return Reply::json(200, &json!({"tags": ["1"]}));
        }
        let realm = format!("http://{}/token", request.header("host").unwrap());
        let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
        Reply::new(401, "").header("WWW-Authenticate", challenge)
    })
    .await;
    let (cli, host) = (Cli::new(), server.host());
    cli.run_on("pass", &login(&host)).await.expect(0, "an identity token saved in");
    let entry = json!({"auth": STANDARD.encode("user:"), "identitytoken": "identity"});
    assert_eq!(read(&cli.home().join(".docker/config.json")), json!({"auths": {&host: entry}}));
    server.forget();
    cli.run(&["tags", &format!("{host}/app")]).await.expect(0, "");
    let posted = server.requests().into_iter().filter(|request| request.method == "POST").count();
    assert_eq!(posted, 1);
    assert_eq!(server.count("offline_token"), 0, "only a login asks for it");
}

#[tokio::test]
async fn login_to_open_registry_says_password_unchecked() {
    let registry = FakeRegistry::start().await;
    let output = Cli::new().run_on("pass", &login(&registry.server.host())).await;
    output.expect(0, "so the password was not checked");
}

#[tokio::test]
async fn login_at_web_page_stores_nothing() {
    for has_header in [false, true] {
        let server = Server::start(move |_| {
            let page = Reply::new(200, "<!DOCTYPE html>").header("Content-Type", "Text/HTML");
            let api = ("Docker-Distribution-Api-Version", "registry/2.0");
            if has_header { page.header(api.0, api.1) } else { page }
        })
        .await;
        let cli = Cli::new();
        let output = cli.run_on("pass", &login(&server.host())).await;
        if has_header {
            output.expect(0, "logged in");
            continue;
        }
        output.expect(6, "login: 127.0.0.1:").expect(6, "not a registry: `/v2/` is a web page");
        assert!(!cli.home().join(".docker").exists());
    }
}

#[tokio::test]
async fn login_without_user_or_password_is_usage_error() {
    let (registry, host) = closed().await;
    let cli = Cli::new();
    cli.run(&["login", &host]).await.expect(2, "missing user name");
    cli.run(&["login", "-u", "user", &host]).await.expect(2, "missing password");
    cli.run(&login(&host)).await.expect(2, "the password is empty");
    cli.run_on("a\nb\n", &login(&host)).await.expect(2, "control characters");
    cli.run(&["login", "--password-stdin", &host]).await.expect(2, "--username");
    cli.run(&["login", &format!("https://{host}/app")]).await.expect(2, "a registry only");
    assert!(registry.server.requests().is_empty());
    let typed = ["login", "-u", "user", "-p", "pass", &host];
    cli.run(&typed).await.expect(0, "hint: use `--password-stdin`");
    let shown = cli.json(&["logout", "--json", &host]).await;
    assert_eq!((&shown["registry"], &shown["removed"]), (&json!(host), &json!(true)));
}

#[tokio::test]
async fn login_password_is_not_echoed() {
    let (_registry, host) = closed().await;
    let cli = Cli::new();
    let terminal = Terminal::open();
    let running = cli.spawn_on(terminal.screen(), &["login", &host]);
    terminal.type_in("user\n");
    terminal.wait_until_hidden().await;
    terminal.type_in("pass\n");
    running.wait().await.expect(0, "password: ").expect(0, "logged in");
    assert!(terminal.echoes(), "the terminal is as before");

    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let running = cli.spawn_on(terminal.screen(), &["login", "-u", "user", &host]);
        terminal.wait_until_hidden().await;
        running.signal(signal);
        running.wait().await.expect(code, "password: \nerror: login: interrupted");
        assert!(terminal.echoes(), "the terminal is as before");
    }
}

#[tokio::test]
async fn login_credential_longest_namespace_wins() {
    let server = Server::start(|request| match request.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) => Reply::json(200, &json!({"tags": ["1"]})),
    })
    .await;
    let (cli, host) = (Cli::new(), server.host());
    let file = cli.home().join(".docker/config.json");
    for (password, name) in [("host", host.clone()), ("team", format!("{host}/team"))] {
        cli.run_on(password, &login(&name)).await.expect(0, &format!("logged in to {name}; "));
    }
    let entry = |password: &str| json!({"auth": STANDARD.encode(format!("user:{password}"))});
    let team = format!("{host}/team");
    let both = json!({"auths": {&host: entry("host"), &team: entry("team")}});
    assert_eq!(read(&file), both);
    for (repository, password) in [("team/app", "team"), ("teams/app", "host"), ("app", "host")] {
        server.forget();
        cli.run(&["tags", &format!("{host}/{repository}")]).await.expect(0, "");
        let sent = server.requests().pop().unwrap();
        let expected = format!("Basic {}", STANDARD.encode(format!("user:{password}")));
        assert_eq!(sent.header("authorization"), Some(expected.as_str()), "{repository}");
    }
    cli.run(&["logout", &team]).await.expect(0, &format!("logged out of {team}; "));
    assert_eq!(read(&file), json!({"auths": {&host: entry("host")}}));
    cli.run(&["logout", &team]).await.expect(0, "not logged in");
    cli.run(&["login", "-u", "user", &format!("{host}/Team")]).await.expect(2, "lowercase");
}

#[tokio::test]
async fn login_credential_helper_keeps_namespace_key() {
    let server = Server::start(|request| match request.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) => Reply::json(200, &json!({"tags": ["1"]})),
    })
    .await;
    let (cli, host) = (Cli::new(), server.host());
    let bin = cli.dir().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(cli.home().join(".docker")).unwrap();
    // A file for each key.
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\nin=$(cat)\n\
        key=$(echo \"$in\" | sed 's/.*ServerURL\":\"//; s/\".*//' | tr '/:' '__')\n\
        case $1 in store) echo \"$in\" > \"$key\";; erase) rm \"$key\";;\n\
        get) [ -e \"$key\" ] && cat \"$key\" || { echo credentials not found; exit 1; };; esac\n";
    let helper = bin.join("docker-credential-keys");
    std::fs::write(&helper, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, mode).unwrap();
    let file = cli.home().join(".docker/config.json");
    std::fs::write(&file, r#"{"credsStore":"keys"}"#).unwrap();
    let cli = cli.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let team = format!("{host}/team");
    for (password, name) in [("host", &host), ("team", &team)] {
        cli.run_on(password, &login(name)).await.expect(0, "docker-credential-keys");
    }
    assert_eq!(read(&file)["auths"], json!({&host: {}, &team: {}}));
    for (repository, password) in [("team/app", "team"), ("app", "host")] {
        server.forget();
        cli.run(&["tags", &format!("{host}/{repository}")]).await.expect(0, "");
        let sent = server.requests().pop().unwrap();
        let expected = format!("Basic {}", STANDARD.encode(format!("user:{password}")));
        assert_eq!(sent.header("authorization"), Some(expected.as_str()), "{repository}");
    }
    cli.run(&["logout", &team]).await.expect(0, "logged out");
    assert_eq!(read(&file)["auths"], json!({&host: {}}));
}
