//! Artifacts pushed by the Python client of oras are pulled, and the other way round.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::cli::Cli;
use crate::support::live::{Access, Live, needs};

/// The Python that has the package `oras`; if there is none, says that the test is left out.
fn python_with_oras(test: &str) -> Option<String> {
    let python = std::env::var("RPULL_ORAS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import oras"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    // Not through the test harness, which captures the output of passing tests.
    writeln!(std::io::stderr(), "left out: {test}: {python} has no package oras").unwrap();
    None
}

fn run(python: &str, dir: &Path, code: &str) {
    let code = format!("import oras.client\n{code}");
    let output = Command::new(python).args(["-c", &code]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{code}: {output:?}");
}

#[tokio::test]
async fn artifacts_of_oras_and_rpull_are_the_same() {
    let test = "artifacts_of_oras_and_rpull_are_the_same";
    if !needs(test, &["docker-registry"]) {
        return;
    }
    let Some(python) = python_with_oras(test) else { return };
    let (registry, cli) = (Live::start(&Access::Open), Cli::new());
    let dir = cli.dir();
    std::fs::create_dir_all(dir.join("docs/deep")).unwrap();
    std::fs::write(dir.join("docs/deep/a.md"), "# a").unwrap();
    std::fs::write(dir.join("notes.txt"), "some notes").unwrap();
    let host = registry.host();
    let check = |out: &str| {
        let read = |path: &str| std::fs::read_to_string(dir.join(out).join(path)).unwrap();
        assert_eq!(read("notes.txt"), "some notes");
        assert_eq!(read("docs/deep/a.md"), "# a");
    };

    let client = format!("client = oras.client.OrasClient(hostname='{host}', insecure=True)\n");
    let push = format!("client.push('{host}/a:oras', files=['notes.txt:text/plain', 'docs'])");
    run(&python, dir, &format!("{client}{push}"));
    let pull = ["artifact", "pull", &format!("{host}/a:oras"), "-o", "ours"];
    cli.run(&pull).await.expect(0, "");
    check("ours");

    let name = format!("{host}/a:rpull");
    cli.run(&["artifact", "push", &name, "notes.txt:text/plain", "docs"]).await.expect(0, "");
    let pull = format!("client.pull('{host}/a:rpull', outdir='theirs')");
    run(&python, dir, &format!("{client}{pull}"));
    check("theirs");
}
