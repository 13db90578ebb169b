//! Arguments that are rejected before any request is sent, and the hints that go with them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::assert_harmless;
use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::http::Reply;
use crate::support::images::{Family, image, layer};
use crate::support::samples::published;

#[tokio::test]
async fn invalid_arguments_are_usage_errors_before_any_request() {
    let (registry, _, _) = published().await;
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("team/app")));
    for (args, why) in [
        (
            vec!["histroy"],
            "did you mean `history`? to pull an image of that name: rpull pull histroy",
        ),
        (vec!["upper/Case"], "must be lowercase"),
        (vec!["pull", "https://ghcr.io/a"], "a reference has no `https://`"),
        (vec!["--platform", "lin ux/amd64", &name], "platform"),
        (vec!["--limit-rate", "fast", &name], "expected a rate such as 500k"),
        (vec!["pull", "store:a"], "not an image in a registry"),
        (vec!["--creds", "nocolon", &name], "--creds"),
        (vec!["--jobs", "0", &name], "--jobs"),
        (vec!["--all-tags", &name], "expected a repository without the tag"),
        (vec!["--authfile", "absent.json", &name], "absent.json"),
        (vec![], "Usage: rpull"),
    ] {
        cli.run(&args).await.expect(2, why);
    }
    assert!(registry.server.requests().is_empty());
    assert!(!cli.store().exists());
    assert_eq!(cli.run(&["--help"]).await.code(), Some(0));
}

#[tokio::test]
async fn hint_does_not_follow_server_text() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "mystore", Some("1"));
    // The repository name contains words of messages.
    let output = cli.run(&["digest", &registry.repository("mystore:401")]).await;
    let whole = registry.repository("mystore");
    output.expect(3, &format!("hint: run `rpull tags {whole}` to list its tags"));
    // A login does not help at the target of a redirect.
    let elsewhere =
        FakeRegistry::start_with(Options { blobs_elsewhere: true, ..Options::default() });
    let registry = elsewhere.await;
    held.publish(&registry, "a", Some("1"));
    registry.override_response("/signed/", 0..9, |_| Reply::new(401, "no signature"));
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

/// A registry that requires this user with the password `pass`.
async fn guarded(user: &str) -> FakeRegistry {
    let auth = Auth::Basic { user: user.to_owned(), password: "pass".to_owned() };
    FakeRegistry::start_with(Options { auth, ..Options::default() }).await
}

#[tokio::test]
async fn creds_for_two_registries_is_usage_error() {
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
        output.expect(2, "error: `--creds`: applies to one registry").expect(2, "--src-creds");
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
async fn option_file_missing_is_usage_error() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    for option in ["--ca-file", "--cert-file", "--authfile"] {
        let output = cli.run(&[option, "/nonexist", &registry.repository("a")]).await;
        output.expect(2, &format!("error: {option}: /nonexist: No such file"));
    }
    assert!(registry.server.requests().is_empty());
}

#[tokio::test]
async fn help_of_local_verbs_hides_registry_options() {
    let cli = Cli::new();
    for verb in ["images", "rm", "df", "prune", "completions", "man"] {
        let help = cli.run(&[verb, "--help"]).await;
        assert!(!help.expect(0, "").stdout.contains("--ca-file"), "{verb}");
    }
    // A shell alias with such an option keeps working.
    cli.run(&["--plain-http", "--retries", "1", "images"]).await.expect(0, "");
    cli.run(&["images", "--insecure"]).await.expect(0, "");
    assert!(cli.run(&["tags", "--help"]).await.stdout.contains("--ca-file"));
}

/// Invalid repositories, tags and digests, as they follow the host of a registry.
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

/// Arguments that are no reference at all.
const NOTHING: &[&str] = &["", " ", ".", "..", "/", "../x", ":1", "@", "oci:", "store:"];

/// Invalid platforms.
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
async fn hostile_arguments_send_no_request() {
    let registry = FakeRegistry::start().await;
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
            output
                .expect(2, "cannot be part of a name")
                .expect(2, "hint: pass `--creds USER:PASS`");
            assert!(!output.stderr.contains("canary"), "{}", output.stderr);
        }
    }
    let raw = [b"pull".to_vec(), b"f\xff\xfe".to_vec()].map(OsString::from_vec);
    cli.run(&raw).await.expect(2, r"error: argument `f\xff\xfe`: not valid UTF-8");
    assert!(registry.server.requests().is_empty(), "{:?}", registry.server.lines());
    assert!(!cli.store().exists());
}

#[tokio::test]
async fn completions_and_man_page_list_every_verb() {
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
    cli.run(&["completions", "tcsh"]).await.expect(2, "possible values: bash, elvish, fish");
    let page = cli.run(&["man"]).await.expect(0, "").stdout.clone();
    assert!(page.contains(".TH rpull 1") && !page.contains('\u{1b}'));
    assert!(verbs.iter().all(|verb| page.contains(&format!("rpull\\-{verb}"))), "{page}");
}

#[tokio::test]
async fn completions_offer_values_and_images_of_options() {
    let cli = Cli::new();
    let bash = cli.run(&["completions", "bash"]).await.stdout;
    for offer in [
        "compgen -W \"text json sarif\"",
        "compgen -W \"json skopeo\"",
        "compgen -W \"rpull skopeo regsync\"",
        "compgen -W \"24h 7d 30d 1y\"",
        "_rpull_images delta",
        "_rpull_images rebase",
        "_rpull_images save",
    ] {
        assert!(bash.contains(offer), "{offer}");
    }
    for verb in ["files", "mirror"] {
        let help = cli.run(&[verb, "--help"]).await.stdout;
        assert!(help.contains("Print one JSON object per line"), "{help}");
    }
}
