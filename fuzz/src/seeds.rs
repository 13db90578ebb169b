//! What fuzzing begins with: the cases of the project's tables.

use std::path::Path;

use rpull::digest::Digest;

use crate::support::layer_cases::{cases, item};
use crate::support::tar_item::{TarItem, sparse, tar, tar_without_trailer};

/// Names and bytes of the first inputs, from `tests/layers`.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/layers");
    let mut seeds = Vec::new();
    for table in ["apply.tsv", "overlay.tsv"] {
        let table = std::fs::read_to_string(tables.join(table)).unwrap();
        for case in cases(&table) {
            let layers = case.lines.split(|words| words[0] == "layer");
            let tars: Vec<_> = layers
                .map(|lines| lines.iter().filter_map(|words| item(words)).collect())
                .collect();
            let tars: Vec<_> = tars.iter().map(|items: &Vec<TarItem>| tar(items)).collect();
            seeds.push((case.id.to_owned(), tars.concat()));
        }
    }
    for entry in std::fs::read_dir(tables.join("compression")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // What is larger is slow, and no better.
        if let Ok(bytes) = std::fs::read(&path)
            && bytes.len() < 20_000
        {
            seeds.push((name, bytes));
        }
    }
    let odd = [
        TarItem::file("f", "x").mode(0o4755).owner(7, 8).xattr("user.a", "1").pax("mtime", "1.5"),
        TarItem::dir("d").mode(0o2700).xattr("security.capability", "x"),
        TarItem::file("d/".repeat(60) + "long", "").pax("path", "pax"),
        TarItem::symlink("l", "t".repeat(150)),
        TarItem::device(b'3', "null", 1, 3),
        TarItem::new(b'6', "pipe"),
    ];
    seeds.push(("kinds".to_owned(), tar(&odd)));
    let holes =
        sparse("s", &[(0, 3), (4096, 2), (8192, 1), (9000, 0), (9000, 0)], 10_000, b"abcdef");
    seeds.push(("sparse".to_owned(), [holes, tar_without_trailer(&odd)].concat()));
    seeds
}

/// The first inputs that are archives: a layout, what `docker save` writes, and both in one.
pub fn archive_seeds() -> Vec<(String, Vec<u8>)> {
    let layer = tar(&[TarItem::file("f", "x"), TarItem::symlink("l", "f")]);
    let hex = |bytes: &[u8]| Digest::sha256(bytes).to_string()["sha256:".len()..].to_owned();
    let blob = |bytes: &[u8]| TarItem::file(format!("blobs/sha256/{}", hex(bytes)), bytes);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#,
        hex(&layer)
    );
    let descriptor = |kind: &str, bytes: &[u8]| {
        let start = format!(r#""mediaType":"application/vnd.oci.image.{kind}""#);
        format!(r#"{start},"digest":"sha256:{}","size":{}"#, hex(bytes), bytes.len())
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{{}}},"layers":[{{{}}}]}}"#,
        descriptor("config.v1+json", config.as_bytes()),
        descriptor("layer.v1.tar", &layer)
    );
    let entry = descriptor("manifest.v1+json", manifest.as_bytes());
    let name = r#""annotations":{"org.opencontainers.image.ref.name":"docker.io/library/a:1"}"#;
    let layout = [
        TarItem::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        blob(&layer),
        blob(config.as_bytes()),
        blob(manifest.as_bytes()),
        TarItem::file(
            "index.json",
            format!(r#"{{"schemaVersion":2,"manifests":[{{{entry},{name}}}]}}"#),
        ),
    ];
    let saved = |config: &str, layer: &str| {
        let text = format!(r#"[{{"Config":"{config}","RepoTags":["a:1"],"Layers":["{layer}"]}}]"#);
        TarItem::file("manifest.json", text)
    };
    let docker = [
        TarItem::file("c.json", &config),
        TarItem::file("l/layer.tar", &layer),
        TarItem::symlink("m/layer.tar", "../l/layer.tar"),
        saved("c.json", "m/layer.tar"),
    ];
    let places = [config.as_bytes(), &layer].map(|bytes| format!("blobs/sha256/{}", hex(bytes)));
    let both = [tar_without_trailer(&layout), tar(&[saved(&places[0], &places[1])])].concat();
    [("layout", tar(&layout)), ("docker", tar(&docker)), ("both", both)]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .to_vec()
}
