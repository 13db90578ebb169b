//! Docker archives in every form that tools write, and malformed ones.

use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::Source as _;
use rpull::error::ErrorKind;
use rpull::name::ImageName;
use serde_json::json;

use super::{app, gzip, read, written};
use crate::support::images::{Family, Image, image, layer, random_blob, uncompressed};
use crate::support::tars::{Entry, classic, file, layout, manifest, symlink, tar};

#[tokio::test]
async fn docker_archive_every_layout_reads_same_image() {
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
        // As containerify writes it.
        vec![
            config.clone(),
            file("b.tar.gz", gzip(base_tar)),
            file("t.tar.gz", gzip(top_tar)),
            manifest(
                &json!([{"config": config_name, "repoTags": ["app:1"], "layers": ["b.tar.gz", "t.tar.gz"]}]),
            ),
        ],
        // The digest decides between two entries of one name.
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
async fn docker_hybrid_archive_reads_as_oci_layout() {
    let held = app();
    let digest = held.manifest.digest().to_string();
    let hybrid = [layout(&held, Some("app:1")), classic(&held, &["app:1"])].concat();
    for form in [ArchiveFormat::Oci, ArchiveFormat::Docker] {
        assert_eq!(read(&tar(&hybrid), form).await.unwrap(), digest);
    }
    // As docker 25 saves an image by its id: a layout with an empty list.
    let empty = [
        file("index.json", r#"{"schemaVersion":2,"manifests":null}"#),
        layout(&held, None).pop().unwrap(),
    ];
    let hybrid = [empty.to_vec(), classic(&held, &[])].concat();
    let digest = uncompressed(&held).manifest.digest().to_string();
    assert_eq!(read(&tar(&hybrid), ArchiveFormat::Docker).await.unwrap(), digest);
}

#[tokio::test]
async fn docker_archive_several_images_requires_name() {
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
    let (_dir, path) = written(&bytes);
    let archive = Archive::open(&path, Some(ArchiveFormat::Docker)).unwrap();
    let refusal = archive.resolve(&ImageName::Only).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::InvalidInput);
    let list = "contains several images: docker.io/library/app:1, ghcr.io/org/app:2";
    assert!(refusal.to_string().contains(list), "{refusal}");
    for (name, image) in [("app:1", &plain[0]), ("ghcr.io/org/app:2", &plain[1])] {
        let document = archive.resolve(&ImageName::Layout(name.into())).await.unwrap();
        assert_eq!(document.digest(), image.manifest.digest());
    }
    let missing = archive.resolve(&ImageName::Layout("app:3".into())).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

/// Asserts that opening or reading a docker archive of these entries fails like this.
async fn refused(entries: &[Entry], kind: ErrorKind, why: &str) {
    let refusal = read(&tar(entries), ArchiveFormat::Docker).await.unwrap_err();
    let text = refusal.chain();
    assert!(text.contains(why), "no `{why}` in: {text}");
    assert_eq!(refusal.kind(), kind, "{text}");
}

#[tokio::test]
async fn docker_archive_malformed_is_rejected() {
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
    refused(&[manifest(&json!(null))], store, "is corrupt: null").await;
    refused(&[manifest(&json!([]))], ErrorKind::NotFound, "contains no images").await;
    refused(&[file("manifest.json", "[{")], store, "is corrupt").await;
    refused(&[manifest(&json!([[config_name, [], []]]))], store, "is corrupt").await;
    refused(
        &with(&["l0/layer.tar"], &[]),
        store,
        "layer count mismatch: manifest has 1, config has 2",
    )
    .await;
    refused(
        &with(&["l1/layer.tar", "l0/layer.tar"], &[]),
        ErrorKind::Mismatch,
        "digest mismatch: got",
    )
    .await;
    refused(&with(&["l0/layer.tar", "absent"], &[]), store, "is missing").await;
    refused(&with(&["l0/layer.tar", "../../etc/passwd"], &[]), store, "points outside").await;
    let out = [symlink("out", "../../../etc/passwd"), symlink("round", "round")];
    refused(&with(&["l0/layer.tar", "out"], &out), store, "points outside").await;
    refused(&with(&["l0/layer.tar", "round"], &out), store, "a link to a missing file").await;
    refused(&[entries.as_slice(), std::slice::from_ref(names)].concat(), store, "appears twice")
        .await;
    refused(&[entries.as_slice(), std::slice::from_ref(config)].concat(), store, "appears twice")
        .await;
    let cut = gzip(&uncompressed(&held).layers[1].bytes);
    let cut = [file("cut", &cut[..cut.len() - 4])];
    refused(&with(&["l0/layer.tar", "cut"], &cut), store, "unreadable").await;
    let other = ErrorKind::Unsupported;
    refused(&with(&["l0/layer.tar", "xz"], &[file("xz", *b"\xfd7zXZ\0..")]), other, "with xz")
        .await;
}
