//! `copy --compression estargz`: the same files in layers that are read in part.

use std::collections::BTreeSet;
use std::io::{Cursor, Read as _};

use flate2::bufread::GzDecoder;
use rpull::digest::Digest;
use serde_json::{Value, json};

use crate::support::chunked::text;
use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image};

const LARGE: usize = 9 << 20;

/// Two layers with every kind of entry.
fn sample(family: Family) -> Image {
    let lower = layer_of(&[
        TarItem::dir("dir").mode(0o2755).owner(1, 70_000),
        TarItem::file("dir/large", text(LARGE, 1)),
        TarItem::file("dir/small", "small").mode(0o4755).xattr("user.a", b"\xffvalue"),
        TarItem::file("dir/empty", ""),
        TarItem::hardlink("hard", "dir/small"),
        TarItem::symlink("link", "dir/small"),
        TarItem::device(b'3', "null", 1, 3),
        TarItem::new(b'6', "pipe"),
        TarItem::file(format!("{}/{}", "d".repeat(200), "n".repeat(200)), "long"),
        TarItem::file("\u{e4} \"\\", "name"),
    ]);
    let upper = layer_of(&[
        TarItem::file("dir/other", text(100_000, 2)),
        TarItem::whiteout("dir/empty"),
        TarItem::file("dir2/.wh..wh..opq", ""),
    ]);
    image(family, "amd64", &[lower, upper])
}

async fn published(image: &Image) -> (FakeRegistry, Cli, String, String) {
    let registry = FakeRegistry::start().await;
    image.publish(&registry, "a", Some("1"));
    let (from, to) = (registry.repository("a:1"), registry.repository("a:estargz"));
    (registry, Cli::new(), from, to)
}

fn convert<'a>(from: &'a str, to: &'a str) -> [&'a str; 5] {
    ["copy", "--compression", "estargz", from, to]
}

/// The lines of `files --json`, without the files that only eStargz has, and without the numbers of layers.
async fn files(cli: &Cli, name: &str) -> BTreeSet<String> {
    let listed = cli.run(&["files", "--json", name]).await;
    let lines = listed.expect(0, "").stdout.lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own = ["/stargz.index.json", "/.no.prefetch.landmark"];
    let lines = lines.filter(|line| !own.iter().any(|own| line["path"] == **own));
    lines.filter(|line| line.get("path").is_some()).map(|line| line.to_string()).collect()
}

#[tokio::test]
async fn estargz_copy_is_read_by_table() {
    let (registry, cli, from, to) = published(&sample(Family::Oci)).await;
    let made = cli.run(&convert(&from, &to)).await;
    made.expect(0, "new digest sha256:").expect(0, "2 layers recompressed");
    assert_eq!(files(&cli, &from).await, files(&cli, &to).await);
    let by_table = "by table of contents";
    cli.run(&["files", &to]).await.expect(0, by_table);
    registry.server.forget();
    let small = cli.run(&["cat", &to, "dir/small"]).await;
    assert_eq!(small.expect(0, by_table).stdout, "small");
    let large = cli.run(&["cat", "--layer", "0", &to, "dir/large"]).await;
    assert!(large.expect(0, "by table of contents").stdout.as_bytes() == text(LARGE, 1));
    cli.run(&["verify", &format!("docker://{to}")]).await.expect(0, "");

    // The same input gives the same bytes, and such layers stay.
    let again = registry.repository("b:1");
    cli.run(&convert(&from, &again)).await.expect(0, "");
    assert_eq!(cli.run(&["digest", &to]).await.stdout, cli.run(&["digest", &again]).await.stdout);
    cli.run(&convert(&to, "oci:same:x")).await.expect(0, "nothing to convert");
    let plain = ["copy", "--compression", "zstd", &to, "oci:zstd:x"];
    cli.run(&plain).await.expect(0, "2 layers recompressed");
    let manifest: Value =
        serde_json::from_str(&cli.run(&["manifest", "oci:zstd:x"]).await.stdout).unwrap();
    assert_eq!(manifest["layers"][0].get("annotations").unwrap_or(&json!({})), &json!({}));
}

#[tokio::test]
async fn estargz_layer_has_documented_parts() {
    let (_registry, cli, from, to) = published(&sample(Family::Oci)).await;
    cli.run(&convert(&from, &to)).await.expect(0, "");
    let document = async |verb: &str| -> Value {
        serde_json::from_str(&cli.run(&[verb, &to]).await.expect(0, "").stdout).unwrap()
    };
    let (manifest, config) = (document("manifest").await, document("config").await);
    let layer = &manifest["layers"][0];
    let pinned = format!("{from}@{}", layer["digest"].as_str().unwrap());
    cli.run(&["blob", "-o", "blob", &pinned]).await.expect(0, "");
    let blob = std::fs::read(cli.dir().join("blob")).unwrap();
    let offset = std::str::from_utf8(&blob[blob.len() - 35..blob.len() - 19]).unwrap();
    let offset = usize::from_str_radix(offset, 16).unwrap();
    let (mut tar, mut starts, mut cursor) = (Vec::new(), BTreeSet::new(), Cursor::new(&blob[..]));
    while cursor.position() < blob.len() as u64 {
        starts.insert(usize::try_from(cursor.position()).unwrap());
        let mut member = GzDecoder::new(&mut cursor);
        member.read_to_end(&mut tar).unwrap();
    }
    assert!(starts.contains(&offset));
    let annotations = &layer["annotations"];
    assert_eq!(annotations["io.containers.estargz.uncompressed-size"], tar.len().to_string());
    assert_eq!(config["rootfs"]["diff_ids"][0], Digest::sha256(&tar).as_str());

    let mut table = Vec::new();
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path_bytes()[..] == *b"stargz.index.json" {
            entry.read_to_end(&mut table).unwrap();
        }
    }
    let digest = Digest::sha256(&table).to_string();
    assert_eq!(annotations["containerd.io/snapshot/stargz/toc.digest"], digest);
    let table: Value = serde_json::from_slice(&table).unwrap();
    let entries = table["entries"].as_array().unwrap();
    assert_eq!(entries[0]["name"], ".no.prefetch.landmark");
    let chunks: Vec<_> = entries.iter().filter(|item| item["name"] == "dir/large").collect();
    assert_eq!(chunks.len(), 3, "chunks of 4 MiB");
    assert!(chunks.iter().all(|chunk| {
        starts.contains(&usize::try_from(chunk["offset"].as_u64().unwrap()).unwrap())
    }));
    let small = entries.iter().find(|item| item["name"] == "dir/small").unwrap();
    let expected = json!({
        "name": "dir/small", "type": "reg", "size": 5, "modtime": "2020-09-13T12:26:40Z",
        "mode": 0o4755, "offset": small["offset"], "xattrs": {"user.a": "/3ZhbHVl"},
        "digest": Digest::sha256(b"small"), "chunkSize": 5, "chunkDigest": Digest::sha256(b"small"),
    });
    assert_eq!(small, &expected);
}

#[tokio::test]
async fn estargz_copy_with_loss_is_refused() {
    let (registry, cli, from, to) = published(&sample(Family::Docker)).await;
    cli.run(&convert(&from, &to)).await.expect(1, "`--format oci`");
    cli.run(&[&convert(&from, &to)[..], &["--format", "docker"]].concat())
        .await
        .expect(2, "Docker's format does not have the annotations");
    let both = [&convert(&from, &to)[..], &["--format", "oci"]].concat();
    cli.run(&both).await.expect(0, "2 layers recompressed");
    assert_eq!(files(&cli, &from).await, files(&cli, &to).await);

    let named = image(Family::Oci, "amd64", &[layer_of(&[TarItem::file(b"a\xff", "x")])]);
    named.publish(&registry, "a", Some("latin1"));
    let latin1 = registry.repository("a:latin1");
    cli.run(&convert(&latin1, &to)).await.expect(1, r"`a\xff` is not UTF-8");
}
