//! Rewrites manifests and indexes. Members that do not change keep their text and order, and the document its white space.

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::recompress::is_about_bytes;
use crate::annotation;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageManifest, parse_entry};
use crate::edit::edited_object::{EditedObject, raw};
use crate::edit::format::ImageFormat;
use crate::edit::json_layout::JsonLayout;
use crate::edit::layer_file::NewLayer;
use crate::edit::manifest::layer_type;
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;

const MEDIA_TYPE: &str = "mediaType";

/// Members that only OCI's documents have, and that must not be lost.
const ONLY_OCI: [&str; 2] = ["subject", "artifactType"];

/// What replaces parts of a manifest.
#[derive(Default)]
pub(super) struct NewParts {
    /// Digest and size of another config.
    pub(super) config: Option<(Digest, u64)>,
    /// Other layers, at the positions of those that they replace.
    pub(super) layers: Vec<Option<NewLayer>>,
}

/// Returns the manifest in this format, with these parts.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for what the format cannot express.
pub(super) fn manifest(
    document: &Document,
    parsed: &ImageManifest,
    new: &NewParts,
    format: Option<ImageFormat>,
) -> Result<Document> {
    let mut rewritten = Rewritten::parse("manifest", document, format)?;
    let mut config = rewritten.object.object("config")?;
    let mut is_other = rewritten.set_media_type(&mut config, &parsed.config.media_type)?;
    if let Some((digest, size)) = &new.config {
        config.set("digest", digest)?;
        config.set("size", size)?;
        config.remove("data");
        is_other = true;
    }
    if is_other {
        rewritten.object.set("config", &config)?;
        rewritten.is_changed = true;
    }
    let mut layers = rewritten.object.list("layers")?;
    for ((layer, own), new) in layers.iter_mut().zip(&parsed.layers).zip(&new.layers) {
        let mut object = EditedObject::of("layer", layer)?;
        if let Some(new) = new {
            replace_layer(&mut object, own, new, &rewritten.media_type)?;
            rewritten.is_changed = true;
        } else if !rewritten.set_media_type(&mut object, &own.media_type)? {
            continue;
        }
        *layer = raw("layer", &object)?;
    }
    rewritten.finish("layers", &layers)
}

/// The config of an image with other layers, which have these `diff_id`s.
pub(super) fn config(bytes: &[u8], diff_ids: &[Digest]) -> Result<Vec<u8>> {
    let mut config = EditedObject::parse("image config", bytes)?;
    let mut rootfs = config.object("rootfs")?;
    rootfs.set("diff_ids", diff_ids)?;
    config.set("rootfs", &rootfs)?;
    let new = config.to_vec()?;
    Ok(JsonLayout::of(bytes).map_or_else(|| new.clone(), |layout| layout.apply(&new)))
}

/// Checks a manifest for what the format cannot express, without the layers that will be replaced.
///
/// # Errors
/// [`ErrorKind::Unsupported`].
pub(super) fn check(
    document: &Document,
    parsed: &ImageManifest,
    is_replaced: impl Fn(&Descriptor) -> bool,
    format: Option<ImageFormat>,
) -> Result<()> {
    let mut rewritten = Rewritten::parse("manifest", document, format)?;
    let kept = parsed.layers.iter().filter(|layer| !is_replaced(layer));
    for blob in kept.chain([&parsed.config]) {
        rewritten.set_media_type(&mut EditedObject::default(), &blob.media_type)?;
    }
    Ok(())
}

/// Describes the new blob.
fn replace_layer(
    object: &mut EditedObject,
    own: &Descriptor,
    new: &NewLayer,
    manifest: &MediaType,
) -> Result<()> {
    object.set(MEDIA_TYPE, &layer_type(manifest, new.compression())?)?;
    object.set("digest", new.digest())?;
    object.set("size", &new.size())?;
    object.remove("data");
    object.remove("urls");
    let is_wrong = |key: &String| is_about_bytes(key);
    if own.annotations.keys().any(is_wrong) || !new.annotations().is_empty() {
        let mut annotations = own.annotations.clone();
        annotations.retain(|key, _| !is_wrong(key));
        annotations.extend(new.annotations().clone());
        object.set("annotations", &annotations)?;
    }
    Ok(())
}

/// Returns the index in this format, with the new documents in place of those that it lists, and without entries of the
/// documents in `left_out`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for what the format cannot express, and for a manifest that was not converted.
pub(super) fn index(
    document: &Document,
    converted: &HashMap<Digest, Document>,
    left_out: &HashSet<Digest>,
    format: Option<ImageFormat>,
) -> Result<Document> {
    let mut rewritten = Rewritten::parse("index", document, format)?;
    let mut entries = Vec::new();
    for entry in rewritten.object.list("manifests")? {
        let own = parse_index_entry(&entry)?;
        if left_out.contains(&own.digest) {
            rewritten.is_changed = true;
            continue;
        }
        entries.push(rewritten.entry(&entry, &own, converted)?.unwrap_or(entry));
    }
    rewritten.finish("manifests", &entries)
}

fn parse_index_entry(entry: &RawValue) -> Result<Descriptor> {
    parse_entry(entry).map_err(|error| {
        Error::new(ErrorKind::InvalidDocument, "index").with_reason("malformed").with_source(error)
    })
}

/// A document that is being rewritten.
struct Rewritten<'a> {
    document: &'a Document,
    object: EditedObject,
    format: Option<ImageFormat>,
    /// The new type of the document.
    media_type: MediaType,
    is_changed: bool,
}

impl<'a> Rewritten<'a> {
    fn parse(what: &str, document: &'a Document, format: Option<ImageFormat>) -> Result<Self> {
        let mut object = EditedObject::parse(what, document.bytes())?;
        let own = &document.descriptor().media_type;
        let media_type = format.map_or_else(|| Some(own.clone()), |format| format.media_type(own));
        let media_type =
            media_type.ok_or_else(|| inexpressible(document, format, &format!("a {own}")))?;
        if format == Some(ImageFormat::Docker)
            && let Some(member) = ONLY_OCI.into_iter().find(|key| object.has(key))
        {
            return Err(inexpressible(document, format, &format!("a member `{member}`")));
        }
        let is_changed = media_type != *own;
        if is_changed {
            object.set(MEDIA_TYPE, &media_type)?;
        }
        Ok(Self { document, object, format, media_type, is_changed })
    }

    /// Sets the media type of a descriptor to that of the format. Returns whether it is another one.
    fn set_media_type(&mut self, object: &mut EditedObject, own: &MediaType) -> Result<bool> {
        let Some(format) = self.format else { return Ok(false) };
        let new = format
            .media_type(own)
            .ok_or_else(|| inexpressible(self.document, self.format, &format!("a {own}")))?;
        if new == *own {
            return Ok(false);
        }
        object.set(MEDIA_TYPE, &new)?;
        self.is_changed = true;
        Ok(true)
    }

    /// The entry of an index, if it is another one.
    fn entry(
        &mut self,
        entry: &RawValue,
        own: &Descriptor,
        converted: &HashMap<Digest, Document>,
    ) -> Result<Option<Box<RawValue>>> {
        let mut object = EditedObject::of("entry", entry)?;
        let is_other = if own.media_type.is_document() {
            let new = converted.get(&own.digest).ok_or_else(|| not_there(self.document, own))?;
            replace_document(&mut object, own, new.descriptor())?
        } else {
            self.set_media_type(&mut object, &own.media_type)?
        };
        let about = own
            .annotations
            .get(annotation::REFERENCE_DIGEST)
            .and_then(|about| about.parse::<Digest>().ok());
        let new_about = about.as_ref().and_then(|about| converted.get(about));
        let new_about = new_about.filter(|new| Some(new.digest()) != about.as_ref());
        if let Some(new) = new_about {
            object.extend(
                "annotations",
                [(annotation::REFERENCE_DIGEST.to_owned(), new.digest().as_str().into())],
            )?;
        }
        if !is_other && new_about.is_none() {
            return Ok(None);
        }
        self.is_changed = true;
        raw("entry", &object).map(Some)
    }

    /// The new document, with this list; the old one if nothing changed.
    fn finish(mut self, list: &str, items: &[Box<RawValue>]) -> Result<Document> {
        if !self.is_changed {
            return Ok(self.document.clone());
        }
        if self.object.has(list) {
            self.object.set(list, items)?;
        }
        let bytes = self.object.to_vec()?;
        let layout = JsonLayout::of(self.document.bytes());
        let bytes = layout.map_or_else(|| bytes.clone(), |layout| layout.apply(&bytes));
        let document = Document::from_response(bytes.into(), &self.media_type, None)?;
        Ok(document.with_platform(self.document.descriptor().platform.clone()))
    }
}

/// Describes the new document. Returns whether it is another one.
fn replace_document(object: &mut EditedObject, own: &Descriptor, new: &Descriptor) -> Result<bool> {
    if new.digest == own.digest {
        return Ok(false);
    }
    object.set(MEDIA_TYPE, &new.media_type)?;
    object.set("digest", &new.digest)?;
    object.set("size", &new.size)?;
    object.remove("data");
    Ok(true)
}

fn not_there(index: &Document, entry: &Descriptor) -> Error {
    Error::new(ErrorKind::Unsupported, format!("index {}", index.digest()))
        .with_reason(format!("lists {}, which is not there to be converted", entry.digest))
        .with_hint("select platforms with `--platform`")
}

fn inexpressible(document: &Document, format: Option<ImageFormat>, what: &str) -> Error {
    let name = match format {
        Some(ImageFormat::Docker) => "Docker's format",
        Some(ImageFormat::Oci) | None => "OCI's format",
    };
    let error = Error::new(ErrorKind::Unsupported, format!("document {}", document.digest()))
        .with_reason(format!("{name} cannot express {what}"));
    if what.contains("zstd") {
        return error.with_hint("add `--compression gzip`");
    }
    if what.contains("in-toto") {
        return error.with_hint("leave attestations out by copying one platform with `--platform`");
    }
    error
}
