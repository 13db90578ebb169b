//! The file that an archive is written to: where it comes to be, and what it takes from the disk.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::Duration;

use bytes::Bytes;
use rpull::descriptor::Descriptor;
use rustix::process::Signal;

use crate::support::cli::{Cli, Running};
use crate::support::http::Fault;
use crate::support::images::{Family, Piece, assemble, image, layer, random_blob};
use crate::support::registry::Registry;
use crate::support::samples::published;

#[tokio::test]
async fn what_is_behind_a_link_is_written_and_not_the_link() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let path = |name: &str| cli.dir().join(name);
    std::fs::create_dir(path("there")).unwrap();
    std::fs::write(path("there/old.tar"), "as it was").unwrap();
    // The second one leads to nothing yet.
    for (link, target) in [("a.tar", "there/old.tar"), ("b.tar", "there/new.tar")] {
        symlink(target, path(link)).unwrap();
        symlink(path(link), path("there").join(link)).unwrap();
        for form in ["oci-archive", "docker-archive"] {
            cli.run(&["-o", &format!("{form}:there/{link}"), &format!("{name}:1")])
                .await
                .expect(0, "");
            assert!(path(link).is_symlink() && path("there").join(link).is_symlink());
            assert!(path(target).symlink_metadata().unwrap().is_file());
            cli.run(&["digest", &format!("{form}:{target}")]).await.expect(0, "");
        }
    }
    symlink("round.tar", path("round.tar")).unwrap();
    let round = cli.run(&["-o", "oci-archive:round.tar", &format!("{name}:1")]).await;
    round.expect(7, "round.tar: Too many levels of symbolic links");
}

/// Bytes on the disk of the files without a name that a process has open.
fn reserved(running: &Running) -> u64 {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", running.id())).unwrap();
    let nameless = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let leads = std::fs::read_link(&path).ok()?;
        leads.to_str()?.ends_with(" (deleted)").then(|| std::fs::metadata(&path).ok())?
    };
    entries.filter_map(nameless).map(|found| found.blocks() * 512).sum()
}

#[tokio::test]
async fn sizes_that_are_only_claimed_take_no_space() {
    let registry = Registry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(9_000_000, 1))])]);
    held.publish(&registry, "app", Some("1"));
    let big = held.layers[0].digest().as_str();
    registry.twist(big, 0..1, |reply| reply.fault(Fault::Stall(1_000_000)));
    let (cli, name) = (Cli::new(), registry.repository("app") + ":1");
    let running = cli.spawn(&["-o", "oci-archive:a.tar", &name]);
    while reserved(&running) < 500_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(reserved(&running) < 3_000_000, "{}", reserved(&running));
    running.signal(Signal::INT);
    running.wait().await.expect(130, "interrupted");

    // What can never find space is told before anything travels.
    let mut huge = held.layers[0].clone();
    huge.descriptor.size = 1 << 50;
    let held = assemble(Family::Oci, held.config, vec![huge]);
    held.publish(&registry, "app", Some("2"));
    registry.server.forget();
    let name = registry.repository("app") + ":2";
    let refused = cli.run(&["-o", "oci-archive:a.tar", &name]).await;
    refused.expect(7, "a.tar: No space left on device");
    refused.expect(7, "hint: free some space there");
    assert_eq!(registry.server.count("/blobs/"), 0);
}

#[tokio::test]
async fn two_images_cannot_have_one_name_in_an_archive() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let [one, other] = ["1", "2"].map(|tag| format!("{name}:{tag}"));
    cli.run(&["pull", &one, &other]).await.expect(0, "");
    cli.run(&["copy", &format!("store:{other}"), &format!("oci:there:{one}")]).await.expect(0, "");
    let two = cli.run(&["save", &one, &format!("oci:there:{one}"), "-o", "a.tar"]).await;
    two.expect(2, "two images would have it in the archive");
    assert!(!cli.dir().join("a.tar").exists());
}

#[tokio::test]
async fn an_empty_blob_that_its_descriptor_carries_goes_into_a_pipe_once() {
    let registry = Registry::start().await;
    let mut empty = Piece {
        descriptor: Descriptor::for_bytes("application/vnd.example.empty".into(), b""),
        bytes: Bytes::new(),
    };
    empty.descriptor.data = Some(String::new());
    let config = image(Family::Oci, "amd64", &[]).config;
    let after = layer(&[("data", b"1")]);
    let after = image(Family::Oci, "amd64", &[after]).layers.remove(0);
    let held = assemble(Family::Oci, config, vec![empty, after]);
    held.publish(&registry, "app", Some("1"));
    let (cli, name) = (Cli::new(), format!("docker://{}:1", registry.repository("app")));
    let save = ["save", &name, "-o", "-"];
    cli.spawn_in_shell("\"$@\" > a.tar", &save).wait().await.expect(0, "");
    cli.run(&["copy", "oci-archive:a.tar", "oci:out"]).await.expect(0, "");
}
