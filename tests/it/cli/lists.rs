//! `--quiet` of lists: names only, for `$(…)`, and their completion in a shell.

use crate::support::cli::Cli;
use crate::support::http::Fault;
use crate::support::live::needs;
use crate::support::samples::published;

#[tokio::test]
async fn quiet_lists_print_names_only() {
    let (_registry, [first, _], name) = published().await;
    let (cli, image) = (Cli::new(), format!("{name}:1"));
    assert_eq!(cli.run(&["images", "-q"]).await.expect(0, "").stdout, "");
    for tag in [1, 2] {
        cli.run(&[format!("{name}:{tag}")]).await.expect(0, "");
    }
    let lines = |words: [&'static str; 2]| {
        let (cli, image) = (&cli, &image);
        async move {
            let image = (words[0] != "images" && words[0] != "df").then_some(image.as_str());
            let words = words.into_iter().chain(image).collect::<Vec<_>>();
            cli.run(&words)
                .await
                .expect(0, "")
                .stdout
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        }
    };
    let names = [format!("{name}:1"), format!("{name}:2")];
    assert_eq!(lines(["images", "-q"]).await, names);
    assert_eq!(lines(["df", "-q"]).await, names);
    let digests: Vec<_> = first.layers.iter().map(|layer| layer.digest().to_string()).collect();
    assert_eq!(lines(["layers", "-q"]).await, digests);
    let history = lines(["history", "-q"]).await;
    assert!(!history.is_empty() && history.iter().all(|id| !id.contains(' ')), "{history:?}");
    cli.spawn_in_shell("\"$@\" $(\"$1\" images -q)", &["rm"]).wait().await.expect(0, "");
    assert_eq!(lines(["images", "-q"]).await, Vec::<String>::new());
}

#[tokio::test]
async fn bash_completes_images_and_dashes_with_options() {
    if !needs("bash_completes_images_and_dashes_with_options", &["bash"]) {
        return;
    }
    let (_registry, _, name) = published().await;
    let cli = Cli::new().env("RPULL_COMPLETE_TAGS", "30");
    cli.run(&[format!("{name}:1")]).await.expect(0, "");
    for tag in ["alpine:3.20", "example.com/app:1"] {
        cli.run(&["tag", &format!("{name}:1"), tag]).await.expect(0, "");
    }
    let script = cli.run(&["completions", "bash"]).await.stdout;
    std::fs::write(cli.dir().join("completion.sh"), script).unwrap();
    let completed = async |words: &[&str]| {
        let last = words.last().unwrap();
        // bash gives the part after the last colon.
        let current = last.rsplit(':').next().unwrap();
        let line = format!(
            "source ./completion.sh; COMP_LINE='{0}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(\"$1\" {1}); \
             COMP_CWORD={2}; _rpull \"$1\" '{current}' '{3}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words[1..].iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1,
            words[words.len() - 2],
        );
        let output = cli.spawn_under(&["bash", "-c", &line, "bash"], &[""; 0]).wait().await;
        output.expect(0, "").stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let names = completed(&["rpull", "history", ""]).await;
    assert!(names.contains(&"alpine:3.20".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with('-')), "{names:?}");
    assert_eq!(completed(&["rpull", "rm", "alpine:3"]).await, ["3.20"]);
    assert_eq!(
        completed(&["rpull", "history", "docker.io/lib"]).await,
        ["docker.io/library/alpine:3.20"]
    );
    assert!(completed(&["rpull", "history", "--no-"]).await.contains(&"--no-trunc".to_owned()));
    assert_eq!(completed(&["rpull", "index", ""]).await, ["create", "add", "remove", "help"]);
    assert_eq!(completed(&["rpull", "index", "--platform"]).await, [""]);
    assert_eq!(completed(&["rpull", "index", "--plain"]).await, ["--plain-http"]);
    assert!(completed(&["rpull", ""]).await.iter().all(|word| !word.starts_with('-')));
    assert!(completed(&["rpull", "his"]).await.contains(&"history".to_owned()));
    assert_eq!(completed(&["rpull", "load", ""]).await, [""], "bash completes files");
    assert_eq!(completed(&["rpull", "copy", "docker-"]).await.len(), 3);
    assert_eq!(completed(&["rpull", "put-blob", "oc"]).await, [""], "a repository");
    assert_eq!(completed(&["rpull", "copy", "store:exa"]).await, ["example.com/app:1"]);
    cli.run(&["copy", "store:alpine:3.20", "oci:dir/layout:one"]).await.expect(0, "");
    assert_eq!(completed(&["rpull", "check-base", "oci:dir/l"]).await, ["dir/layout/"]);
    assert_eq!(completed(&["rpull", "artifact", "pull", "oci:dir/layout:"]).await, ["one"]);
    assert_eq!(completed(&["rpull", "pull", &format!("{name}:")]).await, ["1", "2"], "tags");
}

#[tokio::test]
async fn completion_asks_registry_only_on_request_and_until_deadline() {
    let (registry, _, name) = published().await;
    let word = format!("{name}:");
    let complete = ["complete-word", "history", "--", &word];
    let asked = async |variable: &str| {
        registry.server.forget();
        let cli = Cli::new().env("RPULL_COMPLETE_TAGS", variable);
        let stdout = cli.run(&complete).await.expect(0, "").stdout.clone();
        (stdout, registry.server.requests().len())
    };
    assert_eq!(asked("").await, (String::new(), 0));
    assert_eq!(asked("0").await, (String::new(), 0));
    assert_eq!(asked("30").await, (format!("{name}:1\n{name}:2\n"), 1));
    registry.override_response("GET /v2/", 0..9, |reply| reply.fault(Fault::Silence));
    assert_eq!(asked("1").await.0, "");
    for args in [&["complete-word", "load", "--", "a"][..], &["complete-word", "rm", "--", "oci:"]]
    {
        assert_eq!(Cli::new().run(args).await.expect(0, "").stdout, "");
    }
    Cli::new().run(&["--help"]).await.expect(0, "");
}
