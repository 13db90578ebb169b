//! Deltas from anywhere, applied to a fixed old layer.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use rpull::control::Control;
use rpull::delta::{Delta, MakeOptions, NewLayer, TarFile, apply, make};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;

/// The old layer: a tar in content only, so that the fuzzer's mutations need not keep it valid.
fn old() -> Vec<u8> {
    (0..20_000_u32).flat_map(|number| (number % 977).to_le_bytes()).collect()
}

fn tar_file(tar: &[u8]) -> TarFile {
    let dir = std::env::temp_dir();
    let diff_id = Digest::sha256(tar);
    TarFile::decompress(Cursor::new(tar), &diff_id, u64::MAX, &dir, &Control::default()).unwrap()
}

/// Applies bytes that are taken for a delta. No more comes out than it says, and never another tar.
pub fn delta_apply(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let Ok(delta) = Delta::open(file.path()) else { return };
    if delta.header().tar_size > 1 << 22 {
        return;
    }
    if let Ok(blob) = apply(&delta, &[tar_file(&old())], Vec::new()) {
        assert_eq!(blob.len() as u64, delta.header().target.size);
    }
}

/// The first inputs of `delta_apply`.
pub fn delta_seeds() -> Vec<(String, Vec<u8>)> {
    let old = old();
    let changed = [&old[..30_000], b"changed", &old[30_500..], &[0; 4096]].concat();
    let seeds = [("same", old.clone()), ("changed", changed), ("new", vec![7; 5000])];
    let seed = |(name, tar): (&str, Vec<u8>)| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&tar).unwrap();
        let blob = encoder.finish().unwrap();
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".into();
        let (descriptor, tar) = (Descriptor::for_bytes(media_type, &blob), tar_file(&tar));
        let open = || Ok(Cursor::new(blob.clone()));
        let old = [tar_file(&old)];
        let new = NewLayer::new(&descriptor, &tar);
        let delta = make(&old, new, open, &MakeOptions::default()).unwrap();
        let mut bytes = Vec::new();
        std::io::copy(&mut delta.reader(), &mut bytes).unwrap();
        (name.to_owned(), bytes)
    };
    seeds.into_iter().map(seed).collect()
}
