//! `save --since`: blobs that the recipient of the archive already has.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::Path;

use crate::archive::entries_of_index;
use crate::cli::image::open::open_archive;
use crate::cli::input::open_input;
use crate::cli::settings::Settings;
use crate::descriptor::Descriptor;
use crate::digest::{Digest, DigestError};
use crate::document::TreeWalk;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;

/// Maximum bytes read of an inventory or index.json.
const MAX_INVENTORY_BYTES: u64 = 256 << 20;

/// Bytes that are read to distinguish text from an archive.
const SNIFF_BYTES: usize = 512;

/// Returns the blobs listed in an inventory, in the images of an archive, in those images of an index.json that the
/// store has, or in an image of the store.
pub(in crate::cli) async fn omitted_digests(
    path: &Path,
    settings: &Settings,
) -> Result<HashSet<Digest>> {
    let fail = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Store,
        };
        Error::new(kind, "--since").at(path.display().to_string()).with_source(error)
    };
    let mut file = match open_input(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match image_root(path, settings)? {
                Some(root) => return blobs_of_images(vec![root], settings),
                None => {
                    return Err(fail(error).with_hint(
                        "--since takes a file (`rpull inventory`, index.json, an archive), `-` or an image of the store",
                    ));
                }
            }
        }
        other => other.map_err(fail)?,
    };
    let mut text = Vec::new();
    file.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut text).map_err(fail)?;
    let json = text.trim_ascii_start().starts_with(b"{");
    if !json && text.iter().any(|byte| *byte == 0 || !byte.is_ascii()) {
        if !path.is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "--since")
                .at(path.display().to_string())
                .with_reason("an archive must be a file, not a pipe"));
        }
        return Ok(open_archive(path.to_owned(), None, settings)
            .await?
            .digests()?
            .into_iter()
            .collect());
    }
    file.take(MAX_INVENTORY_BYTES).read_to_end(&mut text).map_err(fail)?;
    if json {
        return blobs_of_images(entries_of_index(&text)?, settings);
    }
    inventory(&text).map_err(|error| error.at(path.display().to_string()))
}

/// The image of the store with this name.
fn image_root(name: &Path, settings: &Settings) -> Result<Option<Descriptor>> {
    let reference = name.to_str().and_then(|text| text.parse::<Reference>().ok());
    let (Some(reference), Some(store)) = (reference, settings.store_if_any()?) else {
        return Ok(None);
    };
    Ok(store.entry(&reference.to_string())?.map(|entry| entry.descriptor))
}

fn inventory(text: &[u8]) -> Result<HashSet<Digest>> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            line.trim().parse().map_err(|error: DigestError| {
                let reason = format!("line {} is not a digest: {}", at + 1, error.reason());
                Error::new(ErrorKind::InvalidInput, "--since").with_reason(reason)
            })
        })
        .collect()
}

/// Returns the blobs of these images, as far as the store has their documents.
fn blobs_of_images(roots: Vec<Descriptor>, settings: &Settings) -> Result<HashSet<Digest>> {
    let (mut digests, mut walk) = (HashSet::new(), TreeWalk::default());
    let Some(store) = settings.store_if_any()? else { return Ok(digests) };
    walk.queue(0, roots);
    while let Some(step) = walk.next_step() {
        digests.insert(step.item.digest.clone());
        match store.read_document(&step.item) {
            Ok(document) => {
                digests.extend(document.blobs().map(|blob| blob.digest.clone()));
                walk.queue(step.depth + 1, document.children().cloned());
            }
            Err(error) => tracing::info!("{}; including its blobs", error.chain()),
        }
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inventory_rejects_line_without_digest() {
        let digest = Digest::sha256(b"a");
        let digests = inventory(format!("{digest}\r\n\n  {digest}\n").as_bytes()).unwrap();
        assert_eq!(digests, HashSet::from([digest]));
        assert!(inventory(b"").unwrap().is_empty());
        let error = inventory(b"\nalpine:3.14\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("line 2 is not a digest"), "{error}");
    }
}
