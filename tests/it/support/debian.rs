//! A real Debian of four layers, made by its own tools: packages go and come, links and directories are replaced.

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

/// The packages that Debian cannot be without, of the release that runs here.
const BASE: &str = r#"
. /etc/os-release
mmdebstrap --quiet --variant=essential --dpkgopt='path-exclude=/usr/share/doc/*' "$VERSION_CODENAME" base.tar
umoci init --layout image
umoci new --image image:base
umoci raw add-layer --image image:base base.tar
rm base.tar
umoci unpack --image image:base bundle
"#;

/// Packages go, a link leads elsewhere, a directory becomes a link and a file a directory.
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

/// A package comes, with it capabilities, and there are modes and kinds of all sorts.
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

/// What no diff of directories has: opaque directories, and links into lower layers, by way of a link too.
const TOP: &str = "
umoci raw add-layer --image image:installed --tag top top.tar
rm -r top.tar bundle
umoci unpack --image image:top umoci
";

/// Such an image.
pub(crate) struct Debian {
    dir: TempDir,
    /// What umoci makes of the topmost layer and those below it.
    pub(crate) tree: Vec<Node>,
}

impl Debian {
    /// The image of this test process, made on first use; says where a test is left out without it.
    pub(crate) fn get(test: &str) -> Option<&'static Self> {
        // Where it cannot be made, each test that asks for it fails at once.
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

    /// An OCI layout in which the name `top` has all layers, `installed`, `purged` and `base` one less each.
    pub(crate) fn layout(&self) -> PathBuf {
        self.dir.path().join("image")
    }
}

fn top(below: &Path) -> Vec<TarItem> {
    // As tars have it: the link repeats what is said about the file.
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
