//! What is typed, and what comes of it before anything is asked of anybody; what a terminal gets to see.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use serde_json::json;

use crate::support::cli::{Cli, Output};
use crate::support::http::Reply;
use crate::support::images::{Family, image, layer};
use crate::support::live::needs;
use crate::support::registry::{Auth, Options, Registry};
use crate::support::samples::published;

/// Verbs of the contract that have no code yet.
const LATER: &str = "mirror files cat diff analyze stats";

/// Nothing in it may steer a terminal.
fn assert_harmless(output: &Output) {
    let dangerous =
        |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(dangerous), "{text:?}");
    }
}

#[tokio::test]
async fn a_verb_is_never_taken_for_an_image() {
    let cli = Cli::new();
    let help = cli.run(&["help", "pull"]).await;
    assert_eq!(help.expect(0, "").stdout, cli.run(&["pull", "--help"]).await.stdout);
    assert_eq!(cli.run(&["help"]).await.stdout, cli.run(&["--help"]).await.stdout);
    for verb in LATER.split_whitespace() {
        let output = cli.run(&[verb, "a", "b"]).await;
        let words =
            format!("`{verb}` is not there yet; to pull an image of that name: rpull pull {verb}");
        output.expect(2, &words);
    }
    for name in ["history", "copy", "help"] {
        let output = cli.run(&["pull", "--offline", name]).await;
        output.expect(3, &format!("docker.io/library/{name}:latest: not in the store"));
    }
    cli.run(&["--offline", "pullo"]).await.expect(2, "did you mean `pull`?");
    for slip in ["unpak", "helps", "lss"] {
        cli.run(&["--offline", slip]).await.expect(2, "did you mean `");
    }
    cli.run(&["--offline", "pull/o"]).await.expect(3, "docker.io/pull/o:latest");
    cli.run(&["--json"]).await.expect(2, "Usage: rpull");
    cli.run(&["pull", "--all-tags", "--offline", "a"])
        .await
        .expect(3, "--offline asks no registry");
}

#[tokio::test]
async fn words_in_names_and_answers_give_no_hints() {
    let (registry, cli) = (Registry::start().await, Cli::new());
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "mystore", Some("1"));
    // The name has words of messages in it.
    let output = cli.run(&["digest", &registry.repository("mystore:401")]).await;
    output.expect(3, "hint: `rpull tags REPO` lists the tags");
    // What a redirect leads to knows nothing of logins.
    let elsewhere = Registry::start_with(Options { blobs_elsewhere: true, ..Options::default() });
    let registry = elsewhere.await;
    held.publish(&registry, "a", Some("1"));
    registry.twist("/signed/", 0..9, |_| Reply::new(401, "no signature"));
    let refused = cli.run(&[&format!("{}:1", registry.repository("a"))]).await;
    assert!(!refused.expect(4, "401 unauthorized: no signature").stderr.contains("hint"));

    let registry = guarded("one").await;
    for (text, why) in [("{", "malformed"), (r#"{"credsStore":"gone"}"#, "docker-credential-gone")]
    {
        std::fs::write(cli.dir().join("auth.json"), text).unwrap();
        let output = cli.run(&["--authfile", "auth.json", &registry.repository("a")]).await;
        assert!(!output.expect(4, why).stderr.contains("hint"), "{}", output.stderr);
    }
    cli.run(&["manifest", "oci:nowhere:store"]).await.expect(3, "does not exist");
}

/// A registry that wants this user, whose password is `pass`.
async fn guarded(user: &str) -> Registry {
    let auth = Auth::Basic { user: user.to_owned(), password: "pass".to_owned() };
    Registry::start_with(Options { auth, ..Options::default() }).await
}

#[tokio::test]
async fn one_password_is_not_shown_to_several_registries() {
    let (one, two, cli) = (guarded("one").await, guarded("two").await, Cli::new());
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&one, "a", Some("1"));
    let (here, there) = (format!("{}:1", one.repository("a")), two.repository("b:1"));
    let creds = ["--creds", "one:pass"];
    let commands: [&[&str]; 4] = [
        &["pull", &here, &there],
        &["copy", &here, &there],
        &["copy", "--src-plain-http", &here, &there],
        &["push", &format!("docker://{here}"), &there],
    ];
    for words in commands {
        let output = cli.run(&[words, &creds].concat()).await;
        output.expect(2, "error: --creds: is for one registry").expect(2, "--src-creds");
    }
    assert!(one.server.requests().is_empty() && two.server.requests().is_empty());
    let sides: [&[&str]; 2] = [
        &["--src-creds", "one:pass", "--dest-creds", "two:pass"],
        &["--creds", "one:pass", "--dest-creds", "two:pass"],
    ];
    for side in sides {
        cli.run(&[&["copy", &here, &there], side].concat()).await.expect(0, "");
    }
    cli.run(&[&["pull", &here, &here], &creds[..]].concat()).await.expect(0, "");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_slip_of_usage() {
    let (registry, cli) = (Registry::start().await, Cli::new());
    for option in ["--ca-file", "--cert-file", "--authfile"] {
        let output = cli.run(&[option, "/nonexist", &registry.repository("a")]).await;
        output.expect(2, &format!("error: {option}: /nonexist: No such file"));
    }
    assert!(registry.server.requests().is_empty());
}

#[tokio::test]
async fn a_log_level_that_is_none_is_told() {
    let warned = Cli::new().env("RPULL_LOG", "garbage").run(&["images"]).await;
    warned.expect(0, "warning: RPULL_LOG=garbage is none of off, error");
    for level in ["", "warn", "INFO"] {
        assert_eq!(Cli::new().env("RPULL_LOG", level).run(&["images"]).await.stderr, "");
    }
}

#[tokio::test]
async fn verbs_that_ask_no_registry_do_not_offer_how_to() {
    let cli = Cli::new();
    for verb in ["images", "rm", "df", "prune", "verify", "completions", "man"] {
        let help = cli.run(&[verb, "--help"]).await;
        assert!(!help.expect(0, "").stdout.contains("--ca-file"), "{verb}");
    }
    // An alias that holds such an option goes on working.
    cli.run(&["--plain-http", "--retries", "1", "images"]).await.expect(0, "");
    cli.run(&["images", "--insecure"]).await.expect(0, "");
    assert!(cli.run(&["tags", "--help"]).await.stdout.contains("--ca-file"));
}

/// Repositories, tags and digests that there cannot be, behind the host of a registry.
const HOSTILE: &[&str] = &[
    "A",
    "a:",
    "a@",
    "/a",
    "a//b",
    "a/../b",
    "./a",
    "a:.x",
    "a:-x",
    "a:1:2",
    "a b",
    "a\tb",
    "a\n",
    "a\u{1b}[2J",
    "a\u{9b}2J",
    "a\u{202e}b",
    "ａ",
    "a%2f..%2fb",
    "a?n=1",
    "a#x",
    "a\\b",
    "a;b",
    "$(a)",
    "a@sha256:",
    "a@sha256:abc",
    "a@md5:d41d8cd98f00b204e9800998ecf8427e",
    "a@SHA256:0",
    "a@sha256:../../../../etc/passwd",
];

/// Words that are nothing at all.
const NOTHING: &[&str] = &["", " ", ".", "..", "/", "../x", ":1", "@", "oci:", "store:"];

/// Platforms that there cannot be.
const PLATFORMS: &[&str] = &[
    "",
    "/",
    "linux/",
    "/amd64",
    "linux/a/b/c/d",
    "lin ux/amd64",
    "../x",
    "linux/*",
    "a\u{1b}[0m/b",
];

#[tokio::test]
async fn hostile_words_reach_nobody() {
    let registry = Registry::start().await;
    let (cli, host) = (Cli::new(), registry.server.host());
    let (long, deep, hex) = ("x".repeat(129), "a/".repeat(200), "a".repeat(64));
    let wide = hex.replace('a', "ａ");
    let mut words: Vec<String> = HOSTILE.iter().map(|name| format!("{host}/{name}")).collect();
    words.extend([format!("{host}/a:{long}"), format!("{host}/{deep}b")]);
    words.extend([format!("{host}/a@sha256:{wide}"), format!("{host}/a@sha512:{hex}")]);
    words.extend([format!("{host}/a@sha256:{hex}@sha256:{hex}"), format!("http://{host}/a")]);
    words.extend([format!("user:pass@{host}/a"), format!("{host}99999/a")]);
    words.extend(NOTHING.iter().map(ToString::to_string));
    for word in &words {
        for verb in ["pull", "manifest", "history", "blob"] {
            let output = cli.run(&[verb, "--retries", "0", "--", word]).await;
            assert_eq!(output.code(), Some(2), "{verb} {word:?}: {output:?}");
            assert!(output.stderr.starts_with("error: "), "{word:?}: {}", output.stderr);
            assert_harmless(&output);
        }
    }
    let name = format!("{host}/a:1");
    for platform in PLATFORMS {
        for verb in ["pull", "manifest", "layers"] {
            let output = cli.run(&[verb, "--platform", platform, &name]).await;
            output.expect(2, "platform");
            assert_harmless(&output);
        }
    }
    for word in [format!("user:canary@{host}/a"), format!("docker://canary@{host}/a:1")] {
        for verb in ["pull", "tags", "blob"] {
            let output = cli.run(&[verb, &word]).await;
            output.expect(2, "cannot be part of a name").expect(2, "hint: give them with --creds");
            assert!(!output.stderr.contains("canary"), "{}", output.stderr);
        }
    }
    let raw = [b"pull".to_vec(), b"f\xff\xfe".to_vec()].map(OsString::from_vec);
    cli.run(&raw).await.expect(2, "UTF-8");
    assert!(registry.server.requests().is_empty(), "{:?}", registry.server.lines());
    assert!(!cli.store().exists());
}

#[tokio::test]
async fn what_cannot_be_printed_is_told_except_to_a_pipe_that_closed() {
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
    // Progress that nobody reads is no reason to stop.
    let line = "{ \"$@\" 2>&1 > /dev/null; echo $? > code; } | true";
    cli.spawn_in_shell(line, &[&format!("{name}:2")]).wait().await.expect(0, "");
    assert_eq!(std::fs::read_to_string(cli.dir().join("code")).unwrap(), "0\n");
    cli.run(&["--offline", "-q", &format!("{name}:2")]).await.expect(0, "");
}

#[tokio::test]
async fn foreign_text_steers_no_terminal() {
    let registry = Registry::start().await;
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
    registry.twist("/manifests/2", 0..9, refuse);
    let output = cli.run(&["-vv", &registry.repository("a:2")]).await;
    assert_harmless(output.expect(4, "\\u{1b}[2J"));
}

#[tokio::test]
async fn colour_is_for_terminals_or_for_who_asks() {
    let red = "\u{1b}[1;31merror:\u{1b}[0m";
    let cli = Cli::new().env("TERM", "xterm");
    assert!(cli.run(&["rm", "a"]).await.stderr.starts_with("error: "));
    assert!(cli.run(&["--color", "always", "rm", "a"]).await.stderr.starts_with(red));
    if !needs("colour_is_for_terminals_or_for_who_asks", &["script"]) {
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
async fn completions_and_the_manual_page_know_every_verb() {
    let cli = Cli::new();
    let verbs = ["pull", "history", "layers", "images", "prune", "verify"];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = cli.run(&["completions", shell]).await.expect(0, "").stdout.clone();
        assert!(verbs.iter().all(|verb| script.contains(verb)), "{shell}");
        if shell == "bash" {
            std::fs::write(cli.dir().join("rpull.bash"), &script).unwrap();
            let line = ". ./rpull.bash; COMP_WORDS=(rpull his); COMP_CWORD=1; _rpull rpull his rpull; \
                        echo \"${COMPREPLY[@]}\"";
            let bash = tokio::process::Command::new("bash")
                .args(["-c", line])
                .current_dir(cli.dir())
                .output();
            assert_eq!(String::from_utf8_lossy(&bash.await.unwrap().stdout), "history\n");
        }
    }
    cli.run(&["completions", "tcsh"]).await.expect(2, "possible values: bash, elvish, fish");
    let page = cli.run(&["man"]).await.expect(0, "").stdout.clone();
    assert!(page.contains(".TH rpull 1") && !page.contains('\u{1b}'));
    assert!(verbs.iter().all(|verb| page.contains(&format!("rpull\\-{verb}"))), "{page}");
}
