//! A Debian image of four layers, made by Debian's tools, which remove, install and replace.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::live::{is_root, may_fetch, needs};
use super::real::scratch;
use super::tar_item::{TarItem, tar};
use super::tree::{Node, nodes};

const PROGRAMS: &[&str] = &["mmdebstrap", "umoci", "chroot", "apt-get"];

/// Builds the base layer: the essential packages of the running release.
const BASE: &str = r#"
. /etc/os-release
mmdebstrap --quiet --variant=essential --dpkgopt='path-exclude=/usr/share/doc/*' "$VERSION_CODENAME" base.tar
umoci init --layout image
umoci new --image image:base
umoci raw add-layer --image image:base base.tar
rm base.tar
umoci unpack --image image:base bundle
"#;

/// Removes packages, changes a link, and replaces a directory by a link and a file by a directory.
const PURGED: &str = "
cd bundle/rootfs
chroot . dpkg --purge --force-all ncurses-bin $(chroot . dpkg-query -W -f '${Package} ' '*perl*')
ln -sfn bash usr/bin/sh
rm -r usr/share/common-licenses
ln -s ../lib usr/share/common-licenses
rm etc/issue
mkdir etc/issue
echo now > etc/issue/now
cd ../..
umoci repack --refresh-bundle --image image:purged bundle
";

/// Installs a package with capabilities and creates entries of many modes and types.
const INSTALLED: &str = "
apt-get -qq download libcap2-bin
mv libcap2-bin*.deb bundle/rootfs/tmp
cd bundle/rootfs
chroot . sh -c 'dpkg -i /tmp/*.deb && rm /tmp/*.deb'
cp usr/bin/dash usr/local/bin/listen
chroot . setcap cap_net_raw,cap_net_bind_service+ep /usr/local/bin/listen
cp usr/bin/true usr/local/bin/as-root
chmod 4755 usr/local/bin/as-root
mkdir -m 1777 srv/open
mkdir -m 2775 srv/shared
chown 1000:50 srv/shared
echo x > srv/shared/file
ln srv/shared/file srv/shared/again
mkfifo -m 600 srv/pipe
mknod -m 660 srv/disk b 8 1
touch -d @1234567890.123456789 srv/shared/file
rm usr/share/common-licenses
mkdir usr/share/common-licenses
echo x > usr/share/common-licenses/other
cd ../..
umoci repack --refresh-bundle --image image:installed bundle
";

/// Entries that no directory diff has: opaque directories, and hard links into lower layers, also through a symlink.
const TOP: &str = "
umoci raw add-layer --image image:installed --tag top top.tar
rm -r top.tar bundle
umoci unpack --image image:top umoci
";

/// An image, and the tree that umoci unpacks from it.
pub(crate) struct Debian {
    dir: TempDir,
    /// The tree that umoci unpacks from all layers.
    pub(crate) tree: Vec<Node>,
}

impl Debian {
    /// Returns the image of this process, built on first use; `None`, with a message, if the test has to be skipped.
    pub(crate) fn get(test: &str) -> Option<&'static Self> {
        // If it cannot be built, each test that needs it fails immediately.
        static MADE: LazyLock<Debian> = LazyLock::new(Debian::make);
        let can_be_made = is_root(test) && may_fetch(test) && needs(test, PROGRAMS);
        can_be_made.then(|| &*MADE)
    }

    fn make() -> Self {
        let dir = scratch();
        for step in [BASE, PURGED, INSTALLED] {
            run(dir.path(), step);
        }
        std::fs::write(dir.path().join("top.tar"), tar(&top(&dir.path().join("bundle/rootfs"))))
            .unwrap();
        run(dir.path(), TOP);
        let tree = nodes(&dir.path().join("umoci/rootfs"), &[]);
        Self { dir, tree }
    }

    /// Returns an OCI layout in which `top` has all layers and `installed`, `purged` and `base` one less each.
    pub(crate) fn layout(&self) -> PathBuf {
        self.dir.path().join("image")
    }
}

fn top(below: &Path) -> Vec<TarItem> {
    // As in tars: the entry of a hard link repeats the metadata of the file.
    let hardlink = |name: &str, target: &str| {
        let found = below.join(target).symlink_metadata().unwrap();
        let mtime = format!("{}.{:09}", found.mtime(), found.mtime_nsec());
        TarItem::hardlink(name, target).mode(found.mode() & 0o7777).pax("mtime", mtime)
    };
    vec![
        TarItem::dir("etc").mtime(2000),
        TarItem::whiteout("etc/skel"),
        TarItem::whiteout("etc/shells"),
        TarItem::dir("etc/alternatives").mtime(2001),
        TarItem::file("etc/alternatives/.wh..wh..opq", ""),
        TarItem::symlink("etc/alternatives/pager", "/usr/bin/sed"),
        TarItem::dir("usr/local/bin").mtime(2002),
        hardlink("usr/local/bin/stream", "usr/bin/sed"),
        hardlink("usr/local/bin/shell", "bin/dash"),
        hardlink("usr/local/bin/linked", "bin/sh"),
    ]
}

fn run(dir: &Path, lines: &str) {
    let output = Command::new("sh").args(["-euc", lines]).current_dir(dir).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{lines}\n{told}");
}
