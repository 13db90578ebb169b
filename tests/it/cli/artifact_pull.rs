//! `artifact pull` into directories that have files: repeated, in the way, or interrupted.

use std::os::unix::fs::symlink;
use std::path::Path;

use rpull::digest::Digest;
use rustix::process::Signal;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::wait::wait_until;

/// An artifact of a file, a file in a directory, and a directory.
async fn pushed() -> (FakeRegistry, Cli, String) {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    std::fs::create_dir_all(cli.dir().join("docs/deep")).unwrap();
    std::fs::create_dir(cli.dir().join("sub")).unwrap();
    for (path, text) in
        [("docs/deep/a.md", "# a"), ("docs/b.md", "# b"), ("notes.txt", "notes"), ("sub/x", "x")]
    {
        std::fs::write(cli.dir().join(path), text).unwrap();
    }
    symlink("b.md", cli.dir().join("docs/link")).unwrap();
    let name = registry.repository("notes:1");
    cli.run(&["artifact", "push", &name, "notes.txt", "docs", "sub/x"]).await.expect(0, "");
    (registry, cli, name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn artifact_pulled_again_replaces_its_files_and_no_others() {
    let (_registry, cli, name) = pushed().await;
    let pull = ["artifact", "pull", &name, "-o", "d"];
    cli.run(&pull).await.expect(0, "");
    cli.run(&pull).await.expect(0, "");
    let at = |path: &str| cli.dir().join("d").join(path);
    // What a user may have changed since.
    for path in ["notes.txt", "docs/b.md", "docs/own", "docs/deep/own"] {
        std::fs::write(at(path), "changed").unwrap();
    }
    std::fs::remove_file(at("docs/link")).unwrap();
    symlink("/nowhere", at("docs/link")).unwrap();
    std::fs::remove_file(at("docs/deep/a.md")).unwrap();
    cli.run(&pull).await.expect(0, "");
    assert_eq!((read(&at("notes.txt")), read(&at("docs/b.md"))), ("notes".into(), "# b".into()));
    assert_eq!((read(&at("docs/deep/a.md")), read(&at("docs/link"))), ("# a".into(), "# b".into()));
    assert_eq!(
        (read(&at("docs/own")), read(&at("docs/deep/own"))),
        ("changed".into(), "changed".into())
    );
    assert_eq!(std::fs::read_dir(at("")).unwrap().count(), 3, "nothing temporary is left");

    // A directory of the artifact replaces a link, and what the link leads to stays.
    let outside = cli.dir().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::remove_dir_all(at("docs/deep")).unwrap();
    symlink(&outside, at("docs/deep")).unwrap();
    cli.run(&pull).await.expect(0, "");
    assert_eq!(read(&at("docs/deep/a.md")), "# a");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn artifact_with_files_in_the_way_is_refused_before_any_write() {
    let (_registry, cli, name) = pushed().await;
    let at = |path: &str| cli.dir().join(path);
    let pull = async |dir: &str| cli.run(&["artifact", "pull", &name, "-o", dir]).await;
    std::fs::write(at("file"), "").unwrap();
    pull("file").await.expect(7, "error: file: exists already, and is not a directory");

    symlink(cli.dir(), at("outside")).unwrap();
    for (dir, path) in [("one", "docs"), ("two", "sub")] {
        std::fs::create_dir(at(dir)).unwrap();
        symlink(cli.dir(), at(dir).join(path)).unwrap();
        let refused = pull(dir).await;
        refused.expect(7, &format!("error: {dir}/{path}: exists already, and is not a directory"));
        refused.expect(7, "hint: remove it, or name another directory with `-o`");
        assert_eq!(std::fs::read_dir(at(dir)).unwrap().count(), 1);
    }
    std::fs::create_dir_all(at("three/notes.txt")).unwrap();
    pull("three").await.expect(7, "error: three/notes.txt: exists already, and is a directory");
    assert_eq!(std::fs::read_dir(at("three")).unwrap().count(), 1);
    // Only found when the directory is unpacked.
    std::fs::create_dir_all(at("four/docs/b.md")).unwrap();
    pull("four").await.expect(7, "error: four/docs/b.md: exists already, and is a directory");
}

#[tokio::test]
async fn artifact_pull_failed_leaves_no_directories() {
    let (registry, cli, _) = pushed().await;
    let name = registry.repository("deep:1");
    cli.run(&["artifact", "push", &name, "docs/deep/a.md", "docs"]).await.expect(0, "");
    std::fs::create_dir(cli.dir().join("own")).unwrap();
    registry.fail_requests("GET /v2/deep/blobs/", 0..3, Reply::new(404, ""));
    for dir in ["d", "own", "new/a/./b"] {
        cli.run(&["artifact", "pull", &name, "-o", dir]).await.expect(3, "");
    }
    assert!(!cli.dir().join("d").exists() && !cli.dir().join("new").exists());
    assert_eq!(std::fs::read_dir(cli.dir().join("own")).unwrap().count(), 0);

    let blob = Digest::sha256(b"# a");
    registry.override_response(blob.as_str(), 0..9, |reply| reply.fault(Fault::Stall(1)));
    registry.server.forget();
    let running = cli.spawn(&["artifact", "pull", &name, "-o", "d"]);
    let is_asked = async || registry.server.lines().iter().any(|line| line.contains(blob.as_str()));
    wait_until("the blob is not requested", is_asked).await;
    let stopped = running.stop(Signal::INT).await;
    stopped.expect(130, "interrupted").expect(130, "hint: run the same command again");
    assert!(!cli.dir().join("d").exists());
}
