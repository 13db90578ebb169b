//! Blobs of real encoders. What comes out is what they wrote, and a model predicts all or almost all of it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rpull::rebuild::{Encoder, Family, Record, fit, replay_with};

use super::{inflate, mixed, rebuilt};
use crate::support::live::needs;

/// Compresses with the level that is its argument.
const PYTHON: &str = "import gzip, sys; \
    sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(), int(sys.argv[1]), mtime=0))";

/// Sends bytes through a program.
pub(super) fn filter(program: &str, args: &[&str], plain: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain");
    std::fs::write(&path, plain).unwrap();
    let output = Command::new(program)
        .args(args)
        .stdin(std::fs::File::open(path).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {args:?}");
    output.stdout
}

/// Rebuilds the blob with a model of the family, and at most so many bytes of corrections.
pub(super) fn assert_predicted(blob: &[u8], family: Family, most: u64) -> Record {
    let record = rebuilt(blob);
    assert_eq!(record.encoder().family, family, "{record:?}");
    assert!(record.correction_bytes() <= most, "{record:?}");
    assert!(record.as_bytes().len() < blob.len() / 100 + 1000, "{record:?}");
    assert_eq!(encoder_by_start(blob), record.encoder(), "{} bytes", blob.len());
    record
}

/// As [`assert_predicted`], of a parallel encoder whose pieces threads predict.
fn assert_predicted_in_pieces(blob: &[u8], piece: u64) {
    let record = assert_predicted(blob, Family::B, 0);
    assert_eq!((record.encoder().piece, record.corrections()), (Some(piece), 0));
    for threads in [2, 4] {
        let rebuilt = replay_with(&inflate(blob)[..], &record, Vec::new(), threads).unwrap();
        assert!(rebuilt == blob, "{threads} threads");
    }
}

/// Rebuilds a blob of an encoder without a model, which costs at most an eighth of it.
pub(super) fn assert_corrected(blob: &[u8]) {
    let record = rebuilt(blob);
    assert!(record.correction_bytes() < blob.len() as u64 / 8, "{record:?}");
    assert_eq!(encoder_by_start(blob).family, Family::Unknown, "{record:?}");
}

/// The encoder by the first 256 KiB.
fn encoder_by_start(blob: &[u8]) -> Encoder {
    let fit = fit(&blob[..blob.len().min(256 << 10)]);
    assert!(!fit.is_ambiguous, "{fit:?}");
    fit.encoder()
}

#[test]
fn encoder_is_known_by_first_256_kib() {
    if !needs("encoder_is_known_by_first_256_kib", &["gzip", "pigz", "python3"]) {
        return;
    }
    let plain = mixed(24, 2_000_000);
    for level in [1, 6, 9] {
        let option = format!("-{level}");
        let mut blobs = vec![
            filter("gzip", &["-c", "-n", &option], &plain),
            filter("python3", &["-c", PYTHON, &level.to_string()], &plain),
        ];
        // Level 1 of pigz differs from that of zlib in more than 1 % of the matches.
        if level > 1 {
            blobs.push(filter("pigz", &["-c", "-n", &option], &plain));
        }
        for blob in blobs {
            assert!(blob.len() > 400_000, "{}", blob.len());
            let encoder = encoder_by_start(&blob);
            assert_eq!((encoder.family, encoder.level), (Family::Z, level));
        }
    }
}

#[test]
fn rebuild_gzip_needs_few_corrections() {
    if !needs("rebuild_gzip_needs_few_corrections", &["gzip"]) {
        return;
    }
    let plain = mixed(21, 200_000);
    for level in [1, 2, 3, 4, 5, 6, 7, 8, 9] {
        let blob = filter("gzip", &["-c", "-n", &format!("-{level}")], &plain);
        assert_predicted(&blob, Family::Z, 400);
    }
}

#[test]
fn rebuild_pigz_needs_few_corrections() {
    if !needs("rebuild_pigz_needs_few_corrections", &["pigz"]) {
        return;
    }
    let plain = mixed(22, 600_000);
    for level in [6, 9] {
        let blob = filter("pigz", &["-c", "-n", "-p", "2", &format!("-{level}")], &plain);
        let record = assert_predicted(&blob, Family::Z, 1000);
        assert_eq!(record.encoder().piece, Some(128 << 10));
    }
}

#[test]
fn rebuild_python_needs_few_corrections() {
    if !needs("rebuild_python_needs_few_corrections", &["python3"]) {
        return;
    }
    let plain = mixed(23, 200_000);
    for level in [1, 6, 9] {
        let blob = filter("python3", &["-c", PYTHON, &level.to_string()], &plain);
        assert_predicted(&blob, Family::Z, 400);
    }
}

#[test]
fn rebuild_node_needs_corrections() {
    let node = "const blob = require('zlib').gzipSync(require('fs').readFileSync(0)); \
        process.stdout.write(blob)";
    if Command::new("node").arg("--version").output().is_err() {
        // Machines with the other programs may lack it. Not through the test harness, which captures output.
        writeln!(std::io::stderr(), "left out: rebuild_node_needs_corrections: no node").unwrap();
        return;
    }
    assert_corrected(&filter("node", &["-e", node], &mixed(25, 200_000)));
}

/// Writes a tar of a few files, and what `docker save` writes of an image whose only layer it is.
fn write_archive(dir: &Path) -> Vec<u8> {
    let header = |size| {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header
    };
    let mut layer = tar::Builder::new(Vec::new());
    for (seed, size) in [(31, 700_000), (32, 70_000), (33, 300), (34, 400_000)] {
        let bytes = mixed(seed, size);
        layer.append_data(&mut header(size as u64), format!("file-{seed}"), &bytes[..]).unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let diff_id = rpull::Digest::sha256(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let manifest = r#"[{"Config":"config.json","RepoTags":["a:1"],"Layers":["layer.tar"]}]"#;
    let mut archive = tar::Builder::new(std::fs::File::create(dir.join("image.tar")).unwrap());
    for (name, bytes) in [
        ("layer.tar", &layer[..]),
        ("config.json", config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        archive.append_data(&mut header(bytes.len() as u64), name, bytes).unwrap();
    }
    archive.finish().unwrap();
    std::fs::write(dir.join("layer.tar"), &layer).unwrap();
    layer
}

/// The largest blob of the layout `out`, which a script writes in the directory.
fn largest_blob(dir: &Path, script: &str) -> Vec<u8> {
    let status = Command::new("sh").args(["-euc", script]).current_dir(dir).status().unwrap();
    assert!(status.success(), "{script}");
    let blobs = std::fs::read_dir(dir.join("out/blobs/sha256")).unwrap();
    let blobs = blobs.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    blobs.max_by_key(Vec::len).unwrap()
}

#[test]
fn rebuild_skopeo_needs_no_corrections() {
    if !needs("rebuild_skopeo_needs_no_corrections", &["skopeo"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_archive(dir.path());
    let script = "skopeo --insecure-policy copy -q docker-archive:image.tar oci:out:a";
    assert_predicted_in_pieces(&largest_blob(dir.path(), script), 1 << 20);
}

#[test]
fn rebuild_umoci_needs_no_corrections() {
    if !needs("rebuild_umoci_needs_no_corrections", &["umoci"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_archive(dir.path());
    let script = "umoci init --layout out; umoci new --image out:a; umoci raw add-layer --image out:a layer.tar";
    assert_predicted_in_pieces(&largest_blob(dir.path(), script), 256 << 10);
}
