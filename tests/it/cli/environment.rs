//! Environment variables, and what a run inherits from the process that starts it.

use rustix::process::Signal;
use serde_json::json;

use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::samples::published;
use crate::support::serve_process::ServeProcess;

/// Runs a command with only these assignments in its environment.
async fn bare(cli: &Cli, assignments: &str, words: &[&str]) -> Output {
    let line = format!("exec env -i {assignments} \"$@\"");
    cli.spawn_in_shell(&line, words).wait().await
}

#[tokio::test]
async fn home_unset_fails_only_store_commands() {
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
            output.expect(7, "error: store: none of `--store`, RPULL_STORE, ");
            output.expect(7, "hint: pass the directory with `--store DIR`");
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
async fn home_relative_yields_no_credential() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let planted =
        json!({ "auths": { registry.server.host(): { "auth": "Y2FuYXJ5OmNhbmFyeQ==" } } });
    std::fs::create_dir_all(cli.dir().join("here/.docker")).unwrap();
    std::fs::write(cli.dir().join("here/.docker/config.json"), planted.to_string()).unwrap();
    let name = registry.repository("a:1");
    registry.override_response("/manifests/1", 0..9, |_| {
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
async fn signal_ignored_at_start_stays_ignored() {
    for (name, signal, other) in
        [("INT", Signal::INT, Signal::TERM), ("TERM", Signal::TERM, Signal::INT)]
    {
        let (registry, held, image) = published().await;
        let slow = Fault::Slow(500, std::time::Duration::from_millis(20));
        let layer = held[0].layers[0].digest().as_str().to_owned();
        registry.override_response(&layer, 0..9, move |reply| reply.fault(slow.clone()));
        let cli = Cli::new();
        let line = format!("trap '' {name}; exec \"$@\"");
        let running = cli.spawn_in_shell(&line, &["pull", &format!("{image}:1")]);
        running.wait_for_partials(1, 1).await;
        running.signal(signal);
        running.signal(signal);
        running.wait().await.expect(0, "");

        let running = cli.spawn_in_shell(&line, &["serve", "--addr", "127.0.0.1:0"]);
        let serving = ServeProcess::of(running, &cli).await;
        serving.signal(signal);
        serving.end(other).await.expect(0, "");
    }
}

#[tokio::test]
async fn log_level_invalid_warns() {
    let warned = Cli::new().env("RPULL_LOG", "garbage").run(&["images"]).await;
    warned.expect(0, "warning: ignoring RPULL_LOG: invalid level `garbage`, expected off, error");
    for level in ["", "warn", "INFO"] {
        assert_eq!(Cli::new().env("RPULL_LOG", level).run(&["images"]).await.stderr, "");
    }
}
