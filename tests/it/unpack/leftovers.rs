//! Leftovers of killed unpacks: the next one removes them, and nothing else.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::live::{is_root, needs};
use crate::support::small::Small;
use crate::support::tars;
use crate::unpack::staging::{killed, sample};

const NAME: &str = ".rpull-unpack-";

fn left(cli: &Cli) -> Vec<String> {
    let names = fs::read_dir(cli.dir()).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(NAME)).collect();
    names.sort();
    names
}

#[tokio::test]
async fn leftover_of_killed_unpack_is_removed_by_next() {
    if !needs("leftover_of_killed_unpack_is_removed_by_next", &["strace"]) {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    for _ in 0..2 {
        let before = left(&cli);
        killed(&cli, &archive, "root").await;
        let now = left(&cli);
        assert_eq!((now.len(), now == before), (1, false), "each removes the one before");
    }
    cli.run(&["unpack", &archive, "other"]).await.expect(0, "");
    assert_eq!(left(&cli), Vec::<String>::new());
}

/// Starts a registry with an image whose layer stalls; returns its name too.
async fn stalling() -> (FakeRegistry, String) {
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(2_000_000, 1))])]);
    let registry = FakeRegistry::start().await;
    held.publish(&registry, "app", Some("1"));
    registry.override_response("/blobs/", 0..9, |reply| {
        if reply.body.len() > 1_000_000 { reply.fault(Fault::Stall(1_000_000)) } else { reply }
    });
    let name = registry.repository("app:1");
    (registry, name)
}

#[tokio::test]
async fn running_unpack_in_place_is_not_a_leftover() {
    let (_registry, name) = stalling().await;
    let cli = Cli::new();
    let archive = cli.dir().join(tars::write_to(&cli, &sample()).replace("oci-archive:", ""));
    let archive = format!("oci-archive:{}", archive.display());
    fs::create_dir(cli.dir().join("here")).unwrap();
    let here = "cd here; exec \"$@\"";
    let running = cli.spawn_in_shell(here, &["pull", "--unpack", ".", &name]);
    running.wait_for_partials(1, 500_000).await;
    let output = cli.spawn_in_shell(here, &["unpack", &archive, "."]).wait().await;
    output.expect(7, "error: unpack: .: another process is unpacking into it");
    running.signal(rustix::process::Signal::INT);
    running.wait().await.expect(130, "interrupted");
    cli.spawn_in_shell(here, &["unpack", &archive, "."]).wait().await.expect(0, "");
}

#[tokio::test]
async fn staging_directory_of_running_unpack_is_kept() {
    let (_registry, name) = stalling().await;
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    let running = cli.spawn(&["pull", "--unpack", "root", &name]);
    running.wait_for_partials(1, 500_000).await;
    let before = left(&cli);
    assert_eq!(before.len(), 1);
    cli.run(&["unpack", &archive, "other"]).await.expect(0, "");
    assert_eq!(left(&cli), before);
    running.signal(rustix::process::Signal::INT);
    running.wait().await.expect(130, "interrupted");
    assert_eq!(left(&cli), Vec::<String>::new());
}

#[tokio::test]
async fn other_entries_named_like_leftovers_are_kept() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    let made = |id: &str| format!("{NAME}{id:0>16}");
    let path = |id: &str| cli.dir().join(made(id));
    fs::create_dir(cli.dir().join("mine")).unwrap();
    fs::write(cli.dir().join("mine/file"), "").unwrap();
    symlink("mine", path("1")).unwrap();
    File::create(path("2")).unwrap();
    // A directory with such a name that no unpack created.
    fs::create_dir(path("3")).unwrap();
    fs::write(path("3").join("file"), "").unwrap();
    // A leftover with another entry in it.
    fs::create_dir_all(path("4").join(made("4"))).unwrap();
    fs::write(path("4").join("file"), "").unwrap();
    // A symlink in place of the tree.
    fs::create_dir_all(path("5")).unwrap();
    symlink(cli.dir().join("mine"), path("5").join(made("5"))).unwrap();
    let mut wanted = vec![made("1"), made("2"), made("3"), made("4"), made("5")];
    if is_root("other_entries_named_like_leftovers_are_kept") {
        fs::create_dir_all(path("6").join(made("6"))).unwrap();
        std::os::unix::fs::chown(path("6"), Some(1), None).unwrap();
        wanted.push(made("6"));
    }
    cli.run(&["unpack", &archive, "root"]).await.expect(0, "");
    assert_eq!(left(&cli), wanted);
    assert!(cli.dir().join("mine/file").exists() && path("3").join("file").exists());
}

#[tokio::test]
async fn leftover_with_mount_inside_is_kept() {
    let test = "leftover_with_mount_inside_is_kept";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    let name = format!("{NAME}{:0>16}", 7);
    let point = cli.dir().join(&name).join(&name);
    fs::create_dir_all(&point).unwrap();
    {
        let Some(_mounted) = Small::mount(test, &point.join("proc"), "size=1m") else { return };
        fs::write(point.join("proc/file"), "").unwrap();
        cli.run(&["unpack", &archive, "root"]).await.expect(0, "");
        assert!(point.join("proc/file").exists());
    }
    cli.run(&["unpack", &archive, "again"]).await.expect(0, "");
    assert_eq!(left(&cli), Vec::<String>::new());
}
