//! Receipts, and hints that can be followed as they stand.

use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::http::{Fault, Reply};
use crate::support::live::needs;
use crate::support::samples::published;

#[tokio::test]
async fn receipt_is_printed_without_progress() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let output = cli.run(&["--progress", "none", &format!("{name}:1")]).await;
    output.expect(0, "transferred ");
    assert!(!output.stderr.contains("pulling") && !output.stderr.contains("done"));
    let root = cli.run(&["unpack", "--progress", "none", &format!("{name}:1"), "root"]).await;
    root.expect(0, "unpacked ");
    let quiet = cli.run(&["-q", &format!("{name}:2")]).await;
    assert_eq!(quiet.expect(0, "").stderr, "");
}

#[tokio::test]
async fn receipt_of_failed_push_has_no_digest() {
    let (_registry, _, name) = published().await;
    let (cli, closed) = (Cli::new(), FakeRegistry::start().await);
    closed.override_response("POST", 0..9, |_| Reply::error(403, "DENIED", "no"));
    let image = format!("{name}:1");
    cli.run(&[&image]).await.expect(0, "digest: sha256:");
    let refused = cli.run(&["push", &image, &closed.repository("app:1")]).await;
    refused.expect(4, "missing");
    assert!(!refused.stderr.contains("digest: "), "{}", refused.stderr);
}

#[tokio::test]
async fn plan_after_interrupted_pull_adds_up() {
    let (registry, [first, _], name) = published().await;
    let (cli, image) = (Cli::new(), format!("{name}:1"));
    let base = first.layers[0].digest().to_string();
    registry.override_response(&base, 0..1, |reply| reply.fault(Fault::Cut(7_000)));
    cli.run(&["--retries", "0", "--jobs", "1", &image]).await.expect(6, "");
    let plan = cli.run(&["--plan", &image]).await;
    assert!(plan.expect(0, "").stdout.contains(", 7.0 kB resumed, "), "{}", plan.stdout);
}

#[tokio::test]
async fn copy_to_registry_announces_at_most() {
    let (_registry, _, name) = published().await;
    let (cli, target) = (Cli::new(), FakeRegistry::start().await);
    let there = target.repository("app");
    let copied = cli.run(&["copy", &format!("{name}:1"), &format!("{there}:1")]).await;
    copied.expect(0, "up to 3 blobs to copy, up to ");
    let again = cli.run(&["copy", &format!("{name}:1"), "oci:x"]).await;
    again.expect(0, "3 of 3 blobs to copy, ");
}

#[tokio::test]
async fn copy_prints_name_at_destination() {
    let (_registry, [first, _], name) = published().await;
    let (cli, image, digest) = (Cli::new(), format!("{name}:1"), first.manifest.digest());
    cli.run(&["copy", &image, "docker-archive:a.tar:x/y:1"]).await.expect(0, "");
    for (words, printed) in [
        ([image.as_str(), "oci:a"], image.as_str()),
        ([&image, "oci:b:mine"], "mine"),
        (["docker-archive:a.tar", "oci:c"], "docker.io/x/y:1"),
        (["docker-archive:a.tar", "store:z"], "docker.io/library/z:latest"),
    ] {
        let copied = cli.run(&[&["copy"], &words[..]].concat()).await;
        let line = copied.expect(0, "").stdout.trim_end();
        assert!(line.starts_with(&format!("{printed}@sha256:")), "{words:?}: {line}");
        let is_other = words[0].starts_with("docker-archive");
        assert!(is_other || line.ends_with(digest.as_str()), "{line}");
    }
}

#[tokio::test]
async fn refused_connection_and_unknown_host_have_hints() {
    let cli = Cli::new();
    let refused = cli.run(&["digest", "--retries", "0", "127.0.0.1:1/a:1"]).await;
    refused.expect(6, "Connection refused\nhint: check the address and the port");
    let unknown = cli.run(&["digest", "--retries", "0", "nowhere.invalid/a:1"]).await;
    unknown.expect(6, "hint: check the spelling of the host");
}

#[tokio::test]
async fn unknown_option_is_not_said_to_be_a_value() {
    let cli = Cli::new();
    for (args, hint) in [
        (&["inspect", "--raw", "x"][..], "hint: use `rpull manifest`"),
        (&["images", "-l"], "hint: pass `--wide`"),
        (&["serve", "-p", "5000"], "hint: pass the address with the port"),
        (&["copy", "-p", "linux/amd64", "a", "b"], "hint: write it out: `--platform os/arch`"),
        (&["history", "-b", "x"], "Usage: rpull history"),
    ] {
        let refused = cli.run(args).await;
        let errors = &refused.expect(2, hint).stderr;
        assert!(!errors.contains("tip:") && !errors.contains("as a value"), "{errors}");
    }
}

#[tokio::test]
async fn option_of_other_tool_gets_no_misleading_tip() {
    let cli = Cli::new();
    let verify = cli.run(&["pull", "--tls-verify", "x"]).await;
    verify.expect(2, "unexpected argument '--tls-verify'").expect(2, "hint: pass `--insecure`");
    verify.expect(2, "Usage: rpull pull [OPTIONS]");
    assert!(!verify.stderr.contains("--retry-for"), "{}", verify.stderr);
    let slip = cli.run(&["pull", "--platfrom", "linux/amd64", "a:1"]).await;
    slip.expect(2, "a similar argument exists: '--platform'");
}

#[tokio::test]
async fn copy_has_connection_options_for_each_side() {
    let (_registry, _, name) = published().await;
    let (cli, target) = (Cli::new(), FakeRegistry::start().await);
    let there = target.repository("app:1");
    for side in ["src", "dest"] {
        let of = |option: &str| format!("--{side}-{option}");
        let [insecure, http, host] = ["insecure", "plain-http", "internal-host"].map(of);
        let flags = [insecure.as_str(), &http, &host, "10.0.0.1"];
        let words = ["copy", &format!("{name}:1"), &there];
        cli.run(&[&words[..], &flags].concat()).await.expect(0, "");
        for option in ["ca-file", "cert-file"].map(of) {
            let absent = [option.as_str(), "absent.pem"];
            cli.run(&[&words[..], &absent].concat()).await.expect(2, "absent.pem");
        }
        let key = [of("key-file"), "absent.pem".to_owned()];
        let alone = [&words[..], &[&key[0], &key[1]]].concat();
        cli.run(&alone).await.expect(2, &of("cert-file"));
    }
}

#[tokio::test]
async fn blob_to_terminal_is_refused_unless_asked_for() {
    if !needs("blob_to_terminal_is_refused_unless_asked_for", &["script"]) {
        return;
    }
    let (_registry, [first, _], name) = published().await;
    let cli = Cli::new().env("TERM", "xterm");
    let blob = format!("{name}@{}", first.config.digest());
    let on_terminal = async |flags: &str| {
        let line = format!("exec script -qec \"$1 blob {blob} {flags}\" /dev/null");
        cli.spawn_in_shell(&line, &[""]).wait().await
    };
    let refused = on_terminal("").await;
    assert_eq!(refused.code(), Some(2), "{}", refused.stdout);
    assert!(refused.stdout.contains("refusing to write a blob to the terminal"));
    let written = on_terminal("-o -").await;
    assert!(written.stdout.contains("architecture"), "{}", written.stdout);
    let piped = cli.run(&["blob", &blob, "-o", "-"]).await;
    assert!(piped.expect(0, "").stdout.contains("architecture"));
}

#[tokio::test]
async fn refused_credential_is_not_asked_for_again() {
    let auth = Auth::Basic { user: "me".to_owned(), password: "open-sesame".to_owned() };
    let registry = FakeRegistry::start_with(Options { auth, ..Options::default() }).await;
    let (cli, name) = (Cli::new(), registry.repository("app:1"));
    let refused = cli.run(&["--creds", "me:wrong-secret", &name]).await;
    refused.expect(4, "hint: check the user name and password");
    assert!(!refused.stderr.contains("--creds"), "{}", refused.stderr);
    cli.run(&[&name]).await.expect(4, "or pass `--creds USER:PASS`");
}

/// A directory for `--hosts-dir` that sends requests for Docker Hub to this registry.
fn docker_hub_at(registry: &FakeRegistry, cli: &Cli) -> String {
    let hosts = cli.dir().join("hosts");
    std::fs::create_dir_all(hosts.join("docker.io")).unwrap();
    let text = format!("server = \"http://{}\"\n", registry.server.host());
    std::fs::write(hosts.join("docker.io/hosts.toml"), text).unwrap();
    hosts.display().to_string()
}

#[tokio::test]
async fn plain_name_of_image_in_store_is_found_by_hint() {
    let (registry, _, name) = published().await;
    let (cli, named) = (Cli::new(), format!("{name}:1"));
    let hub = docker_hub_at(&registry, &cli);
    cli.run(&["copy", &named, "store:app:1"]).await.expect(0, "");
    let attach = ["artifact", "attach", "--artifact-type", "a/b", "app:1", "hosts:a/b"];
    let hint = "hint: write `store:app:1` for the image of that name in the store";
    let push = "hint: push the image of that name in the store first";
    for (command, hint) in [
        (&["digest", "app:1"][..], hint),
        (&["manifest", "app:1"], hint),
        (&["config", "app:1"], hint),
        (&["referrers", "app:1"], hint),
        (&["copy", "app:1", "oci:x"], hint),
        (&["copy", "--plan", "app:1", "oci:x"], hint),
        (&["artifact", "pull", "app:1", "-o", "files"], hint),
        (&attach, push),
    ] {
        cli.run(&[command, &["--hosts-dir", &hub]].concat()).await.expect(3, hint);
        let offline = cli.run(&[command, &["--offline"]].concat()).await;
        offline.expect(3, hint);
        assert!(!offline.stderr.contains("not in the store"), "{}", offline.stderr);
    }
    assert!(!cli.dir().join("x").exists());
    for image in ["docker.io/library/app:1", "docker://app:1", "app:2", &format!("{name}:none")] {
        let asked = cli.run(&["digest", "--hosts-dir", &hub, image]).await;
        assert!(!asked.expect(3, "hint: ").stderr.contains("store:"), "{}", asked.stderr);
    }
}
