//! Texts for users: help of each verb, receipts, tables and errors, compared with `snapshots/`.
//!
//! `INSTA_UPDATE=always cargo test --test it snapshots` accepts the current texts.

use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::http::Reply;
use crate::support::images::{Family, image, index, layer, random_blob};

const VERBS: [&str; 52] = [
    "pull",
    "push",
    "copy",
    "mirror",
    "save",
    "load",
    "inventory",
    "digest",
    "manifest",
    "config",
    "inspect",
    "blob",
    "tags",
    "catalog",
    "limits",
    "referrers",
    "delete",
    "retain",
    "history",
    "layers",
    "diff",
    "analyze",
    "check-base",
    "report",
    "unpack",
    "export",
    "append",
    "mutate",
    "rebase",
    "flatten",
    "index create",
    "index add",
    "index remove",
    "artifact push",
    "artifact pull",
    "artifact attach",
    "images",
    "tag",
    "rm",
    "df",
    "prune",
    "verify",
    "stats",
    "login",
    "logout",
    "auth",
    "put-blob",
    "put-manifest",
    "serve",
    "demo",
    "completions",
    "man",
];

#[tokio::test]
async fn help_texts_match_snapshots() {
    let cli = Cli::new();
    insta::assert_snapshot!("help", cli.run(&["--help"]).await.stdout);
    for verb in VERBS {
        let words: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
        let text = cli.run(&words).await.stdout;
        // Common options are in the general help.
        let (own, common) = text.split_once("Common options:").unwrap();
        let examples = common.split_once("Examples:").map_or("", |(_, examples)| examples);
        assert!(examples.matches("  rpull ").count() >= 2, "{verb} has two examples: {examples}");
        insta::assert_snapshot!(
            format!("help-{}", verb.replace(' ', "-")),
            format!("{own}Examples:{examples}")
        );
    }
}

#[tokio::test]
async fn session_output_matches_snapshot() {
    let registry = FakeRegistry::start().await;
    let base = [
        layer(&[("base", &random_blob(2_000_000, 1))]),
        layer(&[("lib", &random_blob(90_000, 2))]),
    ];
    for (tag, seed) in [("1.0", 3), ("1.1", 4)] {
        let app = layer(&[("app", &random_blob(5000, seed))]);
        let layers = [base.as_slice(), &[app]].concat();
        image(Family::Oci, "amd64", &layers).publish(&registry, "team/app", Some(tag));
    }
    let (cli, name) = (Cli::new(), registry.repository("team/app"));
    let mut session = Vec::new();
    for words in [
        "NAME:1.0",
        "NAME:1.1",
        "NAME:1.1",
        "--plan NAME:1.0",
        "images",
        "history NAME:1.1",
        "layers NAME:1.1",
        "diff NAME:1.0 NAME:1.1",
        "analyze NAME:1.1",
        "inspect NAME:1.1",
        "tags NAME",
        "tag NAME:1.0 mine",
        "df",
        "rm NAME:1.0 mine",
        "prune --plan",
        "prune",
        "verify",
        "stats --by repository",
        "NAME:2",
        "histroy NAME",
    ] {
        session.push(typed(&cli, words, &words.replace("NAME", &name)).await);
    }
    assert_session("session", &session, &registry);
}

/// Runs a command line; returns it as shown, with its output.
async fn typed(cli: &Cli, shown: &str, line: &str) -> String {
    let args: Vec<&str> = line.split(' ').collect();
    // One blob at a time, for a fixed order.
    let pull = args[0].contains('/') || args[0] == "--plan";
    let jobs: &[&str] = if pull { &["--jobs", "1"] } else { &[] };
    let output = cli.run(&[jobs, &args].concat()).await;
    let end = match output.code() {
        Some(0) => String::new(),
        code => format!("[exit {code:?}]\n"),
    };
    format!("$ rpull {shown}\n{}{}{end}", output.stderr, output.stdout)
}

fn assert_session(name: &str, session: &[String], registry: &FakeRegistry) {
    let host = registry.server.host();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&host.replace('.', r"\."), "registry.test");
    settings.add_filter(r"\d+\.\d s\b", "[time]");
    settings.add_filter(r"\d+ (second|minute|hour|day|week|month|year)s? ago", "[age]");
    settings.add_filter(r"\b\d{4}-\d\d-\d\d\b", "[date]");
    settings.add_filter(r"/tmp/\.tmp\w+", "[dir]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[hex]");
    settings.add_filter(r"\b[0-9a-f]{12}\b", "[short]");
    settings.add_filter(r"127\.0\.0\.1:\d{2,}", "other.test");
    // Columns are as wide as ages and ports.
    settings.add_filter(" {3,}", "   ");
    settings.bind(|| insta::assert_snapshot!(name, session.join("\n")));
}

/// Starts a registry with faults: `broken:bytes` has wrong bytes, `broken:old` an old manifest, `secret` is denied.
async fn trouble() -> FakeRegistry {
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "arm64", &[layer(&[("a", &random_blob(3000, 1))])]);
    index(Family::Oci, &[("arm64", held.clone())]).publish(&registry, "team/app", "multi");
    held.publish(&registry, "team/app", Some("1.0"));
    held.publish(&registry, "broken", Some("bytes"));
    let wrong = random_blob(held.layers[0].bytes.len(), 2);
    registry.blob_as("broken", held.layers[0].digest(), wrong);
    let old = r#"{"schemaVersion":1,"name":"broken","tag":"old","fsLayers":[],"history":[]}"#;
    registry.document(
        "broken",
        Some("old"),
        "application/vnd.docker.distribution.manifest.v1+json",
        old,
    );
    registry.document("broken", Some("page"), "text/html", "<html>log in</html>");
    registry.override_response("/secret/", 0..99, |_| {
        Reply::error(403, "DENIED", "requested access is denied")
    });
    registry.override_response("/busy/", 0..99, |_| {
        Reply::error(429, "TOOMANYREQUESTS", "pull rate limit")
    });
    registry
}

/// Commands that fail.
const ERRORS: [&str; 57] = [
    "HOST/team/app:9",
    "HOST/team/ap:1.0",
    "--platform linux/s390x HOST/team/app:multi",
    "HOST/broken:bytes",
    "HOST/broken:old",
    "HOST/broken:page",
    "HOST/secret/app:1.0",
    "--retries 0 HOST/busy/app:1.0",
    "CLOSED/a:1",
    "--creds user:wrong CLOSED/a:1",
    "--retries 0 127.0.0.1:1/a:1",
    "--ca-file absent.pem HOST/team/app:1.0",
    "-o archive.tar HOST/team/app:1.0",
    "-o docker-archive: HOST/team/app:1.0",
    "copy --all-platforms HOST/team/app:multi docker-archive:a.tar",
    "inspect oci-archive:nowhere.tar",
    "load nowhere.tar",
    "pull store:team/app:1.0",
    "--limit-rate fast HOST/team/app:1.0",
    "HOST/Team/app",
    "https://HOST/team/app",
    "blob HOST/team/app:1.0",
    "manifest oci:nowhere",
    "manifest store:team/app",
    "config --offline HOST/team/app:1.0",
    "tags HOST/team/ap",
    "tag team/app:1.0 other",
    "rm team/app:1.0",
    "verify team/app:1.0",
    "unpack store:team/app:1.0 root",
    "unpack --platform linux/arm64 HOST/team/app:1.0 absent/root",
    "unpack --overlay store:team/app:1.0 layers",
    "unpack --overlay HOST/team/app:1.0 absent/layers",
    "unpack --mount here HOST/team/app:1.0 layers",
    "export store:team/app:1.0 -o root.tar",
    "export --json HOST/team/app:1.0",
    "rm --overlay absent team/app:1.0",
    "push HOST/team/app:1.0",
    "push team/app:1.0 oci:out",
    "push a b c",
    "copy HOST/team/app:1.0 HOST/team/app:2@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "copy oci:nowhere HOST/team/app:2",
    "catalog HOST",
    "limits HOST",
    "delete HOST/team/app:1.0",
    "delete --yes HOST/team/app",
    "tag docker://HOST/team/app:1.0 docker://HOST/other:1",
    "tag docker://HOST/team/app:1.0 mine",
    "login CLOSED",
    "login -u user -p wrong CLOSED",
    "login alpine",
    "logout CLOSED",
    "save HOST/team/app:1.0",
    "save HOST/team/app:1.0 -o a.tar",
    "serve HOST/team/app:1.0",
    "pul HOST/team/app:1.0",
    "--nonsense",
];

#[tokio::test]
async fn error_messages_match_snapshot() {
    let (registry, closed) = (
        trouble().await,
        FakeRegistry::start_with(Options {
            auth: Auth::Basic { user: "user".into(), password: "pass".into() },
            ..Options::default()
        })
        .await,
    );
    let cli = Cli::new();
    let mut session = Vec::new();
    for words in ERRORS {
        let line = words.replace("HOST", &registry.server.host());
        session.push(typed(&cli, words, &line.replace("CLOSED", &closed.server.host())).await);
    }
    assert_session("errors", &session, &registry);
}
