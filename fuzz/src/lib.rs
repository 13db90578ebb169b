//! What the fuzz targets do with bytes that are taken for the tars of layers, one after the other, or for an archive.

mod archive;
mod delta;
mod mirrors;
mod mutate;
mod packed;
mod rebuild;
mod seeds;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/it/support"]
mod support {
    pub(crate) mod layer_cases;
    pub(crate) mod outside_guard;
    pub(crate) mod tar_item;
    pub(crate) mod tree;
}

use std::io::Cursor;
use std::os::unix::fs::symlink;

use rpull::control::Control;
use rpull::digest::Digest;
use rpull::insight::layers::chain_ids;
use rpull::layer::{
    BombGuard, Compression, DiffIdReader, Entries, EntryKind, EntryLimits, LayerEntry,
    decompress_with_guard,
};
use rpull::unpack::overlay::{OverlayDirectory, OverlayLayer};
use rpull::unpack::{BuildOptions, LayerBlob, LayerOpener, RootDir, UnpackOptions, Unpacker};

pub use self::archive::archive;
pub use self::delta::{delta_apply, delta_seeds};
pub use self::mirrors::{hosts_toml, mirror_seeds, registries_conf};
use self::mutate::layers;
pub use self::mutate::mutate;
pub use self::rebuild::{rebuild_parse, rebuild_replay, rebuild_seeds};
pub use self::seeds::{archive_seeds, seeds};
use self::support::outside_guard::{OutsideGuard, SECRET};

/// Bytes that may come out of a compressed layer.
const INFLATED: u64 = 1 << 20;

/// Applies each layer to one root, from which links lead out. Nothing outside may change.
pub fn apply(tars: &[u8]) {
    // libFuzzer learns what bytes are compared with. Who brings the secret along has not read it.
    if tars.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()) {
        return;
    }
    let guard = OutsideGuard::new();
    let victim = guard.root().parent().unwrap().join("victim");
    symlink("../victim", guard.root().join("up")).unwrap();
    symlink(victim, guard.root().join("out")).unwrap();
    let mut unpacker =
        Unpacker::new(RootDir::open(guard.root()).unwrap(), UnpackOptions::default()).unwrap();
    for layer in layers(tars) {
        // What is refused ends its layer only.
        _ = unpacker.apply("layer", &mut Entries::new(layer, EntryLimits::default())).is_ok();
    }
    // A mode or time may be left to be set for what another entry replaced: that must not be an error.
    unpacker.finish().unwrap();
    guard.assert_unharmed("apply");
}

/// Unpacks the layers into directories of their own. Nothing outside may change.
pub fn overlay(tars: &[u8]) {
    let guard = OutsideGuard::new();
    let directory = OverlayDirectory::create(guard.root()).unwrap();
    let lock = directory.lock(&Control::default()).unwrap();
    let tars = layers(tars);
    let diff_ids: Vec<_> = tars.iter().map(|tar| Digest::sha256(tar)).collect();
    let chains = chain_ids(&diff_ids);
    let blobs = tars.iter().zip(diff_ids).zip(chains).map(|((tar, diff_id), chain)| {
        let (tar, size) = (tar.to_vec(), tar.len() as u64);
        let open: LayerOpener<'static> = Box::new(move |_| Ok(Box::new(Cursor::new(tar))));
        OverlayLayer::new(LayerBlob::new("layer".to_owned(), diff_id, size, open), chain)
    });
    _ = directory
        .unpack(&lock, blobs.collect(), BuildOptions::default(), &Control::default())
        .is_ok();
    guard.assert_unharmed("overlay");
}

/// Reads layers without writing anything.
pub fn entries(tars: &[u8]) {
    let Ok(compression) = Compression::detect(tars) else { return };
    let inflation = BombGuard::with_allowance(INFLATED);
    let Ok(inside) = decompress_with_guard(&inflation, compression, tars) else { return };
    let inside = std::io::BufReader::with_capacity(1000, inside);
    let mut entries = Entries::new(DiffIdReader::new(inside), EntryLimits::default().entries(1000));
    while let Ok(Some(entry)) = entries.next_entry() {
        assert_clean(&entry);
        let mut end = 0;
        loop {
            let Ok(piece) = entries.next_data() else { return };
            let Some((offset, bytes)) = piece else { break };
            assert!(offset >= end, "{entry:?}");
            end = offset + bytes.len() as u64;
            assert!(end <= entry.size && !bytes.is_empty(), "{entry:?}");
        }
    }
    if let Ok(hashed) = entries.drain() {
        assert!(compression != Compression::Plain || hashed.finish() == Digest::sha256(tars));
    }
}

/// What whoever takes an entry relies on.
fn assert_clean(entry: &LayerEntry) {
    let is_clean = |path: &[u8]| {
        path.len() < 4096
            && path.split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
            && !path.contains(&0)
    };
    let may_be_root = matches!(entry.kind, EntryKind::Directory | EntryKind::Opaque);
    assert!(is_clean(&entry.path) || (may_be_root && entry.path.is_empty()), "{entry:?}");
    match entry.kind {
        EntryKind::Hardlink => assert!(is_clean(&entry.link), "{entry:?}"),
        EntryKind::Symlink => {
            assert!(!entry.link.is_empty() && !entry.link.contains(&0), "{entry:?}")
        }
        _ => assert!(entry.link.is_empty(), "{entry:?}"),
    }
    assert!(entry.kind == EntryKind::File || entry.size == 0, "{entry:?}");
    assert!(entry.mode <= 0o7777 && entry.uid != u32::MAX && entry.gid != u32::MAX, "{entry:?}");
    assert!(entry.mtime.seconds >= 0 && entry.mtime.nanoseconds < 1_000_000_000, "{entry:?}");
    assert!(entry.xattrs.windows(2).all(|pair| pair[0].0 < pair[1].0), "{entry:?}");
}
