//! Layers in formats that are not supported, or that need too much memory, in every command that reads layers.

use std::fs;

use rpull::digest::Digest;

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of, tar};
use crate::support::images::{Blob, Family, Image, Layer, assemble, image};
use crate::support::tars;

/// A layer of one file as a zstd frame with a window of 2^`window_log` bytes.
fn windowed(window_log: u8) -> Layer {
    let tar = tar(&[TarItem::file("hello", "hi")]);
    let block = u32::try_from(tar.len() << 3 | 1).unwrap().to_le_bytes();
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    let bytes = [&head[..], &block[..3], &tar].concat();
    Layer { diff_id: Digest::sha256(&tar), bytes: bytes.into() }
}

fn of_layer(layer: &Layer) -> Image {
    image(Family::Oci, "amd64", &[layer_of(&[TarItem::file("a", "")]), layer.clone()])
}

/// Everything that reads what is inside a layer of an archive.
const READING: [&[&str]; 4] = [
    &["unpack", "image.tar", "root"],
    &["unpack", "--overlay", "image.tar", "layers"],
    &["export", "image.tar", "-o", "root.tar"],
    &["copy", "image.tar", "docker-archive:docker.tar:a/b:1"],
];

async fn refused(cli: &Cli, archive: &str, words: &[&str]) {
    for args in READING {
        let args: Vec<_> =
            args.iter().map(|arg| if *arg == "image.tar" { archive } else { arg }).collect();
        let output = cli.run(&args).await;
        for word in words {
            output.expect(1, word);
        }
        let named = output.stderr.matches("layer sha256:").count();
        assert_eq!(named, 1, "{args:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn layer_unsupported_format_is_named_once() {
    let cli = Cli::new();
    let erofs = [&[0; 1024][..], b"\xe2\xe1\xf5\xe0"].concat();
    for (bytes, told) in [
        (&b"\xfd7zXZ\0"[..], "is compressed with xz"),
        (b"BZh91AY", "is compressed with bzip2"),
        (b"\x04\x22\x4d\x18", "is compressed with lz4"),
        (b"LZIP\x01", "is compressed with lzip"),
        (b"hsqs", "is a squashfs file system"),
        (b"\0asm", "is a WebAssembly module"),
        (&erofs, "is an erofs file system"),
    ] {
        let layer = Layer { bytes: bytes.to_vec().into(), diff_id: Digest::sha256(b"any") };
        refused(&cli, &tars::write_to(&cli, &of_layer(&layer)), &[told]).await;
    }
}

#[tokio::test]
async fn layer_unsupported_media_type_is_rejected() {
    let cli = Cli::new();
    let good = of_layer(&layer_of(&[TarItem::file("b", "")]));
    for (media_type, told) in [
        ("application/vnd.stacker.image.layer.squashfs", "is a squashfs file system"),
        ("application/vnd.erofs.layer.v1", "is an erofs file system"),
        ("application/vnd.oci.image.layer.v1.tar+br", "is compressed with brotli"),
        ("application/vnd.oci.image.layer.v1.tar+lz4", "is compressed with lz4"),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "is a Helm chart"),
        ("application/wasm", "is a WebAssembly module"),
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "is encrypted"),
    ] {
        let mut layers = good.layers.clone();
        layers[1] = Blob::new(media_type.into(), layers[1].bytes.clone());
        let image = assemble(Family::Oci, good.config.clone(), layers);
        let archive = tars::write_to(&cli, &image);
        for args in READING.iter().take(3) {
            let args: Vec<_> =
                args.iter().map(|arg| if *arg == "image.tar" { &archive } else { *arg }).collect();
            let output = cli.run(&args).await;
            output.expect(1, told);
            assert_eq!(output.stderr.matches("layer sha256:").count(), 1, "{}", output.stderr);
        }
    }
}

#[tokio::test]
async fn zstd_window_over_limit_is_rejected_everywhere() {
    let cli = Cli::new();
    let hint = "hint: allow a larger window with `--zstd-window SIZE`, up to 2G";
    let words = ["asks for a zstd window of 1 GiB, and 512 MiB is the limit\n", hint];
    let archive = tars::write_to(&cli, &of_layer(&windowed(30)));
    refused(&cli, &archive, &words).await;
    for args in READING {
        let args = args.iter().map(|arg| if *arg == "image.tar" { &archive } else { *arg });
        let args: Vec<_> = args.chain(["--zstd-window", "1G"]).collect();
        cli.run(&args).await.expect(0, "");
    }
    assert_eq!(fs::read(cli.dir().join("root/hello")).unwrap(), b"hi");
    // A window over 2 GiB is rejected for any limit.
    let archive = tars::write_to(&cli, &of_layer(&windowed(32)));
    let args = ["unpack", "--zstd-window", "2G", &archive, "other"];
    let output = cli.run(&args).await;
    output.expect(1, "a zstd window of 4 GiB, and 2 GiB is the limit");
    assert!(!output.stderr.contains("hint:"), "{}", output.stderr);
    for typed in ["3G", "0", "x", "-1"] {
        let args = ["unpack", &format!("--zstd-window={typed}"), &archive, "other"];
        cli.run(&args).await.expect(2, "at most 2G");
    }
    // The same for a compressed archive.
    let plain = fs::read(cli.dir().join("image.tar")).unwrap();
    let Layer { bytes, .. } = windowed(30);
    fs::write(cli.dir().join("image.tar.zst"), [&bytes[..6], &raw_blocks(&plain)].concat())
        .unwrap();
    let output = cli.run(&["load", "image.tar.zst"]).await;
    output.expect(1, words[0]).expect(1, words[1]);
    cli.run(&["load", "--zstd-window", "1GiB", "image.tar.zst"]).await.expect(0, "");
}

/// These bytes as raw blocks of a zstd frame.
fn raw_blocks(bytes: &[u8]) -> Vec<u8> {
    let count = bytes.chunks(60_000).count();
    let block = |(number, block): (usize, &[u8])| {
        let last = usize::from(number + 1 == count);
        let head = u32::try_from(block.len() << 3 | last).unwrap().to_le_bytes();
        [&head[..3], block].concat()
    };
    bytes.chunks(60_000).enumerate().flat_map(block).collect()
}

#[tokio::test]
async fn gzip_trailing_zeros_are_accepted() {
    let cli = Cli::new();
    let good = layer_of(&[TarItem::file("hello", "hi")]);
    let zeros = [&good.bytes[..], &vec![0; 70_000]].concat();
    let padded = Layer { bytes: zeros.into(), ..good.clone() };
    let archive = tars::write_to(&cli, &of_layer(&padded));
    for args in READING {
        let args: Vec<_> =
            args.iter().map(|arg| if *arg == "image.tar" { &archive } else { *arg }).collect();
        cli.run(&args).await.expect(0, "");
    }
    let behind = [&padded.bytes[..], &good.bytes].concat();
    let archive = tars::write_to(&cli, &of_layer(&Layer { bytes: behind.into(), ..good }));
    let output = cli.run(&["unpack", &archive, "other"]).await;
    output.expect(7, "unexpected data after the zeros that follow the gzip data");
}
