//! `files` and `cat` of layers with a table of contents: what travels, and tables that lie.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::chunked::{Chunked, chunked_image, padded_image, text};
use crate::support::cli::Cli;
use crate::support::fake_registry::{FakeRegistry, Options};
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, assemble, with_config};
use crate::support::wait::wait_until;

const FORMATS: [Chunked; 2] = [Chunked::EStargz, Chunked::Zstd];

async fn publish(image: &Image) -> (FakeRegistry, Cli, String) {
    let registry = FakeRegistry::start().await;
    image.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    (registry, Cli::new(), name)
}

fn sample(format: Chunked, lie: impl FnOnce(&mut Value)) -> Image {
    let (large, small) = (text(3_000_000, 1), text(1000, 2));
    chunked_image(format, &[("dir/large", &large), ("etc/small", &small), ("empty", b"")], lie)
}

#[tokio::test]
async fn cat_with_table_fetches_range_of_file() {
    for format in FORMATS {
        let image = sample(format, |_| {});
        let (registry, cli, name) = publish(&image).await;
        let output = cli.run(&["cat", &name, "etc/small"]).await;
        output.expect(0, "by table of contents (verified by annotated digest, not all");
        assert!(output.stdout.as_bytes() == text(1000, 2), "{format:?}");
        assert!(output.stderr.contains("not kept, 4 requests"), "{}", output.stderr);
        assert_eq!(registry.server.lines().len(), 4, "{format:?}");
        let large = cli.run(&["cat", &name, "/dir/large"]).await;
        assert!(large.stdout.as_bytes() == text(3_000_000, 1), "{format:?} {}", large.stderr);
        let empty = cli.run(&["cat", &name, "empty"]).await;
        empty.expect(0, "");
        assert_eq!(empty.stdout, "");
        cli.run(&["cat", &name, "none"]).await.expect(3, "none: not found in the image");
        assert!(!cli.store().exists());
    }
}

#[tokio::test]
async fn cat_of_300_mb_layer_transfers_less_than_1_mb() {
    let names: Vec<String> = (0..2000).map(|number| format!("usr/share/file-{number}")).collect();
    let content = text(1000, 1);
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &*content)).collect();
    for format in FORMATS {
        let image = padded_image(format, 300_000_000, &files, |_| {});
        let (registry, cli, name) = publish(&image).await;
        let output = cli.run(&["cat", &name, "usr/share/file-1000"]).await;
        output.expect(0, "(verified by annotated digest, not all 30");
        assert!(output.stdout.as_bytes() == content, "{format:?}");
        let requests = registry.server.requests();
        assert_eq!(requests.len(), 4, "{format:?}");
        let bytes = |range: &str| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some(last.parse::<u64>().ok()? + 1 - first.parse::<u64>().ok()?)
        };
        let ranges: Vec<u64> =
            requests.iter().filter_map(|request| bytes(request.header("range")?)).collect();
        assert!(ranges.len() == 2 && ranges.iter().sum::<u64>() < 1_000_000, "{ranges:?}");
    }
}

#[tokio::test]
async fn files_with_table_equal_files_of_tar() {
    for format in FORMATS {
        let image = sample(format, |_| {});
        let (registry, cli, name) = publish(&image).await;
        let by_table = cli.run(&["files", "--json", &name]).await;
        by_table.expect(0, "by table of contents");
        assert_eq!(registry.server.lines().len(), 3, "{format:?}");
        cli.run(&["pull", &name]).await.expect(0, "");
        registry.server.forget();
        let by_tar = cli.run(&["files", "--json", &name]).await;
        assert_eq!(by_table.stdout, by_tar.stdout);
        assert_eq!(registry.server.lines(), [""; 0]);
        cli.run(&["verify"]).await.expect(0, "");
    }
}

type Lie = fn(&mut Value);

#[tokio::test]
async fn table_with_wrong_data_is_integrity_error() {
    let overlap: Lie = |table| {
        let first = table["entries"][0]["offset"].clone();
        set(table, "offset", first);
    };
    let lies: [(&str, Lie); 6] = [
        ("points outside of its bytes", |table| set(table, "offset", json!(1_u64 << 60))),
        ("digest mismatch of a chunk", |table| {
            set(table, "chunkDigest", json!(format!("sha256:{:064}", 0)));
        }),
        ("chunks are not all of it", |table| set(table, "size", json!(2000))),
        ("chunks overlap or have gaps", |table| set(table, "chunkOffset", json!(7))),
        ("has files that overlap", overlap),
        ("malformed table of contents", |table| table["entries"] = json!(7)),
    ];
    for format in FORMATS {
        for (message, lie) in lies {
            let (registry, cli, name) = publish(&sample(format, lie)).await;
            let output = cli.run(&["cat", &name, "etc/small"]).await;
            output.expect(5, message);
            assert_eq!(output.stdout, "");
            // Not the whole layer, to find out why.
            assert!(registry.server.lines().len() <= 4, "{format:?} {message}");
        }
        let mut image = sample(format, |_| {});
        annotate(&mut image, &["digest", "checksum"], &format!("sha256:{:064}", 0));
        let (_registry, cli, name) = publish(&image).await;
        cli.run(&["files", &name]).await.expect(5, "digest mismatch of its table of contents");
    }
    let mut image = sample(Chunked::Zstd, |_| {});
    annotate(&mut image, &["position"], &format!("{}:10:10:1", 1_u64 << 50));
    let (_registry, cli, name) = publish(&image).await;
    cli.run(&["files", &name]).await.expect(5, "outside of its bytes");
}

#[tokio::test]
async fn table_of_unknown_kind_reads_whole_layer() {
    let unknown: [Lie; 3] = [
        |table| set(table, "type", json!("door")),
        |table| table["version"] = json!(2),
        |table| set(table, "chunkType", json!("other")),
    ];
    for format in FORMATS {
        let damaged = [("digest", "none"), ("position", "1:2:3:4"), ("checksum", "md5:00")];
        let mut images: Vec<Image> = unknown.iter().map(|lie| sample(format, lie)).collect();
        images.extend(damaged.iter().map(|(key, value)| {
            let mut image = sample(format, |_| {});
            annotate(&mut image, &[key], value);
            image
        }));
        for (number, image) in images.into_iter().enumerate() {
            // An annotation that only the other format has.
            let is_whole = match format {
                Chunked::EStargz => number <= 3,
                Chunked::Zstd => number != 3,
            };
            let (_registry, cli, name) = publish(&image).await;
            let output = cli.run(&["cat", &name, "etc/small"]).await;
            output.expect(0, "transferred");
            let by_table = output.stderr.contains("by table");
            assert_eq!(!by_table, is_whole, "{format:?} {number} {}", output.stderr);
            assert!(output.stdout.as_bytes() == text(1000, 2), "{format:?} {number}");
        }
    }
}

#[tokio::test]
async fn cat_of_layer_with_table_follows_hard_links() {
    for format in FORMATS {
        let image = sample(format, |table| {
            let link = json!({"type": "hardlink", "name": "link", "linkName": "etc/small"});
            table["entries"].as_array_mut().unwrap().push(link);
        });
        let (registry, cli, name) = publish(&image).await;
        for arguments in [&["cat", "--layer=0", &name, "link"][..], &["cat", &name, "link"]] {
            let output = cli.run(arguments).await;
            output.expect(0, "by table of contents");
            assert!(output.stdout.as_bytes() == text(1000, 2), "{format:?}");
        }
        // The second command looks into the table again, because the file has another name.
        assert_eq!(registry.server.lines().len(), 4 + 4, "{format:?}");
        cli.run(&["cat", "--layer=0", &name, "none"]).await.expect(3, "not in layer 0");
    }
}

#[tokio::test]
async fn layer_with_annotations_of_both_formats_is_read_by_table_of_its_compression() {
    let [gzip, zstd] = FORMATS.map(|format| sample(format, |_| {}).layers[0].clone());
    for (format, other) in [(FORMATS[0], &zstd), (FORMATS[1], &gzip)] {
        let mut image = sample(format, |_| {});
        image.layers[0].descriptor.annotations.extend(other.descriptor.annotations.clone());
        let image = assemble(Family::Oci, image.config, image.layers);
        let (_registry, cli, name) = publish(&image).await;
        let output = cli.run(&["cat", &name, "etc/small"]).await;
        output.expect(0, "by table of contents");
        assert!(output.stdout.as_bytes() == text(1000, 2), "{format:?}");
        assert!(output.stderr.contains("not kept, 4 requests"), "{}", output.stderr);
    }
}

#[tokio::test]
async fn layer_with_annotations_of_both_formats_of_other_bytes_is_read_whole() {
    let [gzip, zstd] = FORMATS.map(|format| sample(format, |_| {}).layers[0].clone());
    for (format, other) in [(FORMATS[0], &zstd), (FORMATS[1], &gzip)] {
        let mut image = sample(format, |_| {});
        // The media type of the other format too: a conversion has left both.
        let layer = &mut image.layers[0].descriptor;
        layer.annotations.extend(other.descriptor.annotations.clone());
        layer.media_type = other.descriptor.media_type.clone();
        let image = assemble(Family::Oci, image.config, image.layers);
        let (_registry, cli, name) = publish(&image).await;
        let output = cli.run(&["cat", &name, "etc/small"]).await;
        output.expect(0, "of 1 layer, not kept");
        assert!(output.stdout.as_bytes() == text(1000, 2), "{format:?}");
    }
}

/// An image of three layers with tables: a file, a link to it, and another file.
fn three_layers() -> Image {
    let link = |table: &mut Value| {
        table["entries"] = json!([{"type": "symlink", "name": "link", "linkName": "base/file"}]);
    };
    let one =
        |name: &str, seed| chunked_image(Chunked::Zstd, &[(name, &text(100_000, seed))], |_| {});
    let images = [
        one("base/file", 1),
        chunked_image(Chunked::EStargz, &[("x", &text(100_000, 2))], link),
        one("top/file", 3),
    ];
    let diff_ids = images.iter().map(|image| {
        let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        config["rootfs"]["diff_ids"][0].clone()
    });
    let mut config: Value = serde_json::from_slice(&images[0].config.bytes).unwrap();
    config["rootfs"]["diff_ids"] = diff_ids.collect();
    config.as_object_mut().unwrap().remove("history");
    let layers = images.iter().map(|image| image.layers[0].clone()).collect();
    let image = assemble(Family::Oci, images[0].config.clone(), layers);
    with_config(&image, &config)
}

#[tokio::test]
async fn cat_through_symlink_fetches_each_table_once() {
    let (registry, cli, name) = publish(&three_layers()).await;
    let output = cli.run(&["cat", &name, "link"]).await;
    output.expect(0, "of 3 layers, by table of contents");
    assert!(output.stdout.as_bytes() == text(100_000, 1));
    // Manifest, config, three tables, and the chunks of the file.
    assert_eq!(registry.server.lines().len(), 2 + 3 + 1, "{:?}", registry.server.lines());
}

#[tokio::test]
async fn tables_of_several_layers_are_fetched_concurrently() {
    let image = three_layers();
    let (registry, cli, name) = publish(&image).await;
    let first = format!("/blobs/{}", image.layers[0].digest());
    registry.override_response(&first, 0..1, |reply| reply.fault(Fault::Stall(0)));
    let running = cli.spawn(&["files", &name]);
    let tables = async || registry.server.count("/blobs/") == 1 + 3;
    wait_until("the other tables wait for the first", tables).await;
    let stopped = running.stop(Signal::INT).await;
    assert_eq!(stopped.code(), Some(130), "{}", stopped.stderr);
}

fn annotate(image: &mut Image, keys: &[&str], value: &str) {
    for (key, old) in &mut image.layers[0].descriptor.annotations {
        if keys.iter().any(|end| key.ends_with(end)) {
            value.clone_into(old);
        }
    }
    *image = assemble(Family::Oci, image.config.clone(), image.layers.clone());
}

fn set(table: &mut Value, key: &str, value: Value) {
    let entries = table["entries"].as_array_mut().unwrap();
    entries.iter_mut().find(|entry| entry["name"] == "etc/small").unwrap()[key] = value;
}

#[tokio::test]
async fn table_without_range_support_reads_whole_layer() {
    for format in FORMATS {
        let image = sample(format, |_| {});
        let (registry, cli, name) = publish(&image).await;
        let bytes = image.layers[0].bytes.clone();
        let path = format!("/blobs/{}", image.layers[0].digest());
        registry.fail_requests(&path, 0..9, Reply::new(200, bytes));
        let output = cli.run(&["cat", &name, "etc/small"]).await;
        output.expect(0, "of 1 layer, not kept");
        assert!(output.stdout.as_bytes() == text(1000, 2), "{format:?}");
    }
}

#[tokio::test]
async fn range_support_lost_midway_reads_whole_layer() {
    for format in FORMATS {
        let image = sample(format, |_| {});
        let (registry, cli, name) = publish(&image).await;
        let bytes = image.layers[0].bytes.clone();
        let path = format!("/blobs/{}", image.layers[0].digest());
        // The table is read, the chunk is not.
        registry.fail_requests(&path, 1..9, Reply::new(200, bytes));
        let output = cli.run(&["cat", &name, "etc/small"]).await;
        output.expect(0, "of 1 layer, not kept, 5 requests");
        assert!(output.stdout.as_bytes() == text(1000, 2), "{format:?}");
    }
}

/// Cuts a part of a blob, with headers that say so.
fn shortened(reply: Reply, length: usize) -> Reply {
    let range = reply.headers.iter().find(|(name, _)| name == "Content-Range");
    let Some((_, range)) = range else { return reply };
    let first: usize = range["bytes ".len()..].split('-').next().unwrap().parse().unwrap();
    let (total, body) = (range.rsplit('/').next().unwrap().to_owned(), reply.body.clone());
    let body = body.slice(..length.min(body.len()));
    let last = first + body.len() - 1;
    Reply::new(206, body).header("Content-Range", format!("bytes {first}-{last}/{total}"))
}

#[tokio::test]
async fn response_shorter_than_range_is_continued_up_to_limit() {
    for (length, code) in [(100_000, 0), (1000, 6)] {
        let (registry, cli, name) = publish(&sample(Chunked::Zstd, |_| {})).await;
        registry.override_response("/blobs/", 0..999, move |reply| shortened(reply, length));
        let output = cli.run(&["cat", &name, "dir/large"]).await;
        assert_eq!(output.code(), Some(code), "{}", output.stderr);
        assert_eq!(output.stdout.as_bytes() == text(3_000_000, 1), code == 0);
        assert!(registry.server.lines().len() < 110);
    }
}

#[tokio::test]
async fn table_and_chunk_behind_redirect_are_read() {
    let options = Options { blobs_elsewhere: true, ..Options::default() };
    let (registry, cli) = (FakeRegistry::start_with(options).await, Cli::new());
    sample(Chunked::Zstd, |_| {}).publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    let output = cli.run(&["cat", &name, "etc/small"]).await;
    output.expect(0, "by table of contents");
    assert!(output.stdout.as_bytes() == text(1000, 2));
}
