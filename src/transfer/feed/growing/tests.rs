use std::io::{Seek as _, SeekFrom, Write as _};
use std::thread::JoinHandle;

use super::*;
use crate::error::ErrorKind;
use crate::media::MediaType;
use crate::transfer::feed::Feed;
use crate::transfer::feed::feeds::{Feeder, Feeds};

/// A job's end, a reader, and the file that the job writes.
struct Both {
    feeder: Feeder,
    feeds: Feeds,
    blob: Descriptor,
    file: File,
    cancel: CancellationToken,
}

impl Both {
    fn of(bytes: &[u8]) -> Self {
        let (feeder, feeds) = Feeds::connect();
        let blob = Descriptor::for_bytes(MediaType::from("x/y"), bytes);
        let (file, cancel) = (tempfile::tempfile().unwrap(), CancellationToken::new());
        Self { feeder, feeds, blob, file, cancel }
    }

    fn reader(&self) -> GrowingBlob {
        self.feeds.read(
            self.blob.clone(),
            Box::new(|| panic!("the job has a file")),
            self.cancel.clone(),
        )
    }

    fn handle(&self) -> File {
        self.file.try_clone().unwrap()
    }

    fn write(&mut self, bytes: &[u8]) -> Bytes {
        self.file.write_all(bytes).unwrap();
        Bytes::copy_from_slice(bytes)
    }
}

fn error_of(result: io::Result<usize>) -> Error {
    result.unwrap_err().downcast::<Error>().unwrap()
}

/// Reads to the end on a thread of its own.
fn reading(mut reader: GrowingBlob) -> JoinHandle<Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(error.downcast::<Error>().unwrap()),
        }
    })
}

#[test]
fn growing_blob_gives_announced_bytes_only() {
    let mut both = Both::of(b"0123456789");
    let feed = both.feeder.feed(&both.blob);
    let mut reader = both.reader();
    let mut into = [0; 20];
    feed.restart(Some(both.handle()));
    let chunk = both.write(b"0123");
    // In the file already, but not hashed.
    both.write(b"456789");
    feed.advance(&chunk);
    assert_eq!(reader.read(&mut into).unwrap(), 4);
    feed.end(Err(&Error::new(ErrorKind::Mismatch, "the blob")));
    assert_eq!(error_of(reader.read(&mut into)).kind(), ErrorKind::Mismatch);
}

#[test]
fn growing_blob_ends_with_its_job() {
    let mut both = Both::of(b"0123");
    let feed = both.feeder.feed(&both.blob);
    feed.restart(Some(both.handle()));
    let chunk = both.write(b"0123");
    feed.advance(&chunk);
    let whole = both.reader();
    let mut reader = both.reader();
    let mut into = [0; 20];
    assert_eq!(reader.read(&mut into).unwrap(), 4);
    let whole = reading(whole);
    assert!(!whole.is_finished());
    feed.end(Ok(()));
    assert_eq!(reader.read(&mut into).unwrap(), 0);
    assert_eq!(whole.join().unwrap().unwrap(), b"0123");
}

#[test]
fn growing_blob_already_present_is_read_from_target() {
    let both = Both::of(b"0123");
    let mut stored = both.file.try_clone().unwrap();
    let reader = both.feeds.read(
        both.blob.clone(),
        Box::new(move || {
            stored.write_all(b"0123").unwrap();
            Ok(stored)
        }),
        CancellationToken::new(),
    );
    let reading = reading(reader);
    both.feeder.feed(&both.blob).end(Ok(()));
    assert_eq!(reading.join().unwrap().unwrap(), b"0123");
}

/// Each way in which a job can go, with what its reader must say.
const WAYS: [(&str, ErrorKind); 6] = [
    ("error", ErrorKind::Store),
    ("drop", ErrorKind::Interrupted),
    ("abort", ErrorKind::Interrupted),
    ("panic", ErrorKind::Interrupted),
    ("end of the run", ErrorKind::Transport),
    ("drop of the run", ErrorKind::Interrupted),
];

async fn go(way: &str, feeder: Feeder, feed: Feed) {
    match way {
        "error" => feed.end(Err(&Error::new(ErrorKind::Store, "write"))),
        "drop" => drop(feed),
        "abort" => {
            let task = tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(feed);
            });
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        "panic" => {
            let task = tokio::spawn(async move {
                let _feed = feed;
                panic!("on purpose");
            });
            assert!(task.await.unwrap_err().is_panic());
        }
        "end of the run" => feeder.end(Err(&Error::new(ErrorKind::Transport, "other"))),
        _ => drop(feeder),
    }
}

#[tokio::test]
async fn feed_end_on_every_path_wakes_reader() {
    for (way, kind) in WAYS {
        let Both { feeder, feeds, blob, file, cancel } = Both::of(b"0123456789");
        let feed = feeder.feed(&blob);
        feed.restart(Some(file));
        let reading =
            reading(feeds.read(blob.clone(), Box::new(|| panic!("there is a file")), cancel));
        go(way, feeder, feed).await;
        let error = reading.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{way}");
        assert_eq!(feeds.verified(&blob).await.unwrap_err().kind(), kind, "{way}");
    }
}

#[tokio::test]
async fn feeds_of_dropped_run_end() {
    let (feeder, feeds) = Feeds::connect();
    let waiting = {
        let feeds = feeds.clone();
        tokio::spawn(async move { feeds.resolved_image().await.map(drop) })
    };
    drop(feeder);
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(feeds.wait_for_run().unwrap_err().kind(), ErrorKind::Interrupted);
    let late = Descriptor::for_bytes(MediaType::from("x/y"), b"late");
    assert!(feeds.verified(&late).await.is_err());
    assert!(
        feeds
            .read(late, Box::new(|| panic!("nothing came")), CancellationToken::new())
            .read(&mut [0; 4])
            .is_err()
    );
}

#[test]
fn growing_blob_cancelled_reader_wakes() {
    let both = Both::of(b"0123");
    let _feed = both.feeder.feed(&both.blob);
    let reader = both.reader();
    let reading = reading(reader);
    both.cancel.cancel();
    assert_eq!(reading.join().unwrap().unwrap_err().kind(), ErrorKind::Interrupted);
}

#[test]
fn growing_blob_restart_after_read_fails() {
    let mut both = Both::of(b"0123456789");
    let feed = both.feeder.feed(&both.blob);
    let (mut early, mut late) = (both.reader(), both.reader());
    let mut into = [0; 5];
    feed.restart(Some(both.handle()));
    let chunk = both.write(b"wrong");
    feed.advance(&chunk);
    assert_eq!(early.read(&mut into).unwrap(), 5);
    both.file.set_len(0).unwrap();
    both.file.seek(SeekFrom::Start(0)).unwrap();
    feed.restart(Some(both.handle()));
    let chunk = both.write(b"0123456789");
    feed.advance(&chunk);
    let error = error_of(early.read(&mut into));
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Mismatch, GrowingBlob::BLOB_RESTARTED));
    feed.end(Ok(()));
    let mut whole = Vec::new();
    late.read_to_end(&mut whole).unwrap();
    assert_eq!(whole, b"0123456789");
}

/// The job empties the file first, and says so afterwards.
#[test]
fn growing_blob_truncated_file_waits_for_result() {
    let size = 2 * 1_048_576;
    let bytes: Vec<u8> = (0..=255).cycle().take(size).collect();
    let mut both = Both::of(&bytes);
    let feed = both.feeder.feed(&both.blob);
    feed.restart(Some(both.handle()));
    let chunk = both.write(&bytes);
    // More than is kept in memory, so that the file is read.
    feed.advance(&chunk);
    let mut reader = both.reader();
    let mut into = vec![0; 1000];
    assert_eq!(reader.read(&mut into).unwrap(), 1000);
    both.file.set_len(0).unwrap();
    let reading = reading(reader);
    feed.end(Err(&Error::new(ErrorKind::Mismatch, "the blob")));
    assert_eq!(reading.join().unwrap().unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn growing_blob_memory_and_file_reads_are_equal() {
    let mut random = fastrand::Rng::with_seed(7);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(6_000_000).collect();
    let mut both = Both::of(&bytes);
    let feed = both.feeder.feed(&both.blob);
    // One reader keeps up, one comes late, and one stops in between.
    let (fast, mut slow) = (reading(both.reader()), both.reader());
    let mut start = vec![0; 10];
    feed.restart(Some(both.handle()));
    let mut at = 0;
    while at < bytes.len() {
        let next = bytes.len().min(at + random.usize(1..100_000));
        let chunk = both.write(&bytes[at..next]);
        feed.advance(&chunk);
        if at == 0 {
            slow.read_exact(&mut start[..1]).unwrap();
        }
        at = next;
    }
    let late = reading(both.reader());
    slow.read_exact(&mut start[1..]).unwrap();
    let slow = reading(slow);
    feed.end(Ok(()));
    assert!(fast.join().unwrap().unwrap() == bytes);
    assert!(late.join().unwrap().unwrap() == bytes);
    assert!(start == bytes[..10] && slow.join().unwrap().unwrap() == bytes[10..]);
}
