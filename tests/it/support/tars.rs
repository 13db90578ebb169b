//! Image archives built entry by entry, valid or not.

use rpull::digest::Digest;
use serde_json::{Value, json};

use super::cli::Cli;
use super::images::{Image, uncompressed};

/// An entry of a tar.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    File(String, Vec<u8>),
    /// A symbolic link and its target.
    Symlink(String, String),
    /// A hard link and its target.
    Hardlink(String, String),
    /// PAX records of the next entry.
    Pax(Vec<(&'static str, String)>),
    /// Raw blocks.
    Raw(Vec<u8>),
}

pub(crate) fn file(name: &str, bytes: impl Into<Vec<u8>>) -> Entry {
    Entry::File(name.to_owned(), bytes.into())
}

pub(crate) fn symlink(name: &str, target: &str) -> Entry {
    Entry::Symlink(name.to_owned(), target.to_owned())
}

/// Returns the header of an entry of this type, without a name.
pub(crate) fn long(size: u64, kind: u8) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Returns GNU tar's long name of the next entry.
pub(crate) fn long_name(name: &[u8]) -> Entry {
    let mut blocks = [&long(name.len() as u64, b'L')[..], name].concat();
    blocks.resize(blocks.len().next_multiple_of(512), 0);
    Entry::Raw(blocks)
}

/// Returns a tar of these entries, in order.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        match entry {
            Entry::File(name, bytes) => {
                header.set_size(bytes.len() as u64);
                // Written directly: the library refuses paths that lead out of the archive.
                header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
                header.set_cksum();
                tar.append(&header, &bytes[..]).unwrap();
            }
            Entry::Symlink(name, target) | Entry::Hardlink(name, target) => {
                let symbolic = matches!(entry, Entry::Symlink(..));
                let kind = if symbolic { tar::EntryType::Symlink } else { tar::EntryType::Link };
                header.set_entry_type(kind);
                header.set_size(0);
                header.set_path(name).unwrap();
                header.set_link_name_literal(target).unwrap();
                header.set_cksum();
                tar.append(&header, &[][..]).unwrap();
            }
            Entry::Pax(records) => {
                let records = records.iter().map(|(key, value)| (*key, value.as_bytes()));
                tar.append_pax_extensions(records).unwrap();
            }
            Entry::Raw(bytes) => {
                use std::io::Write as _;
                tar.get_mut().write_all(bytes).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

/// Returns `manifest.json` of a docker archive.
pub(crate) fn manifest(items: &Value) -> Entry {
    file("manifest.json", items.to_string())
}

/// Returns the entries of an archive of older Docker versions: one directory per layer, `manifest.json` last.
pub(crate) fn classic(image: &Image, tags: &[&str]) -> Vec<Entry> {
    let plain = uncompressed(image);
    let config = format!("{}.json", image.config.digest().encoded());
    let names: Vec<String> = (0..plain.layers.len()).map(|at| format!("l{at}/layer.tar")).collect();
    let mut entries = vec![file(&config, &image.config.bytes[..])];
    entries
        .extend(names.iter().zip(&plain.layers).map(|(name, layer)| file(name, &layer.bytes[..])));
    entries.push(manifest(&json!([{"Config": config, "RepoTags": tags, "Layers": names}])));
    entries
}

/// Returns an image layout with one image.
pub(crate) fn layout(image: &Image, name: Option<&str>) -> Vec<Entry> {
    let mut entry = serde_json::to_value(&image.manifest.descriptor).unwrap();
    if let Some(name) = name {
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    }
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    let blob =
        |digest: &Digest, bytes: &[u8]| file(&format!("blobs/sha256/{}", digest.encoded()), bytes);
    let mut entries: Vec<Entry> =
        image.blobs().map(|piece| blob(piece.digest(), &piece.bytes)).collect();
    entries.push(blob(image.manifest.digest(), &image.manifest.bytes));
    entries.push(file("index.json", index.to_string()));
    entries.push(file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    entries
}

/// Writes an archive of the image into the working directory and returns its location.
pub(crate) fn write_to(cli: &Cli, image: &Image) -> String {
    let archive = tar(&layout(image, Some("team/app:1")));
    std::fs::write(cli.dir().join("image.tar"), archive).unwrap();
    "oci-archive:image.tar".to_owned()
}
