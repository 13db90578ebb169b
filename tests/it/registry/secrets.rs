//! Passwords, tokens and signed URLs are in no output at any level, and each is sent only to its owner.

use serde_json::json;

use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::{Auth, Bearer, FakeRegistry, Options};
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::{Family, Image, image, layer};

const LOUD: [&str; 3] = ["-vv", "--retries", "1"];

fn held() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])])
}

/// Starts a registry with tokens on a second port and blobs on a third, for `canary-user` with `canary-pass`.
async fn guarded() -> (FakeRegistry, String) {
    let credentials = Some("canary-user:canary-pass".to_owned());
    let bearer = Bearer { credentials, elsewhere: true, ..Bearer::default() };
    let options =
        Options { auth: Auth::Bearer(bearer), blobs_elsewhere: true, ..Options::default() };
    let registry = FakeRegistry::start_with(options).await;
    held().publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    (registry, name)
}

fn loud() -> Cli {
    Cli::new().env("RPULL_LOG", "trace")
}

#[track_caller]
fn assert_discreet(output: &Output) {
    let text = format!("{}{}", output.stdout, output.stderr);
    let pair = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        "canary-user:canary-pass",
    );
    for secret in ["canary", "signature=", "token-", pair.as_str(), "Bearer ", "Basic "] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn credential_is_not_shown_by_successful_pull() {
    let (registry, name) = guarded().await;
    let cli = loud();
    let creds = ["--creds", "canary-user:canary-pass"];
    let output = cli.run(&[&LOUD[..], &creds, &[&name]].concat()).await;
    output.expect(0, "GET http://");
    assert_discreet(&output);
    let config = json!({"auths": {registry.server.host(): {"username": "canary-user", "password": "canary-pass"}}});
    std::fs::write(cli.dir().join("auth.json"), config.to_string()).unwrap();
    let output =
        cli.run(&[&LOUD[..], &["--authfile", "auth.json", "-o", "oci:x", &name]].concat()).await;
    assert_discreet(output.expect(0, ""));
}

#[tokio::test]
async fn credential_echoed_by_registry_is_not_shown() {
    let echo = |request: &crate::support::http::Request| {
        let sent = request.header("authorization").unwrap_or("nothing");
        let body = String::from_utf8_lossy(&request.body).into_owned();
        Reply::error(403, "DENIED", &format!("you sent {sent} (canary-pass) and {body}"))
    };
    let basic = Server::start(move |request| match request.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) => echo(request),
    })
    .await;
    let bearer = Server::start(move |request| {
        let realm = format!("http://{}/token", request.header("host").unwrap());
        match request.path.as_str() {
            "/token" => echo(request),
            _ => {
                Reply::new(401, "").header("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
            }
        }
    })
    .await;
    let creds = ["--creds", "canary-user:canary-pass"];
    for server in [&basic, &bearer] {
        let name = format!("{}/app:1", server.host());
        let output = loud().run(&[&LOUD[..], &creds, &["digest", &name]].concat()).await;
        output.expect(4, "you sent Basic *** (***)");
        let text = output.stderr.replace("Basic ***", "");
        assert!(!text.contains("canary-pass") && !text.contains("Basic "), "{text}");
    }
}

#[tokio::test]
async fn credential_is_not_shown_by_failed_pull() {
    let creds = ["--creds", "canary-user:canary-pass"];
    for fault in [
        Fault::Cut(0),
        Fault::Reset(0),
        Fault::HangUp,
        Fault::Raw("canary junk".into()),
        Fault::ContentLength(vec!["1".into()]),
    ] {
        let (registry, name) = guarded().await;
        // At the host of the signed URL.
        let broken = fault.clone();
        registry.override_response("/signed/", 0..99, move |reply| reply.fault(broken.clone()));
        let output = loud().run(&[&LOUD[..], &creds, &[&name]].concat()).await;
        assert!(output.code() != Some(0), "{fault:?}");
        assert_discreet(&output);
    }
    let (_registry, name) = guarded().await;
    let output =
        loud().run(&[&LOUD[..], &["--creds", "canary-user:canary-wrong", &name]].concat()).await;
    assert_discreet(output.expect(4, "incorrect username or password"));
    let output = loud().run(&["--creds", "canary", &name]).await;
    assert_discreet(output.expect(2, "missing colon"));
}

#[tokio::test]
async fn credential_file_error_names_but_does_not_quote_it() {
    let (registry, name) = guarded().await;
    let cli = loud();
    let host = registry.server.host();
    for (text, code) in [
        ("{canary".to_owned(), 4),
        (json!({"auths": {&host: {"auth": "canary!"}}}).to_string(), 4),
        (json!({"auths": {&host: {"auth": 7, "password": "canary"}}}).to_string(), 4),
        (json!({"credHelpers": {&host: "absent"}}).to_string(), 4),
    ] {
        std::fs::write(cli.dir().join("auth.json"), text).unwrap();
        let output = cli.run(&[&LOUD[..], &["--authfile", "auth.json", &name]].concat()).await;
        assert_discreet(output.expect(code, "credentials: "));
    }
    let bin = cli.dir().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let helper = bin.join("docker-credential-loud");
    std::fs::write(
        &helper,
        "#!/bin/sh\necho token=canary-out; echo Bearer canary-Err1 >&2; exit 1\n",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, mode).unwrap();
    std::fs::write(cli.dir().join("auth.json"), json!({"credsStore": "loud"}).to_string()).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let cli = cli.env("PATH", path);
    let output = cli.run(&[&LOUD[..], &["--authfile", "auth.json", &name]].concat()).await;
    let words = "helper docker-credential-loud: failed (exit status: 1): Bearer ***; token=***";
    let text = output.expect(4, words).stderr.replace("Bearer ***", "");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn credential_is_not_shown_by_login_or_helper() {
    let (registry, name) = guarded().await;
    let host = registry.server.host();
    let cli = loud();
    let bin = cli.dir().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let helper = bin.join("docker-credential-nosy");
    // Everything other users can see of the helper and its caller while it runs.
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"; cat > \"$1.input\"\n\
        cat /proc/$$/cmdline /proc/$$/environ /proc/$PPID/cmdline >> seen; cat store.input\n";
    std::fs::write(&helper, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, mode).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let cli = cli.env("PATH", path);
    let login = |host: &str| {
        let words = ["login", "-u", "canary-user", "--password-stdin", host].map(str::to_owned);
        LOUD.map(str::to_owned).into_iter().chain(words).collect::<Vec<_>>()
    };
    assert_discreet(cli.run_on("canary-pass", &login(&host)).await.expect(0, "unencrypted"));
    assert_discreet(cli.run_on("canary-wrong", &login(&host)).await.expect(4, "401"));
    let docker = cli.home().join(".docker/config.json");
    std::fs::write(&docker, r#"{"credsStore":"nosy"}"#).unwrap();
    assert_discreet(cli.run_on("canary-pass\n", &login(&host)).await.expect(0, "credential-nosy"));
    assert!(std::fs::read_to_string(bin.join("store.input")).unwrap().contains("canary-pass"));
    assert_discreet(cli.run(&[&LOUD[..], &["-o", "oci:x", &name]].concat()).await.expect(0, ""));
    assert_discreet(
        cli.run(&[&LOUD[..], &["logout", &host]].concat()).await.expect(0, "logged out"),
    );
    let seen = String::from_utf8_lossy(&std::fs::read(bin.join("seen")).unwrap()).into_owned();
    assert!(seen.contains("store") && !seen.contains("canary-pass"), "{seen}");
    assert!(!std::fs::read_to_string(&docker).unwrap().contains("canary"));
}

#[tokio::test]
async fn credential_is_bound_to_host_and_port() {
    let server = Server::start(|request| {
        if request.header("authorization").is_some() {
            Reply::new(404, "leaked")
        } else {
            Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"")
        }
    })
    .await;
    let host = server.host();
    let (ip, port) = host.split_once(':').unwrap();
    let entry = json!({"auth": "Y2FuYXJ5OmNhbmFyeQ=="});
    for (key, known) in [
        (host.clone(), true),
        (format!("http://{host}"), true),
        (format!("https://{host}/v1/"), true),
        (format!("{host}/app"), true),
        (ip.to_owned(), false),
        (format!("{ip}:{port}0"), false),
        (format!("{host}.evil"), false),
        (format!("evil-{host}"), false),
        (format!("{host}/other"), false),
    ] {
        let cli = Cli::new();
        std::fs::write(cli.dir().join("a"), json!({"auths": {&key: entry}}).to_string()).unwrap();
        let output = cli.run(&["--authfile", "a", &format!("{host}/app:1")]).await;
        let expected = if known { "leaked" } else { "no credentials found" };
        assert!(output.stderr.contains(expected), "{key}: {}", output.stderr);
    }
}

#[tokio::test]
async fn request_headers_are_on_allow_list() {
    let (registry, name) = guarded().await;
    let cli = Cli::new();
    cli.run(&["--creds", "canary-user:canary-pass", &name]).await.expect(0, "");
    let allowed = ["host", "user-agent", "accept", "accept-encoding", "authorization"];
    let blobs = registry.blobs.as_ref().unwrap();
    for request in registry.server.requests().iter().chain(&blobs.requests()) {
        for (header, _) in &request.headers {
            assert!(allowed.contains(&header.to_ascii_lowercase().as_str()), "{header}");
        }
    }
    let signed = blobs.requests();
    assert!(!signed.is_empty() && signed.iter().all(|one| one.header("authorization").is_none()));
}
