use super::super::ArchiveFormat;
use super::*;
use crate::content::Provenance;
use crate::verifier::verify;

/// An archive for a pipe whose other end takes everything.
fn piped() -> OciTarget {
    let options = WriteOptions { format: ArchiveFormat::Oci, ..WriteOptions::default() };
    let target = OciTarget::new(ArchiveOutput::Stdout, options);
    let sink = ArchiveSink::pipe(Box::new(std::io::sink()), "stdout");
    let open = OpenArchive { area: BlobArea::new(sink), archive_file: Mutex::new(None) };
    assert!(target.0.open.set(open).is_ok());
    target
}

async fn send(writer: &dyn TargetWriter, bytes: &'static [u8]) -> Result<()> {
    let descriptor = Descriptor::for_bytes(MediaType::OCI_CONFIG, bytes);
    match writer.open_blob(&descriptor, &OpenBlobOptions::default()).await? {
        Opened::Writer(mut blob) => {
            blob.write(Bytes::from_static(bytes)).await?;
            assert!(matches!(blob.read_back()?, Presence::Unknown), "it is gone");
            blob.commit(verify(&descriptor, bytes)?).await
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pipe_blob_out_of_order_is_refused_without_damage() {
    let target = piped();
    assert!(target.properties().sequential);
    let blobs = [&b"one"[..], b"two", b"three"]
        .map(|bytes| Descriptor::for_bytes(MediaType::OCI_CONFIG, bytes));
    let plan = TargetPlan {
        blobs: blobs.iter().map(|blob| (blob, BlobPresence::Absent)).collect(),
        ..TargetPlan::default()
    };
    let writer = target.begin(&plan).await.unwrap();
    for refused in [&b"two"[..], b"three", b"not planned"] {
        let descriptor = Descriptor::for_bytes(MediaType::OCI_CONFIG, refused);
        let error = writer.open_blob(&descriptor, &OpenBlobOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    for bytes in [&b"one"[..], b"two", b"three"] {
        send(&*writer, bytes).await.unwrap();
    }
    let again = writer.open_blob(&blobs[0], &OpenBlobOptions::default()).await.unwrap();
    assert!(matches!(again, Opened::Exists));
}

#[tokio::test]
async fn pipe_unplanned_manifest_is_refused() {
    let writer = piped().begin(&TargetPlan::default()).await.unwrap();
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    let index = Document::from_response(index.into(), &MediaType::OCI_INDEX, None).unwrap();
    let role = Role::Root { names: &[], provenance: &Provenance::default() };
    let error = writer.put_manifest(&index, role).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
