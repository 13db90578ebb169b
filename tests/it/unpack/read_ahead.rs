//! Read-ahead of layers, compared with applying them one after the other.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use rpull::control::Control;
use rpull::digest::Digest;
use rpull::error::{Error, ErrorKind};
use rpull::unpack::{LayerBlob, RootDir, UnpackOptions, Unpacked, Unpacker};

use crate::support::entries::{TarItem, tar};
use crate::support::flat::{apply, blobs, random_layers};
use crate::support::tree::nodes;

fn blob(number: usize, tar: Vec<u8>) -> LayerBlob<'static> {
    LayerBlob::new(
        format!("layer {number}"),
        Digest::sha256(&tar),
        tar.len() as u64,
        Box::new(move |_| Ok(Box::new(Cursor::new(tar)))),
    )
}

fn at_once(root: &Path, blobs: Vec<LayerBlob<'_>>) -> Result<Unpacked, Error> {
    let mut unpacker = Unpacker::new(RootDir::open(root)?, UnpackOptions::default().new_root())?;
    unpacker.apply_parallel(blobs, &Control::default())?;
    unpacker.finish()
}

#[track_caller]
fn assert_same(tars: &[Vec<u8>]) -> bool {
    let (ahead, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    match (at_once(ahead.path(), blobs(tars)), apply(after.path(), tars)) {
        (Ok(found), Ok(wanted)) => {
            assert_eq!(format!("{found:?}"), format!("{wanted:?}"));
            assert_eq!(nodes(ahead.path(), &[]), nodes(after.path(), &[]));
            true
        }
        (Err(found), Err(wanted)) => {
            assert_eq!(found.chain(), wanted.chain());
            assert_eq!(left_of_stages(ahead.path()), 0);
            false
        }
        (found, wanted) => panic!("{found:?}, not {wanted:?}"),
    }
}

fn left_of_stages(root: &Path) -> usize {
    let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(".rpull-stage")).count()
}

#[test]
fn read_ahead_of_random_layers_equals_sequential() {
    let mut whole = 0;
    for seed in 0..400 {
        let layers = random_layers(&mut fastrand::Rng::with_seed(seed));
        let tars: Vec<_> = layers.iter().map(|items| tar(items)).collect();
        whole += usize::from(assert_same(&tars));
    }
    assert!(whole > 100, "{whole}");
}

/// More entries than the read-ahead may hold, so that its reader has to wait.
#[test]
fn read_ahead_of_large_layers_waits() {
    let layer = |number: usize| {
        let absent = vec!["x".repeat(200); 19].join("/");
        let items = (0..2500).map(|n| TarItem::whiteout(&format!("{absent}/{n}")));
        tar(&items.chain([TarItem::file(format!("file {number}"), "x")]).collect::<Vec<_>>())
    };
    assert!(assert_same(&(0..4).map(layer).collect::<Vec<_>>()));
}

/// The order of reading is random, the reported fault is not.
#[test]
fn read_ahead_reports_fault_of_lowest_layer() {
    for _ in 0..20 {
        let root = tempfile::tempdir().unwrap();
        let good = || tar(&[TarItem::file("f", vec![1; 100_000]), TarItem::dir("d")]);
        let mut blobs: Vec<_> = (0..6).map(|number| blob(number, good())).collect();
        let cut = {
            let whole = tar(&[TarItem::file("large/file", vec![2; 500_000])]);
            whole[..100_000].to_vec()
        };
        blobs[2] = blob(2, tar(&[TarItem::file("f/below", "")]));
        blobs[3].diff_id = Digest::sha256(b"another");
        blobs[5] = blob(5, cut);
        let error = at_once(root.path(), blobs).unwrap_err();
        assert_eq!((error.layer(), error.kind()), (Some(2), ErrorKind::Unpack), "{error:?}");
        assert!(error.chain().starts_with("layer 2: f/below: "), "{}", error.chain());
        assert_eq!(left_of_stages(root.path()), 0);
    }
}

#[test]
fn read_ahead_fault_is_reported_as_usual() {
    let whole = tar(&[TarItem::file("large/file", vec![2; 500_000])]);
    let (mut wrong, mut gone) = (blob(2, whole.clone()), blob(2, whole.clone()));
    wrong.diff_id = Digest::sha256(b"another");
    gone.open = Box::new(|_| Err(std::io::ErrorKind::NotFound.into()));
    for (last, kind, why) in [
        (blob(2, whole[..100_000].to_vec()), ErrorKind::Unpack, "layer 2: large/file: "),
        (blob(2, [7; 3000].to_vec()), ErrorKind::Unpack, "layer 2: "),
        (wrong, ErrorKind::Mismatch, "layer 2: diff_id mismatch: expected"),
        (gone, ErrorKind::Unpack, "layer 2: "),
    ] {
        let root = tempfile::tempdir().unwrap();
        let blobs =
            vec![blob(0, tar(&[TarItem::dir("d")])), blob(1, tar(&[TarItem::dir("e")])), last];
        let error = at_once(root.path(), blobs).unwrap_err();
        assert_eq!((error.layer(), error.kind()), (Some(2), kind), "{error:?}");
        assert!(error.chain().starts_with(why), "{}", error.chain());
        assert_eq!(left_of_stages(root.path()), 0);
    }
}
