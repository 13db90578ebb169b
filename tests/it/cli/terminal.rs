//! What a terminal shows: colors, progress, escaped text of others; stdout that is closed or full.

use serde_json::json;

use super::assert_harmless;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::live::needs;
use crate::support::samples::{published, published_app};

#[tokio::test(flavor = "multi_thread")]
async fn stdout_closed_pipe_succeeds_and_full_disk_fails() {
    let (registry, _, _) = published().await;
    let name = format!("{}:1", registry.repository("team/app"));
    let run = |redirection: &str| {
        let rpull = env!("CARGO_BIN_EXE_rpull");
        let command = format!("{rpull} --no-mirrors manifest {name} {redirection}");
        std::process::Command::new("sh").args(["-c", &command]).output().unwrap()
    };
    let closed = tokio::task::block_in_place(|| run("| true"));
    assert_eq!(String::from_utf8_lossy(&closed.stderr), "");
    let full = tokio::task::block_in_place(|| run("> /dev/full"));
    assert_eq!(full.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left"));
}

#[tokio::test]
async fn progress_on_dumb_terminal_is_plain_lines() {
    if !needs("progress_on_dumb_terminal_is_plain_lines", &["script"]) {
        return;
    }
    let (_registry, [first, _], name) = published().await;
    for (term, how) in
        [("TERM=dumb", ""), ("TERM=", ""), ("-u TERM", ""), ("TERM=dumb", "--progress tty")]
    {
        let cli = Cli::new();
        let line = format!("exec script -qec \"env {term} $1 {how} {name}:1\" /dev/null");
        let shown = cli.spawn_in_shell(&line, &[""]).wait().await.stdout;
        for blob in first.blobs() {
            assert!(
                shown.contains(&format!("{}: done, ", blob.digest().short())),
                "{term}: {shown}"
            );
        }
        assert!(!shown.contains("\u{1b}["), "{shown:?}");
    }
    let cli = Cli::new().env("TERM", "xterm");
    let piped = cli.run(&["--progress", "tty", &format!("{name}:1")]).await;
    piped.expect(0, ": done, ");
}

#[tokio::test]
async fn stdout_full_fails_and_closed_pipe_succeeds() {
    let (_registry, _, name) = published().await;
    let (cli, image) = (Cli::new(), format!("{name}:1"));
    for words in [
        vec!["--help"],
        vec!["help", "pull"],
        vec!["--version"],
        vec!["man"],
        vec!["completions", "bash"],
        vec!["-q", &image],
        vec!["history", "--json", &image],
        vec!["tags", &name],
        vec!["images"],
    ] {
        let full = cli.spawn_in_shell("exec \"$@\" > /dev/full", &words).wait().await;
        full.expect(7, "error: stdout: No space left on device");
        assert!(!full.stderr.contains("hint"), "pruning would not help: {}", full.stderr);
        let line = "{ \"$@\"; echo $? > code; } | true";
        let closed = cli.spawn_in_shell(line, &words).wait().await;
        assert!(!closed.expect(0, "").stderr.contains("error"), "{words:?}");
        assert_eq!(std::fs::read_to_string(cli.dir().join("code")).unwrap(), "0\n", "{words:?}");
    }
    // A run continues without a reader of its progress.
    let line = "{ \"$@\" 2>&1 > /dev/null; echo $? > code; } | true";
    cli.spawn_in_shell(line, &[&format!("{name}:2")]).wait().await.expect(0, "");
    assert_eq!(std::fs::read_to_string(cli.dir().join("code")).unwrap(), "0\n");
    cli.run(&["--offline", "-q", &format!("{name}:2")]).await.expect(0, "");
}

#[tokio::test]
async fn foreign_text_is_escaped_on_terminal() {
    let registry = FakeRegistry::start().await;
    let evil = "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\n\u{7f}";
    let config = json!({
        "architecture": "amd64", "os": "linux", "author": evil, "created": evil,
        "config": {"Env": [format!("A={evil}")], "Labels": {evil: evil}},
        "history": [{"created": "2026-01-02T03:04:05Z", "created_by": evil, "comment": evil, "empty_layer": true}],
        "rootfs": {"type": "layers", "diff_ids": []},
    })
    .to_string();
    let config_type = "application/vnd.oci.image.config.v1+json";
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type, "layers": [], "annotations": {evil: evil},
        "config": {"mediaType": config_type, "digest": registry.blob("a", config.clone()), "size": config.len()},
    });
    registry.document("a", Some("1"), manifest_type, manifest.to_string());
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    cli.run(&["-v", &name]).await.expect(0, "");
    for words in
        [vec!["history", &name], vec!["layers", &name], vec!["inspect", &name], vec!["images"]]
    {
        for flags in [&[][..], &["--json"]] {
            let output = cli.run(&[&words, flags].concat()).await;
            assert_harmless(output.expect(0, ""));
        }
    }
    let rows = cli.json(&["history", "--json", &name]).await;
    assert_eq!(rows[0]["created_by"], evil, "scripts get it as it was");
    let refuse = |reply: Reply| Reply {
        status: 403,
        body: json!({"errors": [{"code": "DENIED", "message": "\u{1b}[2J\u{9b}0m"}]})
            .to_string()
            .into(),
        ..reply
    };
    registry.override_response("/manifests/2", 0..9, refuse);
    let output = cli.run(&["-vv", &registry.repository("a:2")]).await;
    assert_harmless(output.expect(4, "\\u{1b}[2J"));
}

#[tokio::test]
async fn color_follows_terminal_and_flag() {
    let red = "\u{1b}[1;31merror:\u{1b}[0m";
    let cli = Cli::new().env("TERM", "xterm");
    assert!(cli.run(&["rm", "a"]).await.stderr.starts_with("error: "));
    assert!(cli.run(&["--color", "always", "rm", "a"]).await.stderr.starts_with(red));
    if !needs("color_follows_terminal_and_flag", &["script"]) {
        return;
    }
    let on_terminal = async |cli: &Cli, words: &str| {
        let line = format!("script -qec \"$1 {words}\" /dev/null");
        cli.spawn_in_shell(&line, &[""]).wait().await.stdout
    };
    assert!(on_terminal(&cli, "rm a").await.contains(red));
    assert!(!on_terminal(&cli, "--color never rm a").await.contains('\u{1b}'));
    let plain = Cli::new().env("TERM", "xterm").env("NO_COLOR", "1");
    assert!(!on_terminal(&plain, "rm a").await.contains('\u{1b}'));

    let (_registry, [first, _], name) = published().await;
    let drawn = on_terminal(&cli, &format!("{name}:1")).await;
    for piece in first.blobs() {
        let line = format!("{}: pull complete", piece.digest().short());
        assert!(drawn.contains(&line), "{line} in {drawn:?}");
    }
    assert!(
        drawn.contains("transferred ")
            && drawn.trim_end().ends_with(first.manifest.digest().as_str())
    );
    let next = on_terminal(&cli, &format!("{name}:2")).await;
    assert!(next.contains(&format!("{}: already exists", first.layers[0].digest().short())));
    let quiet = on_terminal(&cli, &format!("-q {name}:1")).await;
    assert_eq!(quiet.trim_end(), format!("{name}:1@{}", first.manifest.digest()));
}

#[tokio::test]
async fn server_text_is_escaped_on_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}31m\u{202e}";
    let (registry, _, name) = published_app().await;
    let body = json!({"errors": [{"code": "DENIED", "message": evil}]}).to_string();
    registry.override_response("/v2/", 0..1, move |_| Reply::new(403, body.clone()));
    registry.override_response("/v2/", 1..2, |reply| {
        reply.header("Warning", "299 - \"\u{9b}31m old client\"")
    });
    let cli = Cli::new();
    let refused = cli.run(&["-vv", &name]).await;
    let warned = cli.run(&["-vv", &name]).await;
    refused.expect(4, "owned");
    warned.expect(0, "old client");
    let history = json!([{"created_by": evil, "comment": evil, "created": evil}]);
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "history": history,
        "config": {"Env": [evil], "Labels": {"a": evil}}, "author": evil});
    let config_type = "application/vnd.oci.image.config.v1+json";
    let digest = registry.blob("app", config.to_string());
    let config =
        json!({"mediaType": config_type, "digest": digest, "size": config.to_string().len()});
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    registry.document("app", Some("evil"), manifest_type, manifest.to_string());
    let evil_name = name.replace(":1", ":evil");
    let mut shown = vec![refused, warned];
    for verb in [&["history"][..], &["layers"], &["inspect"], &["history", "--no-trunc"]] {
        shown.push(cli.run(&[verb, &[&evil_name]].concat()).await);
    }
    for output in shown {
        let text = format!("{}{}", output.stdout, output.stderr);
        let dangerous = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(dangerous), "{text:?}");
    }
    let rows = cli.json(&["history", "--json", &evil_name]).await;
    assert_eq!(rows[0]["created_by"], evil, "JSON has the text as it is");
}

#[tokio::test]
async fn tables_fit_terminal_unless_wide() {
    if !needs("tables_fit_terminal_unless_wide", &["script", "stty"]) {
        return;
    }
    let (registry, [first, second], _) = published().await;
    let repository = "platform/team-with-a-long-name/service-of-the-team";
    for (image, tag) in [(&first, "1.2.3-release"), (&second, "1.2.4-release")] {
        image.publish(&registry, repository, Some(tag));
    }
    let name = registry.repository(repository) + ":1.2.3-release";
    let other = registry.repository(repository) + ":1.2.4-release";
    let cli = Cli::new().env("TERM", "xterm");
    cli.run(&[&name, &other]).await.expect(0, "");
    let on_terminal = async |columns: usize, words: &str| {
        let line = format!("exec script -qec \"stty cols {columns} rows 8; $1 {words}\" /dev/null");
        cli.spawn_in_shell(&line, &[""]).wait().await.expect(0, "").stdout.replace('\r', "")
    };
    let commands = ["images", "df", &format!("history {name}"), &format!("layers {name}")];
    let more = [
        format!("files {name}"),
        format!("diff --files {name} {other}"),
        format!("inspect {name}"),
        format!("referrers {name}"),
    ];
    for words in commands.into_iter().chain(more.iter().map(String::as_str)) {
        for columns in [50, 80] {
            let shown = on_terminal(columns, words).await;
            assert!(shown.lines().count() > 1, "{shown}");
            // A long name in a message is left to the terminal, so that it is copied as it is.
            for line in shown.lines().filter(|line| *line != name) {
                assert!(line.chars().count() <= columns, "{words} at {columns}: {line}");
            }
        }
    }
    assert!(on_terminal(50, "images --wide").await.contains(&name));
    assert!(cli.run(&["images"]).await.stdout.contains(&name));
}

#[tokio::test]
async fn messages_break_between_words_on_terminal() {
    if !needs("messages_break_between_words_on_terminal", &["script", "stty"]) {
        return;
    }
    let cli = Cli::new().env("TERM", "xterm").env("NO_COLOR", "1");
    for words in
        ["check-base -b", "history store:app:1", "auth", "mirror absent.yaml", "rm --keep 1"]
    {
        let line = format!("exec script -qec \"stty cols 40 rows 8; $1 {words}\" /dev/null");
        let shown = cli.spawn_in_shell(&line, &[""]).wait().await.stdout.replace('\r', "");
        // The terminal breaks words that are longer than a line.
        let is_whole = |line: &&str| line.split(' ').all(|word| word.chars().count() <= 40);
        for line in shown.lines().filter(is_whole) {
            assert!(line.chars().count() <= 40, "{words}: {line}");
        }
    }
}
