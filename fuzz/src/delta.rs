//! Deltas from anywhere, applied to a fixed old layer.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use rpull::control::Control;
use rpull::delta::{Delta, MakeOptions, NewLayer, TarFile, apply, make};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;

use crate::packed;
use crate::rebuild::own_gzip;
use crate::support::tar_item::{TarItem, tar};

/// The old layer: numbers, and a program.
fn old() -> Vec<u8> {
    tar(&[TarItem::file("numbers", numbers()), TarItem::file("program", program(0))])
}

fn numbers() -> Vec<u8> {
    (0..15_000_u32).flat_map(|number| (number % 977).to_le_bytes()).collect()
}

/// Something like machine code, with addresses that are greater by so much.
fn program(moved: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut code = b"\x7fELF".to_vec();
    while code.len() < 9000 {
        code.extend((0..7).map(|_| random.u8(..)));
        code.extend((random.u32(..1 << 20) + moved).to_le_bytes());
    }
    code
}

fn tar_file(tar: &[u8]) -> TarFile {
    let dir = std::env::temp_dir();
    let diff_id = Digest::sha256(tar);
    TarFile::decompress(Cursor::new(tar), &diff_id, u64::MAX, &dir, &Control::default()).unwrap()
}

/// Applies bytes that are taken for a delta, or for its unpacked form. No more comes out than it says, and never another tar.
pub fn delta_apply(bytes: &[u8]) {
    let old = old();
    let packed = match bytes.first() {
        Some(b'R') => bytes.to_vec(),
        _ => match packed::delta(bytes, &old) {
            Some(delta) => delta,
            None => return,
        },
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&packed).unwrap();
    let Ok(delta) = Delta::open(file.path()) else { return };
    if delta.header().tar_size > 1 << 22 {
        return;
    }
    if let Ok(blob) = apply(&delta, &[tar_file(&old)], Vec::new(), &Control::default()) {
        assert_eq!(blob.len() as u64, delta.header().target.size);
    }
}

/// The first inputs of `delta_apply`.
pub fn delta_seeds() -> Vec<(String, Vec<u8>)> {
    let old = old();
    let changed = [&old[..30_000], b"changed", &old[30_500..], &[0; 4096]].concat();
    let moved = [&program(0)[..3000], b"inserted", &program(0x1234)[3000..]].concat();
    let moved = tar(&[TarItem::file("program", moved), TarItem::file("other", numbers())]);
    let tars =
        [("same", old.clone()), ("changed", changed), ("new", vec![7; 5000]), ("moved", moved)];
    let mut seeds = Vec::new();
    for (name, tar) in tars {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&tar).unwrap();
        let blobs = [("", encoder.finish().unwrap()), ("-own", own_gzip(&tar, 6))];
        for (encoder, blob) in blobs {
            let delta = delta_of(&tar_file(&old), &tar, &blob);
            seeds.push((format!("{name}{encoder}-unpacked"), packed::unpack_delta(&delta)));
            seeds.push((format!("{name}{encoder}"), delta));
        }
    }
    seeds
}

fn delta_of(old: &TarFile, tar: &[u8], blob: &[u8]) -> Vec<u8> {
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".into();
    let (descriptor, tar) = (Descriptor::for_bytes(media_type, blob), tar_file(tar));
    let open = || Ok(Cursor::new(blob.to_vec()));
    let new = NewLayer::new(&descriptor, &tar);
    let delta = make(std::slice::from_ref(old), new, open, &MakeOptions::default()).unwrap();
    let mut bytes = Vec::new();
    std::io::copy(&mut delta.reader(), &mut bytes).unwrap();
    bytes
}
