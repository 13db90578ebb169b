//! What `docker save` writes: manifest.json names a config and layers, which become an OCI manifest on reading.
//!
//! The config keeps its bytes, and so the image its id. A layer's digest is the `diff_id` that the config gives it: its
//! bytes are verified against that wherever they go.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::json;

use super::piece::{Piece, Reading};
use super::tarball::{Lack, Tarball};
use super::{Held, Image, JSON_LIMIT, full, small, small_file, unusable};
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{Object, null_is_default};
use crate::layer::{Compression, decompress};
use crate::media::MediaType;

pub(super) const MANIFEST: &str = "manifest.json";

/// Images that are listed.
const MOST: usize = 1024;

/// Bytes of one layer that are decompressed to learn how many there are.
const LAYER_LIMIT: u64 = 1 << 40;

const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<String>,
}

/// The images of manifest.json; `None` where there is no such file.
pub(super) fn images(tar: &Tarball) -> Result<Option<Vec<Image>>> {
    let Some(text) = small_file(tar, MANIFEST, JSON_LIMIT)? else { return Ok(None) };
    let items: Option<Vec<Object<Item>>> = serde_json::from_slice(&text)
        .map_err(|error| unusable(MANIFEST, "is damaged").caused_by(error))?;
    let items = items.ok_or_else(|| unusable(MANIFEST, "is null"))?;
    if items.len() > MOST {
        return Err(unusable(MANIFEST, &format!("lists more than {MOST} images")));
    }
    let images = items.into_iter().map(|Object(item)| Image {
        names: item.repo_tags.iter().map(|tag| full(tag)).collect(),
        content: Held::Files(Recipe {
            config: item.config,
            layers: item.layers,
            built: OnceLock::new(),
        }),
    });
    Ok(Some(images.collect()))
}

/// Names of the files that make up an image.
#[derive(Debug)]
pub(super) struct Recipe {
    config: String,
    layers: Vec<String>,
    built: OnceLock<Built>,
}

/// The image as an OCI one.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) document: Document,
    pub(super) pieces: HashMap<Digest, Piece>,
}

impl Recipe {
    /// What was made of it already.
    pub(super) fn built(&self) -> Option<&Built> {
        self.built.get()
    }

    /// Makes the manifest, once. Layers that are compressed in the archive are decompressed to learn their size.
    pub(super) fn build(&self, tar: &Arc<Tarball>) -> Result<&Built> {
        if let Some(built) = self.built.get() {
            return Ok(built);
        }
        let built = self.make(tar)?;
        Ok(self.built.get_or_init(|| built))
    }

    fn make(&self, tar: &Arc<Tarball>) -> Result<Built> {
        let span = tar.find_only(&self.config).map_err(|lack| lacks(&self.config, lack))?;
        let bytes = small(tar, &self.config, span.clone(), CONFIG_LIMIT)?;
        let config = ImageConfig::parse(&bytes)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != self.layers.len() {
            let why = format!("names {} layers, its config {}", self.layers.len(), diff_ids.len());
            return Err(unusable(MANIFEST, &why));
        }
        let config = Descriptor::of(MediaType::OCI_CONFIG, &bytes);
        let mut pieces = HashMap::new();
        let mut layers = Vec::new();
        for (name, diff_id) in self.layers.iter().zip(diff_ids) {
            diff_id.algorithm()?;
            let span = tar.find(name).map_err(|lack| lacks(name, lack))?;
            let piece = layer(tar, name, span)?;
            layers.push(Descriptor::new(LAYER_TYPE.into(), diff_id.clone(), piece.size));
            pieces.insert(diff_id.clone(), piece);
        }
        // Last, so that a layer that says it is the config does not take its place.
        pieces.insert(config.digest.clone(), Piece::plain(span));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers,
        });
        let document =
            Document::received(manifest.to_string().into(), &MediaType::OCI_MANIFEST, None)?;
        Ok(Built { document, pieces })
    }
}

fn layer(tar: &Arc<Tarball>, name: &str, span: Range<u64>) -> Result<Piece> {
    let fail = |error: io::Error| unusable(name, "cannot be read").caused_by(error);
    let mut start = vec![0; Compression::LOOK_AT];
    let length = span.end - span.start;
    let read = tar.read_at(&mut start, span.start).map_err(fail)?;
    start.truncate(read.min(usize::try_from(length).unwrap_or(usize::MAX)));
    let compression = Compression::of(&start).map_err(|other| {
        let why = format!("layer `{name}` is compressed with {other}");
        Error::new(ErrorKind::Unsupported, "archive").because(why)
    })?;
    if compression == Compression::Plain {
        return Ok(Piece::plain(span));
    }
    let reading = Reading::new(Arc::clone(tar), span.clone());
    let inside = decompress(compression, reading).map_err(fail)?;
    let size = io::copy(&mut inside.take(LAYER_LIMIT + 1), &mut io::sink()).map_err(fail)?;
    if size > LAYER_LIMIT {
        return Err(unusable(name, &format!("has more than {LAYER_LIMIT} bytes inside")));
    }
    Ok(Piece { span, compression, size })
}

fn lacks(name: &str, lack: Lack) -> Error {
    match lack {
        Lack::Missing => unusable(name, "is missing"),
        Lack::Unusable(why) => unusable(name, why),
    }
}
