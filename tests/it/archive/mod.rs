//! OCI and docker archives: reading them, and `save` and `load`.

mod cancel;
mod docker;
mod limits;
mod load;
mod names;
mod oci;
mod oci_spec;
mod output;
mod save_load;
mod since;
mod tar_index;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::{BlobRequest, Source as _};
use rpull::document::ParsedDocument;
use rpull::error::Error;
use rpull::name::ImageName;
use rpull::verifier::verify;
use tempfile::TempDir;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::samples::published;

fn app() -> Image {
    let layers = [layer(&[("base", &random_blob(9_000, 1))]), layer(&[("app", b"2")])];
    image(Family::Docker, "amd64", &layers)
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// Reads and verifies the only image. Returns the digest of its manifest.
async fn read_all(archive: &Archive) -> Result<String, Error> {
    let document = archive.resolve(&ImageName::Only).await?;
    let ParsedDocument::Manifest(manifest) = document.parsed() else { panic!("one platform") };
    for blob in manifest.blobs() {
        let body = archive.open_blob(BlobRequest::starting_at(blob, 0)).await?;
        let bytes = body.stream.try_collect::<BytesMut>().await?;
        verify(blob, &bytes)?;
    }
    Ok(document.digest().to_string())
}

async fn read(bytes: &[u8], form: ArchiveFormat) -> Result<String, Error> {
    let (_dir, path) = written(bytes);
    read_all(&Archive::open(&path, Some(form))?).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A store with both versions of an image, and their names.
async fn filled() -> (FakeRegistry, Cli, [Image; 2], [String; 2]) {
    let (registry, images, name) = published().await;
    let (cli, names) = (Cli::new(), ["1", "2"].map(|tag| format!("{name}:{tag}")));
    cli.run(&["pull", &names[0], &names[1]]).await.expect(0, "");
    (registry, cli, images, names)
}

/// Blobs of an archive, in its order.
fn blobs(path: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let paths = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        assert_eq!((entry.header().uid().unwrap(), entry.header().mtime().unwrap()), (0, 0));
        entry.path().unwrap().to_str().unwrap().to_owned()
    });
    paths.filter_map(|path| Some(path.strip_prefix("blobs/sha256/")?.to_owned())).collect()
}
