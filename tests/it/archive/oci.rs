//! OCI archives and the tars they are in: malformed, ambiguous, damaged.

use rpull::archive::{Archive, ArchiveFormat};
use rpull::error::{Error, ErrorKind};

use super::{app, gzip, read, written};
use crate::support::images::{Family, image, layer};
use crate::support::tars::{Entry, file, layout, long, tar};

fn refusal(bytes: &[u8], form: ArchiveFormat) -> Error {
    let (_dir, path) = written(bytes);
    Archive::open(&path, Some(form)).unwrap_err()
}

#[tokio::test]
async fn oci_archive_malformed_is_rejected() {
    let held = app();
    let refused = async |entries: &[Entry], kind: ErrorKind, why: &str| {
        let refusal = read(&tar(entries), ArchiveFormat::Oci).await.unwrap_err();
        assert!(refusal.chain().contains(why), "no `{why}` in: {}", refusal.chain());
        assert_eq!(refusal.kind(), kind, "{}", refusal.chain());
    };
    let entries = layout(&held, None);
    let store = ErrorKind::Store;
    refused(&entries[..entries.len() - 1], store, "has no oci-layout").await;
    refused(&[entries.last().unwrap().clone()], store, "has no index.json").await;
    refused(&[file("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#)], store, "version 2.0.0")
        .await;
    let twice = [entries.clone(), vec![file("index.json", "{}")]].concat();
    refused(&twice, store, "appears twice").await;
    let index = |text: &str| vec![file("index.json", text), entries.last().unwrap().clone()];
    for bad in [
        "",
        "null",
        "[2,[]]",
        r#"{"schemaVersion":1,"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[{}]}"#,
    ] {
        refused(&index(bad), store, "is corrupt").await;
    }
    let escape = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"sha256:../../../etc/passwd"}]}"#;
    refused(&index(escape), store, "is corrupt").await;
    let mut wrong = entries.clone();
    let Entry::File(_, bytes) = &mut wrong[0] else { panic!("the config") };
    bytes[0] = b' ';
    refused(&wrong, ErrorKind::Mismatch, "digest mismatch: got").await;
    let mut large = entries.clone();
    large[3] =
        file(&format!("blobs/sha256/{}", held.manifest.digest().encoded()), vec![b' '; 5 << 20]);
    refused(&large, ErrorKind::InvalidDocument, "the limit").await;
}

#[test]
fn tar_malformed_is_rejected() {
    let good = tar(&layout(&app(), None));
    let mut damaged = good.clone();
    damaged[3 << 9] ^= 1;
    let pax = |key, value: &str| Entry::Pax(vec![(key, value.to_owned())]);
    let huge = [long(2 << 20, b'L'), vec![b'a'; 2 << 20]].concat();
    let name = [long(5 << 10, b'L'), vec![b'a'; 5 << 10]].concat();
    for (bytes, why) in [
        (Vec::new(), "is empty"),
        (vec![b'x'; 4096], "is not a tar"),
        (vec![b'x'; 100], "is not a tar"),
        (good[..good.len() / 2].to_vec(), "unexpected end of tar"),
        (damaged, "invalid tar header"),
        (tar(&[Entry::Raw(huge)]), "a header that is too large"),
        (tar(&[Entry::Raw(name), file("a", "")]), "a name that is too long"),
        (tar(&[Entry::Raw(long(u64::MAX / 4, b'0'))]), "unexpected end of tar"),
        (tar(&[Entry::Raw(long(u64::MAX, b'0'))]), "invalid size"),
        // Two readers would see different entries.
        (
            tar(&[pax("size", "0"), file("a", tar(&[file("hidden", "x")]))]),
            "conflicting sizes for one entry",
        ),
        (tar(&[pax("size", "-1"), file("a", "")]), "a malformed number in a PAX header"),
        (gzip(&good)[..200].to_vec(), "read the archive"),
    ] {
        let refusal = refusal(&bytes, ArchiveFormat::Oci);
        assert!(refusal.chain().contains(why), "no `{why}` in: {}", refusal.chain());
        assert_eq!(refusal.kind(), ErrorKind::Store);
    }
}

#[tokio::test]
async fn pax_header_applies_past_long_name_header() {
    let held = app();
    let digest = held.manifest.digest().to_string();
    let mut entries = layout(&held, None);
    let Entry::File(name, bytes) = entries.remove(0) else { panic!("the config") };
    let name = format!("{}{name}", "./".repeat(60));
    let size = bytes.len().to_string();
    // What PAX says is about the entry, not about this header between them (CVE-2025-62518).
    let mut between = [long(name.len() as u64, b'L'), name.clone().into_bytes()].concat();
    between.resize(1024, 0);
    entries.push(Entry::Pax(vec![("path", name), ("mtime", "1.5".to_owned()), ("size", size)]));
    entries.push(Entry::Raw(between));
    entries.push(Entry::File("short".into(), bytes));
    assert_eq!(read(&tar(&entries), ArchiveFormat::Oci).await.unwrap(), digest);
}

#[tokio::test]
async fn oci_archive_flipped_bit_never_changes_image() {
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"1")])]);
    let good = tar(&layout(&held, None));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let mut bytes = good.clone();
        bytes[random.usize(..good.len())] ^= 1 << random.u8(..8);
        // Unused fields such as the owner may change; the image may not.
        if let Ok(digest) = read(&bytes, ArchiveFormat::Oci).await {
            assert_eq!(digest, held.manifest.digest().as_str());
        }
    }
}
