//! What people read: the help of each verb, receipts and tables, held against `snapshots/`.
//!
//! `INSTA_UPDATE=always cargo test --test it snapshots` takes the present text over.

use crate::support::cli::Cli;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::registry::Registry;

const VERBS: [&str; 16] = [
    "pull",
    "digest",
    "manifest",
    "config",
    "inspect",
    "blob",
    "tags",
    "history",
    "layers",
    "images",
    "tag",
    "rm",
    "prune",
    "verify",
    "completions",
    "man",
];

#[tokio::test]
async fn help() {
    let cli = Cli::new();
    insta::assert_snapshot!("help", cli.run(&["--help"]).await.stdout);
    for verb in VERBS {
        let text = cli.run(&[verb, "--help"]).await.stdout;
        // The options that all verbs have are in the general help.
        let (own, common) = text.split_once("Common options:").unwrap();
        let examples = common.split_once("Examples:").map_or("", |(_, examples)| examples);
        assert!(examples.matches("  rpull ").count() >= 2, "{verb} has two examples: {examples}");
        insta::assert_snapshot!(format!("help-{verb}"), format!("{own}Examples:{examples}"));
    }
}

#[tokio::test]
async fn a_session() {
    let registry = Registry::start().await;
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
        "inspect NAME:1.1",
        "tags NAME",
        "tag NAME:1.0 mine",
        "rm NAME:1.0 mine",
        "prune --plan",
        "prune",
        "verify",
        "NAME:2",
        "histroy NAME",
    ] {
        let args: Vec<String> = words.split(' ').map(|word| word.replace("NAME", &name)).collect();
        // One blob after the other, so that the order is always the same.
        let pull = args[0].starts_with(&name) || args[0] == "--plan";
        let jobs: &[&str] = if pull { &["--jobs", "1"] } else { &[] };
        let typed: Vec<&str> =
            jobs.iter().copied().chain(args.iter().map(String::as_str)).collect();
        let output = cli.run(&typed).await;
        let end = match output.code() {
            Some(0) => String::new(),
            code => format!("[exit {code:?}]\n"),
        };
        session.push(format!("$ rpull {words}\n{}{}{end}", output.stderr, output.stdout));
    }
    let host = registry.server.host();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&host.replace('.', r"\."), "registry.test");
    settings.add_filter(r"\d+\.\d s\b", "[time]");
    settings.add_filter(r"\d+ (second|minute|hour|day|week|month|year)s? ago", "[age]");
    settings.add_filter(r"/tmp/\.tmp\w+", "[dir]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[hex]");
    settings.add_filter(r"\b[0-9a-f]{12}\b", "[short]");
    // Columns are as wide as ages and ports.
    settings.add_filter(" {3,}", "   ");
    settings.bind(|| insta::assert_snapshot!("session", session.join("\n")));
}
