//! A real image of files of installed packages, as an OCI layout that `skopeo` reads and pushes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::images::{Blob, Family, Image, Index, Layer, gzip, image, index, layer, random_blob};

/// Two versions that differ in the last of three layers, and an index of two platforms.
pub(crate) struct RealImage {
    pub(crate) v1: Image,
    pub(crate) v2: Image,
    /// amd64 is `v1`; arm64 shares its first two layers.
    pub(crate) multi: Index,
    dir: TempDir,
}

impl RealImage {
    /// Returns the image of this process, built on first use.
    pub(crate) fn get() -> &'static Self {
        static MADE: OnceLock<RealImage> = OnceLock::new();
        MADE.get_or_init(Self::make)
    }

    fn make() -> Self {
        let base = gzip(&base_layer());
        let settings = layer(&[("etc/app/settings", b"colour = blue\n"), ("usr/bin/.wh.tac", b"")]);
        let app = |seed| {
            layer(&[
                ("app/data", &random_blob(200_000, seed)),
                ("app/version", seed.to_string().as_bytes()),
            ])
        };
        let stack = |architecture, top: Layer| {
            image(Family::Oci, architecture, &[base.clone(), settings.clone(), top])
        };
        let (v1, v2) = (stack("amd64", app(1)), stack("amd64", app(2)));
        let multi = index(Family::Oci, &[("amd64", v1.clone()), ("arm64", stack("arm64", app(3)))]);
        let made = Self { v1, v2, multi, dir: scratch() };
        made.write_layout();
        made
    }

    /// Returns an OCI layout with the names `v1`, `v2` and `multi`.
    pub(crate) fn layout(&self) -> &Path {
        self.dir.path()
    }

    /// Pushes one name to `host:port/repository:tag` with unchanged digests, by `skopeo copy` with these options.
    pub(crate) fn push(&self, name: &str, to: &str, options: &[&str]) {
        self.copy(name, to, &[&["--all", "--preserve-digests"], options].concat());
    }

    /// Pushes one name converted to Docker's media types, which changes the digests of manifest and config.
    pub(crate) fn push_docker(&self, name: &str, to: &str, options: &[&str]) {
        self.copy(name, to, &[&["--format", "v2s2"], options].concat());
    }

    fn copy(&self, name: &str, to: &str, options: &[&str]) {
        let output = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet"])
            .args(options)
            .arg(format!("oci:{}:{name}", self.layout().display()))
            .arg(format!("docker://{to}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "skopeo: {output:?}");
    }

    fn write_layout(&self) {
        let root = self.layout();
        let blobs = root.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let write = |piece: &Blob| {
            std::fs::write(blobs.join(piece.digest().encoded()), &piece.bytes).unwrap();
        };
        let images = [&self.v1, &self.v2].into_iter();
        for image in images.chain(&self.multi.images).chain(&self.multi.attestations) {
            image.blobs().for_each(write);
            write(&image.manifest);
        }
        write(&self.multi.document);
        let roots =
            [("v1", &self.v1.manifest), ("v2", &self.v2.manifest), ("multi", &self.multi.document)];
        let named = |(name, piece): (&str, &Blob)| -> Value {
            let mut entry = serde_json::to_value(&piece.descriptor).unwrap();
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
            entry
        };
        let index = json!({"schemaVersion": 2, "manifests": roots.map(named)});
        std::fs::write(root.join("index.json"), index.to_string()).unwrap();
        std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

/// Creates a directory named after this process and removes those of dead processes: statics are never dropped.
pub(crate) fn scratch() -> TempDir {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(parent).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name.strip_prefix("real-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another process may be removing it too.
            let _gone = std::fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("real-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).unwrap()
}

/// Returns the files of `bash` and `coreutils`, with a hard link, a set-uid file and a capability.
fn base_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    for path in package_files() {
        let inside = path.strip_prefix("/").unwrap();
        // Debian's own list predates merged /usr: /bin is a directory there and a link here.
        if path.is_dir() {
            tar.append_dir(inside, &path).unwrap();
        } else {
            tar.append_path_with_name(&path, inside).unwrap();
        }
    }
    let mut header = tar::Header::new_ustar();
    header.set_metadata(&Path::new("/bin/bash").metadata().unwrap());
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Link);
    tar.append_link(&mut header, "usr/local/bin/bash", "bin/bash").unwrap();

    append_program(&mut tar, "usr/local/bin/set-uid", 0o4755);
    // VFS_CAP_REVISION_2 with the effective bit, then cap_net_raw permitted.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    tar.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])]).unwrap();
    append_program(&mut tar, "usr/local/bin/ping", 0o755);
    tar.into_inner().unwrap()
}

fn append_program(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32) {
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mode(mode);
    tar.append_data(&mut header, path, &b"#!x\n"[..]).unwrap();
}

fn package_files() -> Vec<PathBuf> {
    let output = Command::new("dpkg").args(["-L", "bash", "coreutils"]).output().unwrap();
    assert!(output.status.success(), "dpkg: {output:?}");
    let list = String::from_utf8(output.stdout).unwrap();
    let mut paths: Vec<PathBuf> =
        list.lines().filter(|line| *line != "/.").map(PathBuf::from).collect();
    paths.sort();
    paths.dedup();
    // Debian images omit documentation: it is in the list, but not on the disk.
    paths.retain(|path| path.symlink_metadata().is_ok());
    paths
}
