//! `inspect --encoder`: what it reads of each layer, and what it says of it.

use rpull::media::MediaType;
use serde_json::{Value, json};

use crate::support::chunked::text;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Blob, Family, Image, assemble, gzip, layer, random_blob};

const READ_BYTES: usize = 256 << 10;

/// An image of layers that are gzip, zstd, a plain tar, and in a compression that is not read. The first one, of more than
/// 256 KiB, comes twice.
fn image() -> Image {
    let tar_type = |suffix| format!("application/vnd.oci.image.layer.v1.tar{suffix}");
    let blob = |suffix, bytes: &[u8]| Blob::new((&*tar_type(suffix)).into(), bytes.to_vec());
    let tar = layer(&[("a", b"a")]);
    let plain = flate2::read::GzDecoder::new(&tar.bytes[..]);
    let plain = std::io::read_to_string(plain).unwrap();
    let large = [random_blob(600_000, 1), text(400_000, 2)].concat();
    let large = blob("+gzip", &layer(&[("b", &large)]).bytes);
    let layers = vec![
        large.clone(),
        blob("+gzip", &gzip(&random_blob(300, 3)).bytes),
        blob("+zstd", &zstd::encode_all(plain.as_bytes(), 1).unwrap()),
        blob("", plain.as_bytes()),
        blob("+xz", b"\xfd7zXZ\0more"),
        large,
    ];
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    assemble(Family::Oci, Blob::json(MediaType::OCI_CONFIG, &config), layers)
}

async fn published() -> (FakeRegistry, Image, String) {
    let (registry, image) = (FakeRegistry::start().await, image());
    image.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    (registry, image, name)
}

#[tokio::test]
async fn encoder_costs_manifest_and_one_range_per_layer() {
    let (registry, image, name) = published().await;
    let shown = Cli::new().json(&["inspect", "--encoder", "--json", &name]).await;
    let requests = registry.server.requests();
    assert_eq!(requests.len(), 6, "manifest and five different layers: {requests:?}");
    let ranges: Vec<_> = requests.iter().filter_map(|request| request.header("range")).collect();
    assert_eq!(ranges, [format!("bytes=0-{}", READ_BYTES - 1)], "only of the large layer");
    assert_eq!(registry.server.count(image.config.digest().as_str()), 0);

    let layers = shown[0]["layers"].as_array().unwrap();
    let compressions: Vec<_> = layers.iter().map(|layer| &layer["compression"]).collect();
    assert_eq!(compressions, ["gzip", "gzip", "zstd", "none", "xz", "gzip"]);
    for (shown, layer) in layers.iter().zip(&image.layers) {
        assert_eq!(shown["digest"], json!(layer.digest()));
        assert_eq!(shown["media_type"], json!(layer.descriptor.media_type));
        assert_eq!(shown["size"], json!(layer.bytes.len()));
    }
    assert_eq!(layers[0]["ambiguous"], false, "{}", layers[0]);
    assert_eq!(layers[1]["ambiguous"], true, "{}", layers[1]);
    for gzip in [&layers[0], &layers[1]] {
        for key in ["family", "level", "piece", "encoder", "closest", "features"] {
            assert!(gzip.get(key).is_some(), "{key}: {gzip}");
        }
    }
    assert_eq!(layers[2].get("family"), None);
}

#[tokio::test]
async fn encoder_of_layer_compressed_twice_names_both() {
    let gzip_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    let blob = |bytes: &[u8]| Blob::new(gzip_type.into(), gzip(bytes).bytes.to_vec());
    let tar = text(600_000, 1);
    // As pzstd begins: with a skippable frame.
    let frames = [&b"\x50\x2a\x4d\x18\x04\0\0\0size"[..], &zstd::encode_all(&tar[..], 1).unwrap()];
    let layers = vec![blob(&frames.concat()), blob(&gzip(&tar).bytes)];
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let image = assemble(Family::Oci, Blob::json(MediaType::OCI_CONFIG, &config), layers);
    let registry = FakeRegistry::start().await;
    image.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    let shown = Cli::new().json(&["inspect", "--encoder", "--json", &name]).await;
    for (layer, inner) in shown[0]["layers"].as_array().unwrap().iter().zip(["zstd", "gzip"]) {
        assert_eq!(layer["compression"], "gzip");
        assert_eq!(layer["inner_compression"], inner);
        assert!(layer.get("encoder").is_none(), "{layer}");
    }
    let table = Cli::new().run(&["inspect", "--encoder", &name]).await.stdout;
    assert!(table.contains("compressed twice: zstd in gzip"), "{table}");
}

#[tokio::test]
async fn encoder_of_registry_without_ranges_stops_after_256_kib() {
    let (registry, image, name) = published().await;
    let shown = Cli::new().json(&["inspect", "--encoder", "--json", &name]).await;
    registry.server.forget();
    // Of the whole blob nothing more would come.
    let large = &image.layers[0];
    let (bytes, path) = (large.bytes.clone(), format!("/blobs/{}", large.digest()));
    registry.override_response(&path, 0..1, move |_| {
        Reply::new(200, bytes.clone()).fault(Fault::Stall(READ_BYTES))
    });
    let again = Cli::new().json(&["inspect", "--encoder", "--json", &name]).await;
    assert_eq!(again, shown);
    assert_eq!(registry.server.lines().len(), 6);
}

#[tokio::test]
async fn encoder_response_cut_short_is_continued() {
    let (registry, image, name) = published().await;
    let shown = Cli::new().json(&["inspect", "--encoder", "--json", &name]).await;
    let path = format!("/blobs/{}", image.layers[0].digest());
    registry.override_response(&path, 0..1, |reply| reply.fault(Fault::Cut(100_000)));
    assert_eq!(Cli::new().json(&["inspect", "--encoder", "--json", &name]).await, shown);
}

#[tokio::test]
async fn encoder_is_same_at_every_location() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    for place in ["oci:layout:1", "oci-archive:archive.tar:1", "store:a:1"] {
        cli.run(&["copy", &name, place]).await.expect(0, "");
    }
    let args = ["inspect", "--encoder", "--json", &name];
    let places = ["oci:layout:1", "oci-archive:archive.tar:1", "store:a:1"];
    let shown = cli.json(&[&args[..], &places].concat()).await;
    let images = shown.as_array().unwrap();
    assert_eq!(images.len(), 4);
    assert!(images.iter().all(|image| image["layers"] == images[0]["layers"]), "{shown}");
}

#[tokio::test]
async fn encoder_table_has_one_line_per_layer() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let output = cli.run(&["inspect", "--encoder", &name]).await;
    let lines: Vec<&str> = output.expect(0, "").stdout.lines().collect();
    assert!(lines[0].starts_with("LAYER") && lines.len() == 7, "{}", output.stdout);
    for (line, part) in
        lines[2..6].iter().zip(["or another (short)", "zstd", "not compressed", "xz"])
    {
        assert!(line.contains(part), "{line}");
    }
    assert!(lines[1].contains("OS 255"), "{}", lines[1]);

    let absent = name.replace(":1", ":2");
    let both = cli.run(&["inspect", "--encoder", &absent, &name]).await;
    both.expect(3, "manifest unknown");
    assert_eq!(both.stdout.lines().count(), 8, "{}", both.stdout);
    let both = cli.run(&["inspect", "--encoder", "--json", &absent, &name]).await;
    let values: Value = serde_json::from_str(&both.expect(3, "").stdout).unwrap();
    assert_eq!(values[0]["error"]["kind"], "not_found", "{values}");
    assert_eq!(values[1]["layers"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn inspect_of_several_images_needs_encoder() {
    let cli = Cli::new();
    cli.run(&["inspect", "a.example/a:1", "a.example/a:2"])
        .await
        .expect(2, "only with `--encoder`");
    let args = ["inspect", "--encoder", "--format", "skopeo", "a.example/a:1"];
    cli.run(&args).await.expect(2, "cannot be combined");
}
