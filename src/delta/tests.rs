//! Deltas of generated layers: made, applied, damaged.

use std::fs::File;
use std::io::{Cursor, Write as _};

use proptest::prelude::*;

use super::index::{Found, OldEntries};
use super::*;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::media::MediaType;

/// Bytes that compress like text.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let words: Vec<String> = (0..200).map(|_| random.u32(0..9999).to_string()).collect();
    let mut text = Vec::new();
    while text.len() < length {
        text.extend_from_slice(words[random.usize(0..words.len())].as_bytes());
        text.push(b' ');
    }
    text.truncate(length);
    text
}

fn tar(files: &[(&str, &[u8], u64)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content, mtime) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mtime(*mtime);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(tar: &[u8], level: u32) -> Vec<u8> {
    let level = flate2::Compression::new(level);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn tar_file(tar: &[u8]) -> TarFile {
    let dir = std::env::temp_dir();
    let diff_id = Digest::sha256(tar);
    TarFile::decompress(Cursor::new(tar), &diff_id, u64::MAX, &dir, &Control::default()).unwrap()
}

/// A layer to make a delta of.
struct Layer {
    blob: Vec<u8>,
    descriptor: Descriptor,
    tar: TarFile,
}

fn layer(tar: &[u8]) -> Layer {
    layer_of(tar, gzip(tar, 6))
}

/// A layer of stored blocks, so that its record is small.
fn stored_layer(tar: &[u8]) -> Layer {
    layer_of(tar, gzip(tar, 0))
}

fn layer_of(tar: &[u8], blob: Vec<u8>) -> Layer {
    let descriptor = Descriptor::for_bytes(
        MediaType::from("application/vnd.oci.image.layer.v1.tar+gzip"),
        &blob,
    );
    Layer { blob, descriptor, tar: tar_file(tar) }
}

fn delta(old: &[TarFile], new: &Layer) -> Result<Delta> {
    let open = || Ok(Cursor::new(new.blob.clone()));
    make(old, NewLayer::new(&new.descriptor, &new.tar), open, &MakeOptions::default())
}

/// The old layers that the delta needs.
fn needed(old: &[TarFile], delta: &Delta) -> Vec<TarFile> {
    let old_layers = &delta.header().old_layers;
    let find = |diff_id: &Digest| old.iter().find(|tar| tar.diff_id() == diff_id).cloned();
    old_layers.iter().filter_map(|layer| find(&layer.diff_id)).collect()
}

#[test]
fn delta_of_changed_files_is_small_and_gives_the_same_blob() {
    let (a, b, c) = (text(1, 300_000), text(2, 200_000), text(3, 100_000));
    let changed = [&a[..100_000], b"changed", &a[100_000..]].concat();
    let old = [
        tar_file(&tar(&[("usr/lib/a.so.1.2", &a, 1), ("etc/b", &b, 1)])),
        tar_file(&tar(&[("c", &c, 7), ("unused", b"x", 7)])),
    ];
    let new = tar(&[
        ("usr/lib/a.so.1.3", &changed, 2),
        ("new", b"new", 2),
        ("moved/b", &b, 2),
        ("c", &c, 7),
    ]);
    let new = stored_layer(&new);
    let made = delta(&old, &new).unwrap();
    assert!(made.size() < 4000, "{}", made.size());
    assert_eq!(made.header().target.digest, new.descriptor.digest);
    assert_eq!(made.header().old_layers.len(), 2);
    let blob = apply(&made, &needed(&old, &made), Vec::new(), &Control::default()).unwrap();
    assert_eq!(blob, new.blob);
}

/// A program with so many addresses, of which half move by `by` because code was inserted in its middle.
fn program(addresses: u32, by: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut program = b"\x7fELF".to_vec();
    for number in 0..addresses {
        if number == addresses / 2 {
            program.resize(program.len() + by as usize, 0x90);
        }
        program.extend([random.u8(..), random.u8(..), random.u8(..), 0xe8]);
        let address = random.u32(..1 << 24);
        let moved = if random.bool() { address + by } else { address };
        program.extend(moved.to_le_bytes());
    }
    program
}

#[test]
fn delta_of_program_is_small_where_addresses_moved() {
    let old = [tar_file(&tar(&[("bin/a", &program(20_000, 0), 1)]))];
    let new = stored_layer(&tar(&[("bin/a", &program(20_000, 0x1230), 2)]));
    let made = delta(&old, &new).unwrap();
    // 20,000 bits say which addresses moved. Of the bytes of those, nothing is left.
    assert!(made.size() < 15_000, "{}", made.size());
    assert_eq!(
        apply(&made, &needed(&old, &made), Vec::new(), &Control::default()).unwrap(),
        new.blob
    );
}

#[test]
fn delta_without_anything_in_common_gives_the_same_blob() {
    let old = [tar_file(&tar(&[("a", &text(1, 5000), 1)]))];
    let random: Vec<u8> = {
        let mut random = fastrand::Rng::with_seed(4);
        std::iter::repeat_with(|| random.u8(..)).take(70_000).collect()
    };
    for new in [tar(&[("b", &random, 1)]), random.clone(), Vec::new(), vec![0; 1 << 20]] {
        let new = layer(&new);
        for old in [&old[..], &[]] {
            let made = delta(old, &new).unwrap();
            assert_eq!(
                apply(&made, &needed(old, &made), Vec::new(), &Control::default()).unwrap(),
                new.blob
            );
        }
    }
}

#[test]
fn delta_of_large_file_is_cut_into_pieces() {
    let old = text(1, 30 << 20);
    let mut new = old.clone();
    new.splice(20 << 20..20 << 20, *b"inserted");
    new.splice(100..100, text(9, 2 << 20));
    let old = [tar_file(&tar(&[("large", &old, 1)]))];
    let new = stored_layer(&tar(&[("large", &new, 2)]));
    let made = delta(&old, &new).unwrap();
    assert!(made.size() < 2 << 20, "{} of {}", made.size(), new.descriptor.size);
    assert_eq!(
        apply(&made, &needed(&old, &made), Vec::new(), &Control::default()).unwrap(),
        new.blob
    );
}

#[test]
fn delta_with_other_old_layers_is_refused() {
    let content = text(1, 50_000);
    let old = [tar_file(&tar(&[("a", &content, 1)]))];
    let other = [tar_file(&tar(&[("a", &content, 2)]))];
    let made = delta(&old, &layer(&tar(&[("a", &content, 3)]))).unwrap();
    for wrong in [&other[..], &[], &[old[0].clone(), other[0].clone()]] {
        let error = apply(&made, wrong, Vec::new(), &Control::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
    }
}

#[test]
fn delta_with_any_byte_changed_gives_the_same_blob_or_an_error() {
    let (a, b) = (text(1, 3000), text(2, 2000));
    let [c, d] = [0, 16].map(|by| program(50, by));
    let old = [tar_file(&tar(&[("a", &a, 1), ("b", &b, 1), ("c", &c, 1)]))];
    let new = layer(&tar(&[("a", &a, 2), ("b", &b[..1500], 1), ("c", &d, 1), ("e", b"new", 1)]));
    let made = delta(&old, &new).unwrap();
    let mut bytes = Vec::new();
    std::io::copy(&mut made.reader(), &mut bytes).unwrap();
    let mut rebuilt = 0;
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            rebuilt += u32::from(apply_bytes(&damaged, &old).is_ok_and(|blob| blob == new.blob));
        }
    }
    for length in 0..bytes.len() {
        assert!(apply_bytes(&bytes[..length], &old).is_err());
    }
    // Only texts for people may change.
    assert!(rebuilt < 200, "{rebuilt}");
}

fn apply_bytes(delta: &[u8], old: &[TarFile]) -> Result<Vec<u8>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(delta).unwrap();
    let delta = Delta::open(file.path())?;
    let size = delta.header().target.size;
    let blob = apply(&delta, old, Vec::new(), &Control::default())?;
    assert!(blob.len() as u64 <= size);
    Ok(blob)
}

/// The delta with its operations compressed in another way.
fn with_other_ops(delta: &Delta, compress: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::copy(&mut delta.reader(), &mut bytes).unwrap();
    let (start, rest) = bytes.split_at(12);
    let length = u32::from_le_bytes(start[8..].try_into().unwrap());
    let (json, rest) = rest.split_at(length as usize);
    let mut header: serde_json::Value = serde_json::from_slice(json).unwrap();
    let size = &mut header["sections"][0]["size"];
    let (ops, rest) = rest.split_at(usize::try_from(size.as_u64().unwrap()).unwrap());
    let ops = compress(&zstd::decode_all(ops).unwrap());
    *size = ops.len().into();
    let json = header.to_string();
    let length = u32::try_from(json.len()).unwrap().to_le_bytes();
    [&start[..8], &length, json.as_bytes(), &ops, rest].concat()
}

#[test]
fn operations_with_large_window_are_refused() {
    let old = [tar_file(&tar(&[("a", &text(1, 3000), 1)]))];
    let new = stored_layer(&tar(&[("a", &text(1, 3000), 1)]));
    let made = delta(&old, &new).unwrap();
    for (window_log, fits) in [(23, true), (24, false)] {
        let delta = with_other_ops(&made, |ops| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(window_log).unwrap();
            encoder.write_all(ops).unwrap();
            encoder.finish().unwrap()
        });
        let applied = apply_bytes(&delta, &old);
        assert_eq!(applied.is_ok_and(|blob| blob == new.blob), fits, "{window_log}");
    }
}

#[test]
fn old_entries_beyond_limit_are_not_found() {
    let control = Control::default();
    let [a, b, c] = [1, 2, 3].map(|seed| text(seed, 2000));
    let old = [tar_file(&tar(&[("a", &a, 1), ("b", &b, 1)])), tar_file(&tar(&[("c", &c, 1)]))];
    let new = tar_file(&tar(&[("c", &c, 1)]));
    for (max, is_found) in [(3, true), (2, false)] {
        let index = OldEntries::new(&old, max, &control).unwrap();
        let segments = index.find(&new, &control).unwrap();
        let found = segments.iter().all(|segment| matches!(segment.found, Found::Same(_)));
        assert_eq!(found, is_found, "{max}");
    }
}

#[test]
fn cancellation_ends_reading_of_tar_without_entries() {
    let control = Control::default();
    control.cancel.cancel();
    let indexed = OldEntries::new(&[tar_file(&[0; 4096])], usize::MAX, &control);
    assert_eq!(indexed.err().map(|error| error.kind()), Some(ErrorKind::Interrupted));
}

#[test]
fn cancelled_delta_is_not_applied() {
    let old = [tar_file(&tar(&[("a", &text(1, 3000), 1)]))];
    let made = delta(&old, &stored_layer(&tar(&[("a", &text(1, 3000), 2)]))).unwrap();
    let control = Control::default();
    control.cancel.cancel();
    let error = apply(&made, &needed(&old, &made), Vec::new(), &control).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn old_layer_with_other_diff_id_is_refused() {
    let tar = tar(&[("a", b"a", 1)]);
    let dir = std::env::temp_dir();
    let decompress = |diff_id: &Digest, limit| {
        let error =
            TarFile::decompress(Cursor::new(&tar), diff_id, limit, &dir, &Control::default());
        error.unwrap_err().kind()
    };
    assert_eq!(decompress(&Digest::sha256(b"other"), u64::MAX), ErrorKind::Mismatch);
    assert_eq!(decompress(&Digest::sha256(&tar), 10), ErrorKind::Mismatch);
    for (bytes, reserved, fits) in
        [(1, 1, true), (1 << 60, 0, false), (0, 1 << 60, false), (u64::MAX, 1, false)]
    {
        assert_eq!(TarFile::check_space(&dir, bytes, reserved).is_ok(), fits, "{bytes} {reserved}");
    }
    drop(File::open(&dir).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn delta_of_any_tars_gives_the_same_blob(
        old in proptest::collection::vec((0..9_u8, 0..4_u64, 0..9000_usize), 0..8),
        new in proptest::collection::vec((0..9_u8, 0..4_u64, 0..9000_usize), 0..8),
        tail in 0..2000_usize,
    ) {
        let make_tar = |files: &[(u8, u64, usize)]| {
            let files: Vec<_> = files.iter().map(|(name, seed, length)| (format!("d/f{name}"), text(*seed, *length), *seed)).collect();
            let files: Vec<_> = files.iter().map(|(name, content, mtime)| (name.as_str(), &content[..], *mtime)).collect();
            tar(&files)
        };
        let old = [tar_file(&make_tar(&old))];
        let mut new = make_tar(&new);
        new.truncate(new.len().saturating_sub(tail));
        let new = layer(&new);
        let made = delta(&old, &new).unwrap();
        prop_assert_eq!(apply(&made, &needed(&old, &made), Vec::new(), &Control::default()).unwrap(), new.blob);
    }
}
