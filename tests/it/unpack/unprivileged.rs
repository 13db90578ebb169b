//! Unpacking without privileges: what is permitted is created, the rest is reported once.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::images::{Family, image};
use crate::support::live::{is_root, needs};
use crate::support::small::Small;
use crate::support::tars;
use crate::support::tree::{self, names};

const USER: &[&str] = &["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];

/// A user namespace with one mapped id, as in sandboxes.
const NAMESPACE: &[&str] =
    &["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare", "-Ur"];

fn can_change_users(test: &str) -> bool {
    is_root(test) && needs(test, &["setpriv", "unshare"])
}

/// Returns an archive of these layers, and a directory writable for the user.
fn archive(layers: &[&[TarItem]]) -> (Cli, String, PathBuf) {
    let cli = Cli::new();
    let layers: Vec<_> = layers.iter().map(|items| layer_of(items)).collect();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &layers));
    let open = cli.dir().join("open");
    fs::create_dir(&open).unwrap();
    for path in [&open, cli.dir()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    (cli, archive, open)
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

#[tokio::test]
async fn unprivileged_unpack_of_closed_modes_succeeds() {
    if !can_change_users("unprivileged_unpack_of_closed_modes_succeeds") {
        return;
    }
    for closed in [0o555, 0o550, 0o500, 0o111, 0] {
        let base = [
            TarItem::dir("./").mode(closed).mtime(5),
            TarItem::dir("d").mode(closed).mtime(6),
            TarItem::dir("d/e").mode(closed),
            TarItem::file("d/e/f", "f").mode(0),
        ];
        let upper = [TarItem::file("d/e/g", "g"), TarItem::dir("d").mode(closed).mtime(7)];
        let (cli, archive, open) = archive(&[&base, &upper]);
        for (target, there) in [("open/new", false), ("open/there", true)] {
            let root = cli.dir().join(target);
            if there {
                fs::create_dir(&root).unwrap();
                chown(&root, Some(12345), Some(12345)).unwrap();
            }
            let output = cli.spawn_under(USER, &["unpack", "--no-store", &archive, target]).wait();
            output.await.expect(0, "unpacked 2 layers");
            assert_eq!([mode(&root), mode(&root.join("d/e"))], [closed; 2]);
            assert_eq!((root.metadata().unwrap().mtime(), mode(&root.join("d/e/f"))), (5, 0));
            assert_eq!(root.join("d").metadata().unwrap().mtime(), 7);
            assert_eq!(names(&root), ["d/", "d/e/", "d/e/f", "d/e/g"]);
        }
        let left = names(&open).into_iter().filter(|name| name.contains("rpull-"));
        assert_eq!(left.count(), 0);
    }
}

#[tokio::test]
async fn unprivileged_unpack_into_foreign_mount_keeps_its_root() {
    let test = "unprivileged_unpack_into_foreign_mount_keeps_its_root";
    if !can_change_users(test) || !needs(test, &["mount", "umount"]) {
        return;
    }
    let layers = [TarItem::dir("d").mtime(5), TarItem::file("d/f", "f")];
    let about_root = [TarItem::dir("./").mode(0o750).mtime(5).xattr("user.a", "1")];
    for said in [false, true] {
        let both: &[&[TarItem]] = if said { &[&layers, &about_root] } else { &[&layers] };
        let (cli, archive, _) = archive(both);
        let point = cli.dir().join("mount");
        let Some(_mounted) = Small::mount(test, &point, "size=2m,mode=0777") else { return };
        for under in [USER, NAMESPACE] {
            let output =
                cli.spawn_under(under, &["unpack", "--no-store", &archive, "mount"]).wait();
            let output = output.await;
            output.expect(0, "unpacked");
            let told = "left out the mode, time, owner and attributes of 1 entry (/)";
            assert_eq!(output.stderr.contains(told), said, "{}", output.stderr);
            assert_eq!((mode(&point), point.metadata().unwrap().uid()), (0o777, 0));
            assert_eq!(names(&point), ["d/", "d/f"]);
            fs::remove_dir_all(point.join("d")).unwrap();
        }
    }
}

#[tokio::test]
async fn unprivileged_overlay_of_closed_modes_succeeds() {
    if !can_change_users("unprivileged_overlay_of_closed_modes_succeeds") {
        return;
    }
    let base = [
        TarItem::dir("./").mode(0o555),
        TarItem::file("shadow", "secret").mode(0),
        TarItem::dir("closed").mode(0),
        TarItem::file("closed/a", "a").mode(0o200),
        TarItem::dir("blind").mode(0o300),
        TarItem::file("blind/b", "b"),
    ];
    let upper = [
        TarItem::hardlink("shadow-", "shadow"),
        TarItem::hardlink("closed/c", "closed/a"),
        TarItem::whiteout("blind/b"),
        TarItem::file("closed/new", "new"),
    ];
    let (cli, archive, _) = archive(&[&base, &upper]);
    let args = ["unpack", "--overlay", "--no-store", &archive, "open/layers"];
    let output = cli.spawn_under(USER, &args).wait().await;
    output.expect(0, "unpacked 2 of 2 layers");
    output.expect(0, "left out the closed modes of 2 entries (closed, …)");
    let layers = cli.dir().join("open/layers/overlay2");
    let tops = names(&layers).into_iter().filter(|name| name.ends_with("/diff/shadow-"));
    let top = layers.join(tops.collect::<String>().trim_end_matches("shadow-"));
    let nodes = tree::nodes(&top, &[]);
    let found: Vec<_> = nodes.iter().map(|node| (&node.path[..], node.mode)).collect();
    let wanted = [
        ("", 0o40555),
        ("blind", 0o40700),
        ("closed", 0o40500),
        ("shadow", 0o100_000),
        ("shadow-", 0o100_000),
        ("blind/b", 0o20000),
        ("closed/a", 0o100_200),
        ("closed/c", 0o100_200),
        ("closed/new", 0o100_644),
    ];
    assert_eq!(found, wanted);
    assert_eq!(fs::read(top.join("shadow-")).unwrap(), b"secret");
    // Existing layers are found again.
    cli.spawn_under(USER, &args).wait().await.expect(0, "unpacked 0 of 2 layers");
}

#[tokio::test]
async fn unmapped_owners_are_skipped_with_one_warning() {
    if !can_change_users("unmapped_owners_are_skipped_with_one_warning") {
        return;
    }
    let base = [
        TarItem::dir("./").owner(33, 33),
        TarItem::dir("d").owner(33, 0).mode(0o2755),
        TarItem::file("d/su", "x").owner(33, 33).mode(0o6755),
        TarItem::file("own-su", "x").mode(0o4755),
        TarItem::symlink("s", "d").owner(0, 33),
        TarItem::new(b'6', "pipe").owner(1, 1),
        TarItem::device(b'3', "null", 1, 3),
        TarItem::hardlink("null2", "null"),
    ];
    let upper = [TarItem::dir("d").owner(44, 0), TarItem::hardlink("d/again", "d/su")];
    let (cli, archive, open) = archive(&[&base, &upper]);
    for form in [&["--no-store"][..], &["--no-store", "--overlay"]] {
        let args = [&["unpack"], form, &[&archive, "open/root"]].concat();
        let output = cli.spawn_under(NAMESPACE, &args).wait().await;
        let told =
            "left out the owners of 6 entries (/, …): this user namespace does not map these ids";
        output.expect(0, told).expect(0, "the devices of 2 entries (null, …)");
        output.expect(0, "left out the set-user-id and set-group-id bits of 2 entries (d, …)");
        let nodes = tree::nodes(&open.join("root"), &[]);
        assert!(nodes.iter().all(|node| node.owner == (12345, 12345)), "{nodes:?}");
        let mode = |name: &str| nodes.iter().find(|node| node.path.ends_with(name)).unwrap().mode;
        assert_eq!((mode("d/su"), mode("own-su")), (0o100_755, 0o104_755));
        fs::remove_dir_all(open.join("root")).unwrap();
    }
    let output = cli.spawn_under(NAMESPACE, &["export", &archive, "-o", "open/a.tar"]).wait().await;
    assert!(!output.expect(0, "exported").stderr.contains("owners"));
}

#[tokio::test]
async fn root_without_cap_chown_keeps_own_owner() {
    if !can_change_users("root_without_cap_chown_keeps_own_owner") {
        return;
    }
    let (cli, archive, open) = archive(&[&[TarItem::file("su", "x").owner(1, 2).mode(0o4755)]]);
    let under = ["setpriv", "--bounding-set", "-chown,-fowner"];
    let output = cli.spawn_under(&under, &["unpack", "--no-store", &archive, "open/root"]).wait();
    output.await.expect(0, "left out the owners of 1 entry (su)");
    let found = open.join("root/su").metadata().unwrap();
    assert_eq!((found.uid(), found.mode()), (0, 0o100_755));
}

#[tokio::test]
async fn xattr_or_whiteout_refused_by_file_system_is_reported() {
    let test = "xattr_or_whiteout_refused_by_file_system_is_reported";
    if !is_root(test) || !needs(test, &["strace"]) {
        return;
    }
    let base = [TarItem::file("a", "1").xattr("user.a", "1"), TarItem::file("b", "2")];
    let (cli, archive, open) = archive(&[&base, &[TarItem::whiteout("b")]]);
    let strace = |inject: &'static str| ["strace", "-f", "-o", "/dev/null", "-e", inject];
    let args = ["unpack", "--no-store", &archive, "open/root"];
    let output = cli.spawn_under(&strace("inject=fsetxattr:error=ENOSPC"), &args).wait().await;
    output.expect(
        0,
        "left out the extended attributes of 1 entry (a): the file system does not support ones",
    );
    assert_eq!(names(&open.join("root")), ["a"]);
    let args = ["unpack", "--overlay", "--no-store", &archive, "open/layers"];
    let output = cli.spawn_under(&strace("inject=mknodat:error=EPERM"), &args).wait().await;
    output.expect(7, ": b: cannot create its whiteout: this kernel or sandbox refuses device 0:0");
}
