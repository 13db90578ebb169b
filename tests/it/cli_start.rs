//! What a run makes of its first word, of its environment, and of what it inherits from the process that starts it.

use rustix::process::Signal;
use serde_json::json;

use crate::support::cli::{Cli, Output};
use crate::support::http::{Fault, Reply, Server};
use crate::support::live::needs;
use crate::support::registry::Registry;
use crate::support::samples::published;
use crate::support::serving::Serving;

/// An environment whose far registries are asked through this server, and the server, which has nothing.
async fn proxied() -> (Server, Cli) {
    let proxy = Server::start(|_| Reply::error(404, "NAME_UNKNOWN", "said the proxy")).await;
    let url = format!("http://{}", proxy.host());
    let cli = Cli::new().env("HTTP_PROXY", &url).env("HTTPS_PROXY", &url);
    (proxy, cli)
}

#[tokio::test]
async fn bare_word_that_is_no_verb_asks_no_registry() {
    let (proxy, cli) = proxied().await;
    for (words, verb) in [
        (&["version"][..], "`rpull --version`"),
        (&["sync", "--src", "docker", "a", "b"], "`copy`"),
        (&["ps", "-a"], "`images`"),
        (&["list-tags", "docker://alpine"], "`tags`"),
        (&["run", "-it", "alpine", "sh"], "`unpack`"),
        (&["rmi", "alpine:3"], "`rm`"),
        (&["-q", "list"], "`images`"),
        (&["--plan", "check"], "`verify`"),
        (&["alpine"], "rpull pull alpine"),
        (&["alpine", "--platform", "linux/arm64"], "rpull pull alpine"),
        (&["alpine", "debian:12", "--all-tags"], "rpull pull alpine"),
        (&["--unpack", "root", "alpine"], "rpull pull alpine"),
        (&["--", "alpine"], "rpull pull alpine"),
        (&["--offline", "alpine"], "rpull pull alpine"),
        (&["alpine", "--help"], "rpull pull alpine"),
    ] {
        let output = cli.run(words).await;
        output.expect(2, verb).expect(2, "to pull an image of that name: rpull pull ");
        assert_eq!(output.stdout, "");
    }
    cli.run(&["--help", "alpine"]).await.expect(0, "");
    assert_eq!(proxy.lines(), [""; 0]);
    assert!(!cli.store().exists());
    cli.run(&["pull", "--retries", "0", "alpine"]).await.expect(6, "");
    assert_ne!(proxy.requests().len(), 0, "the verb sends the word to a registry");
}

#[tokio::test]
async fn bare_name_in_store_is_pulled() {
    let (proxy, cli) = proxied().await;
    let (_registry, _, name) = published().await;
    cli.run(&["pull", &format!("{name}:1")]).await.expect(0, "");
    cli.run(&["tag", &format!("{name}:1"), "version"]).await.expect(0, "");
    cli.run(&["--retries", "0", "version"]).await.expect(6, "docker.io");
    assert_ne!(proxy.requests().len(), 0);
    proxy.forget();
    let elsewhere = cli.dir().join("other");
    let words = ["version", "--store", elsewhere.to_str().unwrap()];
    cli.run(&words).await.expect(2, "did you mean");
    std::fs::write(cli.store().join("index.json"), "damaged").unwrap();
    cli.run(&["version"]).await.expect(2, "did you mean");
    assert_eq!(proxy.lines(), [""; 0]);
}

/// Runs a command in a shell whose environment has nothing but these assignments.
async fn bare(cli: &Cli, assignments: &str, words: &[&str]) -> Output {
    let line = format!("exec env -i {assignments} \"$@\"");
    cli.spawn_in_shell(&line, words).wait().await
}

#[tokio::test]
async fn home_unset_stops_only_commands_that_need_the_store() {
    let (cli, (registry, [held, _], repository)) = (Cli::new(), published().await);
    let (name, copied) = (format!("{repository}:1"), registry.repository("copied:1"));
    for home in ["", "HOME=", "HOME=relative", "HOME=. XDG_DATA_HOME=relative"] {
        for words in [
            &["digest", &name][..],
            &["manifest", &name],
            &["config", &name],
            &["inspect", &name],
            &["history", &name],
            &["layers", &name],
            &["tags", &repository],
            &["blob", &format!("{name}@{}", held.layers[0].digest()), "-o", "/dev/null"],
            &["copy", &name, &copied],
            &["pull", "-o", "oci:layout", &name],
            &["push", "oci:layout", &copied],
            &["unpack", "--no-store", &name, "root"],
            &["unpack", "oci:layout", "from-layout"],
            &["--version"],
            &["completions", "bash"],
        ] {
            bare(&cli, home, words).await.expect(0, "");
        }
        for words in [
            &["pull", &name][..],
            &["images"],
            &["df"],
            &["prune"],
            &["inventory"],
            &["verify"],
            &["rm", &name],
            &["tag", &name, "new"],
            &["save", &name, "-o", "a.tar"],
            &["history", "store:a"],
            &["serve", "--addr", "127.0.0.1:0"],
            &["unpack", &name, "with-store"],
        ] {
            let output = bare(&cli, home, words).await;
            output.expect(7, "error: store: neither --store, RPULL_STORE, ");
            output.expect(7, "hint: give the directory with --store DIR");
        }
        assert!(!cli.dir().join("relative").exists() && !cli.dir().join(".local").exists());
        for made in ["layout", "root", "from-layout"] {
            std::fs::remove_dir_all(cli.dir().join(made)).unwrap();
        }
    }
    bare(&cli, "XDG_DATA_HOME=$PWD/data", &["images"]).await.expect(0, "");
    bare(&cli, "", &["--store", "s", "images"]).await.expect(0, "");
}

#[tokio::test]
async fn home_relative_gives_no_credentials() {
    let (registry, cli) = (Registry::start().await, Cli::new());
    let planted =
        json!({ "auths": { registry.server.host(): { "auth": "Y2FuYXJ5OmNhbmFyeQ==" } } });
    std::fs::create_dir_all(cli.dir().join("here/.docker")).unwrap();
    std::fs::write(cli.dir().join("here/.docker/config.json"), planted.to_string()).unwrap();
    let name = registry.repository("a:1");
    registry.twist("/manifests/1", 0..9, |_| {
        Reply::new(401, "").header("www-authenticate", "Basic realm=\"r\"")
    });
    bare(&cli, "HOME=here", &["digest", &name]).await.expect(4, "");
    let sent = registry.server.requests();
    assert!(sent.iter().all(|request| request.header("authorization").is_none()));
    registry.server.forget();
    bare(&cli, "HOME=$PWD/here", &["digest", &name]).await.expect(4, "");
    let sent = registry.server.requests();
    assert!(sent.iter().any(|request| request.header("authorization").is_some()));
}

#[tokio::test]
async fn progress_on_terminal_without_cursor_is_plain_lines() {
    if !needs("progress_on_terminal_without_cursor_is_plain_lines", &["script"]) {
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
async fn signal_ignored_at_start_stays_ignored() {
    for (name, signal, other) in
        [("INT", Signal::INT, Signal::TERM), ("TERM", Signal::TERM, Signal::INT)]
    {
        let (registry, held, image) = published().await;
        let slow = Fault::Slow(500, std::time::Duration::from_millis(20));
        let layer = held[0].layers[0].digest().as_str().to_owned();
        registry.twist(&layer, 0..9, move |reply| reply.fault(slow.clone()));
        let cli = Cli::new();
        let line = format!("trap '' {name}; exec \"$@\"");
        let running = cli.spawn_in_shell(&line, &["pull", &format!("{image}:1")]);
        running.wait_for_partials(1, 1).await;
        running.signal(signal);
        running.signal(signal);
        running.wait().await.expect(0, "");

        let running = cli.spawn_in_shell(&line, &["serve", "--addr", "127.0.0.1:0"]);
        let serving = Serving::of(running, &cli).await;
        serving.signal(signal);
        serving.end(other).await.expect(0, "");
    }
}
