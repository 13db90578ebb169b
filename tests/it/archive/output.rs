//! The file that an archive is written to: links, reserved space, file systems without `O_TMPFILE`.

use std::os::unix::fs::{MetadataExt as _, symlink};

use rustix::process::Signal;

use crate::support::cli::{Cli, Running};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, assemble, image, layer, random_blob};
use crate::support::live::needs;
use crate::support::samples::published;
use crate::support::strace::inject;
use crate::support::wait::wait_until;

#[tokio::test]
async fn archive_output_symlink_writes_its_target() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let path = |name: &str| cli.dir().join(name);
    std::fs::create_dir(path("there")).unwrap();
    std::fs::write(path("there/old.tar"), "as it was").unwrap();
    // The target of the second link does not exist yet.
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
async fn archive_output_reserves_only_received_bytes() {
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(9_000_000, 1))])]);
    held.publish(&registry, "app", Some("1"));
    let big = held.layers[0].digest().as_str();
    registry.override_response(big, 0..1, |reply| reply.fault(Fault::Stall(1_000_000)));
    let (cli, name) = (Cli::new(), registry.repository("app") + ":1");
    let running = cli.spawn(&["-o", "oci-archive:a.tar", &name]);
    wait_until("no space is reserved", async || reserved(&running) >= 500_000).await;
    assert!(reserved(&running) < 3_000_000, "{}", reserved(&running));
    running.signal(Signal::INT);
    running.wait().await.expect(130, "interrupted");

    // A size beyond the whole disk fails before any blob is requested.
    let mut huge = held.layers[0].clone();
    huge.descriptor.size = 1 << 50;
    let held = assemble(Family::Oci, held.config, vec![huge]);
    held.publish(&registry, "app", Some("2"));
    registry.server.forget();
    let name = registry.repository("app") + ":2";
    let refused = cli.run(&["-o", "oci-archive:a.tar", &name]).await;
    refused.expect(7, "a.tar: No space left on device");
    refused.expect(7, "hint: free disk space there");
    assert_eq!(registry.server.count("/blobs/"), 0);
}

#[tokio::test]
async fn archive_output_without_tmpfile_support_is_written() {
    if !needs("archive_output_without_tmpfile_support_is_written", &["strace", "setpriv"]) {
        return;
    }
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&[&name]).await.expect(0, "");
    let dir = cli.store().with_file_name("store-out");
    std::fs::create_dir(&dir).unwrap();
    let path = dir.join("a.tar");
    let save = ["save", &name, "-o", path.to_str().unwrap()];
    let files = || std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
    for form in ["oci-archive", "docker-archive"] {
        let place = format!("{form}:{}", path.display());
        let copy = ["copy", &format!("store:{name}"), &place];
        std::fs::write(&path, "old").unwrap();
        let failed =
            inject(&cli, "?rename,?renameat,renameat2", "-out/a.tar", "error=EIO", &copy).await;
        failed.expect(7, "Input/output error");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old", "{form}");
        assert_eq!(files().count(), 1, "{form}");
        inject(&cli, "openat", "-out", "error=EOPNOTSUPP", &copy).await.expect(0, "");
        assert_eq!(files().collect::<Vec<_>>(), ["a.tar"], "{form}");
        std::fs::remove_file(&path).unwrap();
    }
    cli.run(&save).await.expect(0, "");
    cli.run(&["load", path.to_str().unwrap()]).await.expect(0, "(100 %)");
}
