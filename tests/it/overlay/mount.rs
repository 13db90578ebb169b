//! `unpack --overlay --mount`, and the mount command line that `unpack --overlay` prints.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::overlay::{archive, base, chains, sample, text, upper};
use crate::support::cli::{Cli, Output};
use crate::support::entries::{TarItem, layer_of};
use crate::support::images::{Family, image};
use crate::support::live::{is_root, needs};
use crate::support::mounted::{Mounted, can_mount};
use crate::support::tree::{self, names};

#[tokio::test]
async fn mounted_overlay_equals_umoci_tree() {
    let test = "mounted_overlay_equals_umoci_tree";
    if !needs(test, &["umoci"]) || !can_mount(test) {
        return;
    }
    let cli = Cli::new();
    let top = layer_of(&[
        TarItem::dir("usr").mtime(11),
        TarItem::dir("usr/bin").mode(0o1755).owner(5, 6).mtime(12),
        TarItem::file("usr/bin/su", "x").mode(0o4755),
        TarItem::hardlink("usr/bin/again", "usr/bin/su"),
        TarItem::device(b'3', "null", 1, 3).mode(0o666),
        TarItem::file("attributed", "x").xattr("user.a", "1"),
        TarItem::dir("opt").mtime(13),
        TarItem::whiteout("opt/new"),
        TarItem::whiteout("link"),
        TarItem::dir("link").mtime(14),
        TarItem::file("link/now-a-directory", ""),
    ]);
    let held = image(Family::Oci, "amd64", &[base(), upper("1"), top]);
    let place = archive(&cli, &held, "app");
    cli.run(&["copy", &place, "oci:layout:app"]).await.expect(0, "");
    let bundle = cli.dir().join("bundle");
    let layout = format!("{}:app", cli.dir().join("layout").display());
    let umoci = Command::new("umoci")
        .args(["unpack", "--image", &layout, bundle.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(umoci.status.success(), "{}", String::from_utf8_lossy(&umoci.stderr));
    let point = cli.dir().join("root");
    fs::create_dir(&point).unwrap();
    let args = ["unpack", "--overlay", &place, "layers", "--mount", "root"];
    cli.run(&args).await.expect(0, "");
    let _mounted = Mounted::at(&point);
    let nodes = |root: &Path| {
        let mut nodes = tree::nodes(root, &[]);
        // No layer has an entry for the root, and umoci leaves its creation time.
        nodes[0].mtime = (0, 0);
        nodes
    };
    assert_eq!(nodes(&point), nodes(&bundle.join("rootfs")));
    assert!(fs::write(point.join("x"), "").is_err(), "it is mounted to be read");
}

#[tokio::test]
async fn mounted_overlay_hides_whiteouts_from_programs() {
    let test = "mounted_overlay_hides_whiteouts_from_programs";
    if !needs(test, &["cc", "chroot"]) || !can_mount(test) {
        return;
    }
    let cli = Cli::new();
    let source = cli.dir().join("tell.c");
    let code = r#"
        #include <stdio.h>
        #include <unistd.h>
        int main(int n, char **paths) {
            for (int i = 1; i < n; i++) printf("%s %s\n", paths[i], access(paths[i], F_OK) ? "no" : "yes");
            return 0;
        }"#;
    fs::write(&source, code).unwrap();
    let program = cli.dir().join("tell");
    let made =
        Command::new("cc").args(["-static", "-o"]).args([&program, &source]).status().unwrap();
    assert!(made.success());
    let tell = layer_of(&[TarItem::file("bin/tell", fs::read(&program).unwrap()).mode(0o755)]);
    let held = image(Family::Oci, "amd64", &[tell, base(), upper("1")]);
    let point = cli.dir().join("root");
    fs::create_dir(&point).unwrap();
    let place = archive(&cli, &held, "app");
    cli.run(&["unpack", "--overlay", &place, "layers", "--mount", "root"]).await.expect(0, "");
    let mounted = Mounted::at(&point);
    let run = || {
        let paths = ["/bin/tell", "/etc/gone", "/etc/kept", "/link/kept", "/opt/old", "/opt/new"];
        let output = Command::new("chroot").arg(&point).args(paths).args(&paths[1..]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let told = run();
    assert!(
        told.starts_with(
            "/etc/gone no\n/etc/kept yes\n/link/kept yes\n/opt/old no\n/opt/new yes\n"
        ),
        "{told}"
    );
    drop(mounted);
    // Mounting an image of one layer needs a second lower directory.
    let one = archive(&cli, &image(Family::Oci, "amd64", &[base()]), "one");
    cli.run(&["unpack", "--overlay", &one, "layers", "--mount", "root"]).await.expect(0, "");
    let _mounted = Mounted::at(&point);
    assert_eq!(names(&point), ["big", "etc/", "etc/gone", "etc/kept", "link", "opt/", "opt/old"]);
}

#[tokio::test]
async fn mount_of_many_layers_uses_relative_paths() {
    let test = "mount_of_many_layers_uses_relative_paths";
    if !can_mount(test) {
        return;
    }
    let cli = Cli::new();
    let layers: Vec<_> = (0..127)
        .map(|n| layer_of(&[TarItem::file(n.to_string(), ""), TarItem::file("top", n.to_string())]))
        .collect();
    let place = archive(&cli, &image(Family::Oci, "amd64", &layers), "app");
    let point = cli.dir().join("root");
    fs::create_dir(&point).unwrap();
    let args = ["unpack", "--overlay", &place, "it's here", "--mount", "root"];
    let output = cli.run(&args).await;
    let mounted = Mounted::at(&point);
    output.expect(0, "unpacked 127 of 127 layers");
    assert_eq!((text(&point.join("top")), names(&point).len()), ("126".to_owned(), 128));
    drop(mounted);
    assert!(output.stdout.starts_with("(cd '/"), "{}", output.stdout);
    let _mounted = Mounted::by(output.stdout.trim_end(), &point);
    assert_eq!((text(&point.join("top")), names(&point).len()), ("126".to_owned(), 128));
}

/// Mounts `count` layers under another program and returns the output.
async fn mounted(cli: &Cli, count: usize, above: &[&str]) -> Output {
    let layers: Vec<_> = (0..count)
        .map(|n| layer_of(&[TarItem::file(n.to_string(), ""), TarItem::file("top", n.to_string())]))
        .collect();
    let place = archive(cli, &image(Family::Oci, "amd64", &layers), &format!("app{count}"));
    let args = ["unpack", "--overlay", &place, "layers", "--mount", "root"];
    cli.spawn_under(above, &args).wait().await
}

#[tokio::test]
async fn mount_of_more_layers_than_a_page_succeeds() {
    let test = "mount_of_more_layers_than_a_page_succeeds";
    if !can_mount(test) {
        return;
    }
    let cli = Cli::new();
    let point = cli.dir().join("root");
    fs::create_dir(&point).unwrap();
    let output = mounted(&cli, 200, &[]).await;
    if output.stderr.contains("before Linux 6.5") {
        return;
    }
    let _mounted = Mounted::at(&point);
    output.expect(0, "unpacked 200 of 200 layers");
    assert_eq!((text(&point.join("top")), names(&point).len()), ("199".to_owned(), 201));
    assert!(output.stdout.contains("-o ro,lowerdir+=l/"), "{}", output.stdout);
    let written = fs::write(point.join("new"), "").unwrap_err();
    assert_eq!(written.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    // `prune` keeps layers mounted this way too.
    cli.run(&["rm", "--overlay", "layers", "example.com/app200:1"]).await.expect(0, "");
    assert_eq!(cli.json(&["prune", "--json"]).await["layers"], 0);
    mounted(&cli, 501, &[])
        .await
        .expect(7, "the image has 501 layers, more than the 500 of one mount");
}

#[tokio::test]
async fn mount_of_many_layers_on_old_kernel_fails() {
    let test = "mount_of_many_layers_on_old_kernel_fails";
    if !needs(test, &["strace"]) {
        return;
    }
    let cli = Cli::new();
    fs::create_dir(cli.dir().join("root")).unwrap();
    for call in ["fsopen:error=ENOSYS", "fsconfig:error=EINVAL"] {
        let (trace, inject) = (&call[..call.find(':').unwrap()], format!("inject={call}"));
        let above =
            ["strace", "-f", "-o", "/dev/null", "-e", &format!("trace={trace}"), "-e", &inject];
        let output = mounted(&cli, 200, &above).await;
        output.expect(7, "the image has 200 layers, more than one mount supports before Linux 6.5");
    }
}

#[tokio::test]
async fn mount_in_user_namespace_uses_userxattr() {
    let test = "mount_in_user_namespace_uses_userxattr";
    if !needs(test, &["setpriv", "unshare"]) || !is_root(test) {
        return;
    }
    let cli = Cli::new();
    let place = archive(&cli, &sample("1"), "app");
    fs::create_dir(cli.dir().join("open")).unwrap();
    for path in [cli.dir(), &cli.dir().join("open")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
    let args = ["unpack", "--overlay", "--no-store", &place, "open/layers"];
    let output = cli.spawn_under(&user, &args).wait().await;
    output.expect(0, "warning: left out the owners of ");
    assert!(output.stdout.contains(" -o ro,userxattr,lowerdir="), "{}", output.stdout);
    let top = cli.dir().join("open/layers/overlay2").join(&chains(&[base(), upper("1")])[1]);
    let nodes = tree::nodes(&top.join("diff"), &[]);
    let of = |path: &str| nodes.iter().find(|node| node.path == path).unwrap();
    assert_eq!((of("etc/gone").mode, of("etc/gone").device), (0o20000, 0));
    assert_eq!(of("opt").attributes, [("user.overlay.opaque".to_owned(), b"y".to_vec())]);
    fs::create_dir(cli.dir().join("open/root")).unwrap();
    let point = cli.dir().join("open/root").display().to_string();
    let line = output.stdout.replace(" /mnt", &format!(" {point}"));
    let script = format!("{} && cd {point} && ls etc opt", line.trim_end());
    let shown = Command::new("setpriv")
        .args(&user[1..])
        .args(["unshare", "-Urm", "sh", "-c", &script])
        .output()
        .unwrap();
    let shown = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    // Some kernels do not allow user namespaces.
    if !shown.1.contains("Operation not permitted") {
        assert_eq!(shown.0, "etc:\nkept\n\nopt:\nnew\n", "{}", shown.1);
    }
}
