//! Sparse files, and the tars that GNU tar creates from them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

/// GNU tar's options for each sparse format.
pub(crate) const FORMS: [&[&str]; 4] = [
    &["--format=gnu"],
    &["--format=posix", "--sparse-version=0.0"],
    &["--format=posix", "--sparse-version=0.1"],
    &["--format=posix", "--sparse-version=1.0"],
];

/// Creates files that begin or end with a hole, consist of one, or have very many.
pub(crate) fn make_files(dir: &Path) {
    let make = |name: &str, size: u64, pieces: &[(u64, &[u8])]| {
        let file = File::create(dir.join(name)).unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).unwrap();
        }
    };
    let page = [b'x'; 4096];
    make("first", 1 << 20, &[(0, &page)]);
    make("last", (1 << 20) + 3, &[((1 << 20) - 4096, &page), (1 << 20, b"end")]);
    make("empty", 3 << 20, &[]);
    make("odd", 70_001, &[(20_480, b"odd"), (40_960, &page)]);
    make(&"n".repeat(150), 1 << 20, &[(500_000, b"long")]);
    let many: Vec<_> = (0..700).map(|n| (n * 16_384, &b"piece"[..])).collect();
    make("many", 12 << 20, &many);
    std::fs::write(dir.join("plain"), "plain").unwrap();
    std::fs::hard_link(dir.join("first"), dir.join("linked")).unwrap();
}

/// Returns the tar of a directory in this sparse format.
pub(crate) fn sparse_gnu_tar(dir: &Path, form: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--sparse", "--hole-detection=raw", "--sort=name"])
        .args(form)
        .args(["-cf", "-", "-C"])
        .arg(dir)
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}
