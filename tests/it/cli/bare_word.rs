//! A first word without a verb: a verb of another tool, a typing error, or an image in the store.

use crate::support::cli::Cli;
use crate::support::http::{Reply, Server};
use crate::support::samples::published;

/// A proxy without content, and an environment that uses it for all remote registries.
async fn proxied() -> (Server, Cli) {
    let proxy = Server::start(|_| Reply::error(404, "NAME_UNKNOWN", "said the proxy")).await;
    let url = format!("http://{}", proxy.host());
    let cli = Cli::new().env("HTTP_PROXY", &url).env("HTTPS_PROXY", &url);
    (proxy, cli)
}

#[tokio::test]
async fn bare_word_sends_no_request() {
    let (proxy, cli) = proxied().await;
    for (words, verb) in [
        (&["version"][..], "`rpull --version`"),
        (&["sync", "--src", "docker", "a", "b"], "`mirror`"),
        (&["ps", "-a"], "`images`"),
        (&["list-tags", "docker://alpine"], "`tags`"),
        (&["run", "-it", "alpine", "sh"], "`rpull unpack`"),
        (&["attach", "alpine", "f"], "`artifact attach`"),
        (&["exec", "-it", "alpine"], "rpull runs no containers"),
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
        output.expect(2, verb).expect(2, "to pull an image of that name: ");
        assert_eq!(output.stdout, "");
    }
    cli.run(&["--help", "alpine"]).await.expect(0, "");
    assert_eq!(proxy.lines(), [""; 0]);
    assert!(!cli.store().exists());
    cli.run(&["pull", "--retries", "0", "alpine"]).await.expect(6, "");
    assert_ne!(proxy.requests().len(), 0, "the verb sends the word to a registry");
}

#[tokio::test]
async fn bare_word_in_store_is_pulled() {
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

#[tokio::test]
async fn verb_is_never_pulled_as_image() {
    let cli = Cli::new();
    let help = cli.run(&["help", "pull"]).await;
    assert_eq!(help.expect(0, "").stdout, cli.run(&["pull", "--help"]).await.stdout);
    assert_eq!(cli.run(&["help"]).await.stdout, cli.run(&["--help"]).await.stdout);
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
        .expect(3, "`--offline` disables registry access");
}
