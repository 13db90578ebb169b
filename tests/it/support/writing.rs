//! Writes to a target step by step, where no engine is wanted.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rpull::archive::{self, ArchiveFormat, ArchiveOutput, WriteOptions};
use rpull::content::{
    BlobWriter, OpenBlobOptions, Opened, Provenance, Role, Target, TargetPlan, TargetWriter,
};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::Result;
use rpull::name::ImageName;
use rpull::verifier::verify;

use super::images::{Blob, Image};

/// A run that plans nothing.
pub(crate) async fn begin(target: &dyn Target) -> Arc<dyn TargetWriter> {
    target.begin(&TargetPlan::default()).await.unwrap()
}

/// Opens a blob that the target does not have.
pub(crate) async fn open(writer: &dyn TargetWriter, blob: &Descriptor) -> Box<dyn BlobWriter> {
    match writer.open_blob(blob, &OpenBlobOptions::default()).await.unwrap() {
        Opened::Writer(blob) => blob,
        other => panic!("nothing of it should be there, but {other:?}"),
    }
}

/// Writes and commits all of a blob that the target does not have.
pub(crate) async fn send(writer: &dyn TargetWriter, descriptor: &Descriptor, bytes: &Bytes) {
    let mut blob = open(writer, descriptor).await;
    blob.write(bytes.clone()).await.unwrap();
    blob.commit(verify(descriptor, bytes).unwrap()).await.unwrap();
}

/// Writes and commits the config and the layers of an image.
pub(crate) async fn send_blobs(writer: &dyn TargetWriter, image: &Image) {
    for Blob { descriptor, bytes } in image.blobs() {
        send(writer, descriptor, bytes).await;
    }
}

/// Puts an image under a name.
pub(crate) async fn put(
    writer: &dyn TargetWriter,
    document: &Document,
    name: &ImageName,
) -> Result<()> {
    let names = std::slice::from_ref(name);
    let provenance = Provenance::default();
    writer.put_manifest(document, Role::Root { names, provenance: &provenance }).await
}

/// The manifest or index as it would be received.
pub(crate) fn document(piece: &Blob) -> Document {
    Document::from_descriptor(piece.bytes.clone(), &piece.descriptor).unwrap()
}

/// Writes an image with all that belongs to it, in one run.
pub(crate) async fn write(target: &dyn Target, image: &Image, name: &ImageName) {
    let writer = begin(target).await;
    send_blobs(&*writer, image).await;
    put(&*writer, &document(&image.manifest), name).await.unwrap();
    writer.finish().await.unwrap();
}

/// An archive of one image that is to come to be at this path.
pub(crate) fn new_archive(format: ArchiveFormat, path: &Path) -> Arc<dyn Target> {
    let options = WriteOptions::default().format(format);
    archive::write(ArchiveOutput::File(path.to_owned()), options).unwrap()
}
