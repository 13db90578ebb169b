//! Blobs: opened, interrupted, continued, committed and refused.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use rpull::content::{
    BlobPresence, BlobWriter, Effort, OpenBlobOptions, Opened, Presence, TargetWriter,
};
use rpull::descriptor::Descriptor;
use rpull::error::{Error, ErrorKind};
use rpull::media::MediaType;
use rpull::verifier::verify;

use super::ends::End;
use super::{blob, exists};
use crate::support::writing::{begin, open, send};

pub(super) async fn open_blob_new_blob_starts_at_zero(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(5000, 1);
    drop(open(&*writer, &descriptor).await);
    let mut again = open(&*writer, &descriptor).await;
    assert_eq!(again.offset(), 0, "nothing was written");
    for part in [0..1, 1..1000, 1000..5000] {
        again.write(bytes.slice(part)).await.unwrap();
    }
    again.commit(verify(&descriptor, &bytes).unwrap()).await.unwrap();
    assert!(exists(&*writer, &descriptor).await);
}

/// Writes the first bytes of a blob, and drops the writer; gives the next one, which has them or begins anew.
async fn interrupted(
    end: &End,
    writer: &dyn TargetWriter,
    (descriptor, bytes): &(Descriptor, Bytes),
    length: usize,
) -> Box<dyn BlobWriter> {
    let mut first = open(writer, descriptor).await;
    first.write(bytes.slice(..length)).await.unwrap();
    drop(first);
    let kept = if end.keeps_partials { length } else { 0 };
    let presence = end.target.blob(descriptor, Effort::Local).await.unwrap();
    let partial = BlobPresence::Partial(kept as u64);
    assert_eq!(presence, if kept > 0 { partial } else { BlobPresence::Unknown });
    let mut next = open(writer, descriptor).await;
    assert_eq!(next.offset(), kept as u64);
    match next.read_back().unwrap() {
        Presence::Present(prefix) => {
            let prefix = prefix.try_collect::<BytesMut>().await.unwrap();
            assert_eq!(prefix, bytes.slice(..kept));
        }
        other => assert!(!end.keeps_partials, "{}", matches!(other, Presence::Unknown)),
    }
    next
}

pub(super) async fn open_blob_after_drop_continues_where_bytes_are_kept(end: End) {
    let writer = begin(&*end.target).await;
    for (seed, length) in [(1, 1), (2, 2000), (3, 4999)] {
        let piece = blob(5000, seed);
        let mut next = interrupted(&end, &*writer, &piece, length).await;
        let offset = usize::try_from(next.offset()).unwrap();
        next.write(piece.1.slice(offset..)).await.unwrap();
        next.commit(verify(&piece.0, &piece.1).unwrap()).await.unwrap();
        assert!(exists(&*writer, &piece.0).await);
    }
}

pub(super) async fn open_blob_after_full_length_commits_without_more_bytes(end: End) {
    let writer = begin(&*end.target).await;
    let piece = blob(5000, 1);
    let mut next = interrupted(&end, &*writer, &piece, 5000).await;
    if next.offset() == 0 {
        next.write(piece.1.clone()).await.unwrap();
    }
    next.commit(verify(&piece.0, &piece.1).unwrap()).await.unwrap();
    assert!(exists(&*writer, &piece.0).await);
}

pub(super) async fn open_blob_after_commit_exists(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(5000, 1);
    send(&*writer, &descriptor, &bytes).await;
    assert!(exists(&*writer, &descriptor).await);
    let (other, bytes) = blob(10, 2);
    send(&*writer, &other, &bytes).await;
    assert!(exists(&*writer, &descriptor).await, "whatever comes afterwards");
}

pub(super) async fn open_blob_twice_waits_or_writes_twice(end: End) {
    let writer = begin(&*end.target).await;
    for commits in [true, false] {
        let (descriptor, bytes) = blob(4000, 3 + u64::from(commits));
        let proof = || verify(&descriptor, &bytes).unwrap();
        let mut first = open(&*writer, &descriptor).await;
        first.write(bytes.slice(..2500)).await.unwrap();
        let opening = tokio::spawn({
            let (writer, descriptor) = (Arc::clone(&writer), descriptor.clone());
            async move { writer.open_blob(&descriptor, &OpenBlobOptions::default()).await.unwrap() }
        });
        if end.keeps_partials {
            // As long as another blob takes, the second could have been opened too.
            tokio::task::yield_now().await;
            drop(open(&*writer, &blob(10, 9).0).await);
            assert!(!opening.is_finished(), "one writer at a time");
        }
        if commits {
            first.write(bytes.slice(2500..)).await.unwrap();
            first.commit(proof()).await.unwrap();
        } else {
            drop(first);
        }
        if let Opened::Writer(mut second) = opening.await.unwrap() {
            assert!(!(commits && end.keeps_partials), "the second finds it there");
            let offset = usize::try_from(second.offset()).unwrap();
            assert_eq!(offset, if end.keeps_partials { 2500 } else { 0 });
            second.write(bytes.slice(offset..)).await.unwrap();
            second.commit(proof()).await.unwrap();
        }
        assert!(exists(&*writer, &descriptor).await);
    }
}

/// A commit that is to be refused, after which the blob can still come.
async fn refused(
    writer: &dyn TargetWriter,
    (descriptor, bytes): &(Descriptor, Bytes),
    commit: impl Future<Output = Result<(), Error>>,
) {
    assert_eq!(commit.await.unwrap_err().kind(), ErrorKind::Mismatch);
    let mut again = open(writer, descriptor).await;
    again.truncate().await.unwrap();
    again.write(bytes.clone()).await.unwrap();
    again.commit(verify(descriptor, bytes).unwrap()).await.unwrap();
    assert!(exists(writer, descriptor).await);
}

pub(super) async fn commit_with_proof_of_another_blob_is_refused(end: End) {
    let writer = begin(&*end.target).await;
    let (piece, other) = (blob(3000, 1), blob(3000, 2));
    let mut wrong = open(&*writer, &piece.0).await;
    wrong.write(other.1.clone()).await.unwrap();
    refused(&*writer, &piece, wrong.commit(verify(&other.0, &other.1).unwrap())).await;
}

pub(super) async fn commit_of_short_body_is_refused(end: End) {
    let writer = begin(&*end.target).await;
    let piece = blob(3000, 1);
    let mut short = open(&*writer, &piece.0).await;
    short.write(piece.1.slice(..2999)).await.unwrap();
    refused(&*writer, &piece, short.commit(verify(&piece.0, &piece.1).unwrap())).await;
}

/// The blob after it is not damaged either.
pub(super) async fn commit_of_long_body_is_refused(end: End) {
    let writer = begin(&*end.target).await;
    let (piece, next) = (blob(512, 1), blob(512, 2));
    let mut long = open(&*writer, &piece.0).await;
    send(&*writer, &next.0, &next.1).await;
    long.write(piece.1.clone()).await.unwrap();
    let proof = verify(&piece.0, &piece.1).unwrap();
    let commit = async {
        long.write(Bytes::from(vec![7; 2000])).await?;
        long.commit(proof).await
    };
    refused(&*writer, &piece, commit).await;
    assert!(exists(&*writer, &next.0).await);
}

pub(super) async fn commit_of_empty_blob_succeeds(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(0, 1);
    let empty = open(&*writer, &descriptor).await;
    empty.commit(verify(&descriptor, &bytes).unwrap()).await.unwrap();
    assert!(exists(&*writer, &descriptor).await);
}

/// Not every registry knows the algorithm.
pub(super) async fn commit_of_sha512_blob_succeeds(end: End) {
    if !end.keeps_partials {
        return;
    }
    let sha512 = "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd";
    let descriptor = Descriptor::new(MediaType::from("x/y"), sha512.parse().unwrap(), 2);
    let writer = begin(&*end.target).await;
    send(&*writer, &descriptor, &Bytes::from_static(b"{}")).await;
    assert!(exists(&*writer, &descriptor).await);
}

pub(super) async fn truncate_discards_written_bytes(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(3000, 1);
    let mut blob = open(&*writer, &descriptor).await;
    for wrong in [5, 2900] {
        blob.write(Bytes::from(vec![7; wrong])).await.unwrap();
        blob.truncate().await.unwrap();
        assert_eq!(blob.offset(), 0);
    }
    blob.write(bytes.slice(..1)).await.unwrap();
    blob.write(bytes.slice(1..)).await.unwrap();
    blob.commit(verify(&descriptor, &bytes).unwrap()).await.unwrap();
    assert!(exists(&*writer, &descriptor).await);
}

pub(super) async fn drop_before_commit_leaves_blob_absent(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(3000, 1);
    let mut dropped = open(&*writer, &descriptor).await;
    dropped.write(bytes).await.unwrap();
    drop(dropped);
    assert!(!exists(&*writer, &descriptor).await);
}

pub(super) async fn abort_leaves_target_usable(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(3000, 1);
    let mut aborted = open(&*writer, &descriptor).await;
    aborted.write(bytes.slice(..100)).await.unwrap();
    aborted.abort(&Error::new(ErrorKind::NotFound, "the rest")).await;
    assert!(!exists(&*writer, &descriptor).await);
    let mut again = open(&*writer, &descriptor).await;
    again.truncate().await.unwrap();
    again.write(bytes.clone()).await.unwrap();
    again.commit(verify(&descriptor, &bytes).unwrap()).await.unwrap();
}
