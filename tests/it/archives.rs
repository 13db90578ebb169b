//! Archives in every form that tools write, and in forms that only an attacker writes.

use std::io::Write as _;
use std::path::PathBuf;

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::Source as _;
use rpull::document::ParsedDocument;
use rpull::error::{Error, ErrorKind};
use rpull::name::ImageName;
use rpull::verifier::verify;
use serde_json::json;
use tempfile::TempDir;

use crate::support::images::{Family, Image, image, layer, random_blob, uncompressed};
use crate::support::tars::{Entry, classic, file, layout, long, manifest, symlink, tar};

fn app() -> Image {
    let layers = [layer(&[("base", &random_blob(9_000, 1))]), layer(&[("app", b"2")])];
    image(Family::Docker, "amd64", &layers)
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn refusal(bytes: &[u8], form: ArchiveFormat) -> Error {
    let (_folder, path) = written(bytes);
    Archive::open(&path, Some(form)).unwrap_err()
}

/// Everything of the only image, verified; gives the digest of its manifest.
async fn read_all(archive: &Archive) -> Result<String, Error> {
    let document = archive.resolve(&ImageName::Only).await?;
    let ParsedDocument::Manifest(manifest) = document.content() else { panic!("one platform") };
    for blob in manifest.blobs() {
        let body = archive.blob(blob, 0).await?;
        let bytes = body.stream.try_collect::<BytesMut>().await?;
        verify(blob, &bytes)?;
    }
    Ok(document.digest().to_string())
}

async fn read(bytes: &[u8], form: ArchiveFormat) -> Result<String, Error> {
    let (_folder, path) = written(bytes);
    read_all(&Archive::open(&path, Some(form))?).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_form_of_a_docker_archive_is_the_same_image() {
    let held = app();
    let plain = uncompressed(&held);
    let digest = plain.manifest.digest().to_string();
    let entries = classic(&held, &["app:1"]);
    let [config, base, top, names] = entries.as_slice() else { panic!("four entries") };
    let config_name = format!("{}.json", held.config.digest().encoded());
    let listed = |layers: [&str; 2]| manifest(&json!([{"Config": config_name, "Layers": layers}]));
    let [base_tar, top_tar] = [0, 1].map(|at| &plain.layers[at].bytes[..]);
    let archives = [
        entries.clone(),
        vec![names.clone(), top.clone(), base.clone(), config.clone()],
        vec![
            file(&format!("./{config_name}"), &held.config.bytes[..]),
            file("./b.tar", base_tar),
            file("./t//tar", top_tar),
            listed(["b.tar", "./t/tar"]),
        ],
        // As skopeo writes it.
        vec![
            symlink("id/layer.tar", "../b.tar"),
            Entry::Hardlink("t2".into(), "t.tar".into()),
            config.clone(),
            file("b.tar", base_tar),
            file("t.tar", top_tar),
            listed(["id/layer.tar", "t2"]),
        ],
        vec![
            config.clone(),
            file("b", gzip(base_tar)),
            file("t", zstd::encode_all(top_tar, 1).unwrap()),
            listed(["b", "t"]),
        ],
        // Of a layer with two names the digest decides.
        vec![
            config.clone(),
            file("b", "old"),
            file("b", base_tar),
            file("t", top_tar),
            listed(["b", "t"]),
        ],
    ];
    for entries in archives {
        let bytes = tar(&entries);
        for bytes in [bytes.clone(), gzip(&bytes), zstd::encode_all(&bytes[..], 1).unwrap()] {
            assert_eq!(read(&bytes, ArchiveFormat::Docker).await.unwrap(), digest, "{entries:?}");
        }
    }
    let mut without_end = tar(&entries);
    without_end.truncate(without_end.len() - 1024);
    assert_eq!(read(&without_end, ArchiveFormat::Docker).await.unwrap(), digest);
}

#[tokio::test]
async fn dockers_hybrid_form_is_read_as_the_layout_that_it_is() {
    let held = app();
    let digest = held.manifest.digest().to_string();
    let hybrid = [layout(&held, Some("app:1")), classic(&held, &["app:1"])].concat();
    for form in [ArchiveFormat::Oci, ArchiveFormat::Docker] {
        assert_eq!(read(&tar(&hybrid), form).await.unwrap(), digest);
    }
    // As docker 25 saved an image by its id: a layout that lists nothing.
    let empty = [
        file("index.json", r#"{"schemaVersion":2,"manifests":null}"#),
        layout(&held, None).pop().unwrap(),
    ];
    let hybrid = [empty.to_vec(), classic(&held, &[])].concat();
    let digest = uncompressed(&held).manifest.digest().to_string();
    assert_eq!(read(&tar(&hybrid), ArchiveFormat::Docker).await.unwrap(), digest);
}

#[tokio::test]
async fn of_several_images_one_is_named() {
    let [one, other] = [1_u64, 2]
        .map(|seed| image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(50, seed))])]));
    let item = |image: &Image, tag: &str, at: usize| json!({"Config": format!("c{at}"), "RepoTags": [tag], "Layers": [format!("l{at}")], "x": image.size()});
    let plain = [&one, &other].map(uncompressed);
    let bytes = tar(&[
        manifest(&json!([item(&one, "app:1", 0), item(&other, "ghcr.io/org/app:2", 1)])),
        file("c0", &one.config.bytes[..]),
        file("c1", &other.config.bytes[..]),
        file("l0", &plain[0].layers[0].bytes[..]),
        file("l1", &plain[1].layers[0].bytes[..]),
    ]);
    let (_folder, path) = written(&bytes);
    let archive = Archive::open(&path, Some(ArchiveFormat::Docker)).unwrap();
    let refusal = archive.resolve(&ImageName::Only).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::InvalidInput);
    let list = "name one: docker.io/library/app:1, ghcr.io/org/app:2";
    assert!(refusal.to_string().contains(list), "{refusal}");
    for (name, image) in [("app:1", &plain[0]), ("ghcr.io/org/app:2", &plain[1])] {
        let document = archive.resolve(&ImageName::Layout(name.into())).await.unwrap();
        assert_eq!(document.digest(), image.manifest.digest());
    }
    let missing = archive.resolve(&ImageName::Layout("app:3".into())).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

/// What a docker archive of these entries is refused for, if not at once, then when its image is read.
async fn refused(entries: &[Entry], kind: ErrorKind, why: &str) {
    let refusal = read(&tar(entries), ArchiveFormat::Docker).await.unwrap_err();
    let text = refusal.chain();
    assert!(text.contains(why), "no `{why}` in: {text}");
    assert_eq!(refusal.kind(), kind, "{text}");
}

#[tokio::test]
async fn hostile_docker_archives_are_refused() {
    let held = app();
    let entries = classic(&held, &["app:1"]);
    let [config, base, top, names] = entries.as_slice() else { panic!("four entries") };
    let config_name = format!("{}.json", held.config.digest().encoded());
    let with = |layers: &[&str], more: &[Entry]| {
        let names = manifest(&json!([{"Config": config_name, "Layers": layers}]));
        [more, &[names, config.clone(), base.clone(), top.clone()]].concat()
    };
    let store = ErrorKind::Store;
    refused(&[config.clone(), base.clone()], store, "has no manifest.json").await;
    refused(&[manifest(&json!(null))], store, "is null").await;
    refused(&[manifest(&json!([]))], ErrorKind::NotFound, "holds none").await;
    refused(&[file("manifest.json", "[{")], store, "is damaged").await;
    refused(&[manifest(&json!([[config_name, [], []]]))], store, "is damaged").await;
    refused(&with(&["l0/layer.tar"], &[]), store, "names 1 layers, its config 2").await;
    refused(
        &with(&["l1/layer.tar", "l0/layer.tar"], &[]),
        ErrorKind::Mismatch,
        "the bytes have digest",
    )
    .await;
    refused(&with(&["l0/layer.tar", "absent"], &[]), store, "is missing").await;
    refused(&with(&["l0/layer.tar", "../../etc/passwd"], &[]), store, "leads out").await;
    let out = [symlink("out", "../../../etc/passwd"), symlink("round", "round")];
    refused(&with(&["l0/layer.tar", "out"], &out), store, "leads out").await;
    refused(&with(&["l0/layer.tar", "round"], &out), store, "leads nowhere").await;
    refused(&[entries.as_slice(), std::slice::from_ref(names)].concat(), store, "is there twice")
        .await;
    refused(&[entries.as_slice(), std::slice::from_ref(config)].concat(), store, "is there twice")
        .await;
    let cut = gzip(&uncompressed(&held).layers[1].bytes);
    let cut = [file("cut", &cut[..cut.len() - 4])];
    refused(&with(&["l0/layer.tar", "cut"], &cut), store, "cannot be read").await;
    let other = ErrorKind::Unsupported;
    refused(&with(&["l0/layer.tar", "xz"], &[file("xz", *b"\xfd7zXZ\0..")]), other, "with xz")
        .await;
}

#[tokio::test]
async fn hostile_layouts_are_refused() {
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
    refused(&twice, store, "is there twice").await;
    let index = |text: &str| vec![file("index.json", text), entries.last().unwrap().clone()];
    for bad in [
        "",
        "null",
        "[2,[]]",
        r#"{"schemaVersion":1,"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[{}]}"#,
    ] {
        refused(&index(bad), store, "is damaged").await;
    }
    let escape = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"sha256:../../../etc/passwd"}]}"#;
    refused(&index(escape), store, "is damaged").await;
    let mut wrong = entries.clone();
    let Entry::File(_, bytes) = &mut wrong[0] else { panic!("the config") };
    bytes[0] = b' ';
    refused(&wrong, ErrorKind::Mismatch, "the bytes have digest").await;
    let mut large = entries.clone();
    large[3] =
        file(&format!("blobs/sha256/{}", held.manifest.digest().encoded()), vec![b' '; 5 << 20]);
    refused(&large, ErrorKind::InvalidDocument, "the limit").await;
}

#[test]
fn hostile_tars_are_refused() {
    let good = tar(&layout(&app(), None));
    let mut damaged = good.clone();
    damaged[3 << 9] ^= 1;
    let pax = |key, value: &str| Entry::Pax(vec![(key, value.to_owned())]);
    let huge = [long(2 << 20, b'L'), vec![b'a'; 2 << 20]].concat();
    let name = [long(5 << 10, b'L'), vec![b'a'; 5 << 10]].concat();
    for (bytes, why) in [
        (Vec::new(), "is empty"),
        (vec![b'x'; 4096], "is no tar"),
        (vec![b'x'; 100], "is no tar"),
        (good[..good.len() / 2].to_vec(), "is cut off"),
        (damaged, "what should be a header is none"),
        (tar(&[Entry::Raw(huge)]), "a header that is too large"),
        (tar(&[Entry::Raw(name), file("a", "")]), "a name that is too long"),
        (tar(&[Entry::Raw(long(u64::MAX / 4, b'0'))]), "is cut off"),
        (tar(&[Entry::Raw(long(u64::MAX, b'0'))]), "impossible size"),
        // Two readers would see two lists of entries.
        (
            tar(&[pax("size", "0"), file("a", tar(&[file("hidden", "x")]))]),
            "two sizes of one entry",
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
async fn what_stands_ahead_is_about_the_entry_and_not_about_other_headers() {
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
async fn no_flipped_bit_passes_or_panics() {
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"1")])]);
    let good = tar(&layout(&held, None));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let mut bytes = good.clone();
        bytes[random.usize(..good.len())] ^= 1 << random.u8(..8);
        // What says nothing, as the owner of an entry, is free to change; the image is not.
        if let Ok(digest) = read(&bytes, ArchiveFormat::Oci).await {
            assert_eq!(digest, held.manifest.digest().as_str());
        }
    }
}
