//! Several layers read at once for their names, compared with reading one after the other.

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rpull::control::Control;
use rpull::digest::Digest;
use rpull::error::{Error, ErrorKind, Result};
use rpull::insight::files::{Change, ReadOptions, read_layers};
use rpull::unpack::LayerBlob;
use tokio_util::sync::CancellationToken;

use crate::support::entries::{TarItem, tar};
use crate::support::flat::{blobs, random_layers};

/// Everything that is known of the layers, one line each.
fn read(layers: Vec<LayerBlob<'_>>, control: &Control) -> Result<Vec<String>> {
    let lines = &std::cell::RefCell::new(Vec::new());
    let options = ReadOptions::default().contents();
    let visit = |number: usize, change: &Change<'_>| {
        lines.borrow_mut().push(format!("{number} {change:?}"));
        Ok(())
    };
    let end = |number, totals| {
        lines.borrow_mut().push(format!("{number} {totals:?}"));
        Ok(())
    };
    let (tree, sizes) = read_layers(layers, options, control, visit, end)?;
    let mut lines = lines.take();
    lines.push(format!("{sizes:?}"));
    tree.walk(b"", true, |path, file| {
        lines.push(format!("{} {file:?}", path.escape_ascii()));
        Ok::<_, Error>(())
    })?;
    Ok(lines)
}

fn at_once(layers: Vec<LayerBlob<'_>>) -> Vec<LayerBlob<'_>> {
    layers.into_iter().map(LayerBlob::can_wait).collect()
}

/// What reading gives, or the error and its layer.
fn outcome(layers: Vec<LayerBlob<'_>>) -> Result<Vec<String>, (String, Option<usize>)> {
    read(layers, &Control::default()).map_err(|error| (error.chain(), error.layer()))
}

fn layer_of<'a>(
    number: usize,
    tar: &[u8],
    open: impl FnOnce(&CancellationToken) -> io::Result<Box<dyn Read + Send>> + Send + 'a,
) -> LayerBlob<'a> {
    let (name, size) = (format!("layer {number}"), tar.len() as u64);
    LayerBlob::new(name, Digest::sha256(tar), size, Box::new(open)).can_wait()
}

#[test]
fn layers_read_at_once_equal_layers_read_in_turn() {
    let mut whole = 0;
    for seed in 0..400 {
        let layers = random_layers(&mut fastrand::Rng::with_seed(seed));
        let tars: Vec<_> = layers.iter().map(|items| tar(items)).collect();
        let wanted = outcome(blobs(&tars));
        whole += usize::from(wanted.is_ok());
        assert_eq!(outcome(at_once(blobs(&tars))), wanted, "seed {seed}");
    }
    assert!(whole > 20, "{whole}");
}

type Damage = fn(&mut LayerBlob<'_>);

#[test]
fn error_of_second_layer_comes_after_changes_of_first() {
    let items = |name: &str| tar(&[TarItem::dir("d"), TarItem::file(format!("d/{name}"), "x")]);
    let tars: Vec<_> = ["a", "b", "c", "d"].map(items).into();
    let damages: [Damage; 3] = [
        |layer| layer.diff_id = Digest::sha256(b"other"),
        |layer| layer.open = Box::new(|_| Err(io::Error::other("cannot be opened"))),
        |layer| layer.open = Box::new(|_| Ok(Box::new(io::repeat(7).take(99_999)))),
    ];
    for damage in damages {
        let with_damage = || {
            let mut layers = blobs(&tars);
            layers[1..].iter_mut().for_each(damage);
            layers
        };
        let wanted = outcome(with_damage());
        assert_eq!(wanted.as_ref().unwrap_err().1, Some(1));
        for _ in 0..20 {
            assert_eq!(outcome(at_once(with_damage())), wanted);
        }
        let mut seen = Vec::new();
        let visit = |number, _: &Change<'_>| {
            seen.push(number);
            Ok(())
        };
        let (options, control) = (ReadOptions::default(), Control::default());
        read_layers(at_once(with_damage()), options, &control, visit, |_, _| Ok(())).unwrap_err();
        assert!(!seen.is_empty() && seen.iter().all(|number| *number == 0), "{seen:?}");
    }
}

/// Gives nothing until its token is cancelled.
struct Waiting(CancellationToken);

impl Read for Waiting {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        while !self.0.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::Error::other(Error::new(ErrorKind::Interrupted, "wait")))
    }
}

fn waiting(number: usize) -> LayerBlob<'static> {
    layer_of(number, b"", |stop| Ok(Box::new(Waiting(stop.clone()))))
}

#[test]
fn error_of_first_layer_stops_layers_read_ahead() {
    let first = layer_of(0, b"", |_| Err(io::Error::other("cannot be opened")));
    let error = read(vec![first, waiting(1), waiting(2)], &Control::default()).unwrap_err();
    assert!(error.chain().contains("cannot be opened"), "{}", error.chain());
    assert_eq!(error.layer(), Some(0));
}

#[test]
fn cancellation_stops_all_layers_read_at_once() {
    let control = Control::default();
    let cancel = control.cancel.clone();
    let empty = tar(&[]);
    let bytes = Cursor::new(empty.clone());
    let first = layer_of(0, &empty, |_| Ok(Box::new(bytes)));
    let second = layer_of(1, b"", move |stop| {
        cancel.cancel();
        Ok(Box::new(Waiting(stop.clone())))
    });
    let error = read(vec![first, second, waiting(2), waiting(3)], &control).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{}", error.chain());
}

/// A layer without end of entries with one name. Counts what is read of it.
struct Endless {
    block: Vec<u8>,
    read: Arc<AtomicU64>,
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let at = usize::try_from(self.read.load(Ordering::SeqCst)).unwrap() % self.block.len();
        let length = (&self.block[at..]).read(into)?;
        self.read.fetch_add(length as u64, Ordering::SeqCst);
        Ok(length)
    }
}

/// Fails when nothing has been read of the other layers for a while.
struct UntilStalled(Vec<Arc<AtomicU64>>);

impl Read for UntilStalled {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        let all = || self.0.iter().map(|read| read.load(Ordering::SeqCst)).sum::<u64>();
        let mut before = u64::MAX;
        while all() != std::mem::replace(&mut before, all()) && before < 1 << 30 {
            std::thread::sleep(Duration::from_millis(300));
        }
        Err(io::Error::other("stalled"))
    }
}

#[test]
fn layers_read_ahead_wait_when_their_entries_fill_limit() {
    // An entry in memory takes less than its header in the tar: this is well over the 8 MiB of entries and the buffers.
    const LIMIT: u64 = 96 << 20;
    let block = tar(&[TarItem::file("a", "")])[..512].to_vec();
    let counts: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
    let others = counts.iter().enumerate().map(|(number, read)| {
        let endless = Endless { block: block.clone(), read: Arc::clone(read) };
        layer_of(number + 1, b"", |_| Ok(Box::new(endless)))
    });
    let seen = counts.clone();
    let first = layer_of(0, b"", |_| Ok(Box::new(UntilStalled(seen))));
    let layers = std::iter::once(first).chain(others).collect();
    let error = read(layers, &Control::default()).unwrap_err();
    assert!(error.chain().contains("stalled"), "{}", error.chain());
    let read: u64 = counts.iter().map(|read| read.load(Ordering::SeqCst)).sum();
    assert!(read < LIMIT, "{read} bytes were read ahead");
}
