//! `inspect --encoder`: what compressed each layer, from its first bytes.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::encoder_row::{columns, json_of, row};
use super::origin::Origin;
use crate::blocking::run_blocking;
use crate::cli::args::Inspect;
use crate::cli::exit;
use crate::cli::image::open::{check_creds_of, store_else_registry};
use crate::cli::image::range_reader::RangeReader;
use crate::cli::output;
use crate::cli::run::report::json_of as json_with_error;
use crate::cli::settings::{Settings, platform};
use crate::cli::table::table;
use crate::cli::terminal_width::terminal_width;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::limits::CONCURRENT_REQUESTS;
use crate::transfer::{PlatformRequest, resolve_image};

/// Bytes of a layer that are read.
const READ_BYTES: u64 = 256 << 10;

/// The layers of an image, base first.
struct ImageOrigins {
    reference: String,
    source: String,
    digest: Digest,
    manifest: Digest,
    layers: Vec<(Descriptor, Origin)>,
}

/// Layers by digest: images share them, and images can contain a layer twice.
type OriginsByDigest = HashMap<Digest, Origin>;

pub(super) async fn run(args: &Inspect, settings: &Settings) -> Result<ExitCode> {
    check_creds_of(&args.images, settings)?;
    let choice = platform(args.platform.platform.as_deref())?;
    let (mut known, mut values, mut errors) = (OriginsByDigest::new(), Vec::new(), Vec::new());
    let mut gap = "";
    for text in &args.images {
        let found = read(text, &choice, &mut known, settings).await;
        match &found {
            Err(error) if settings.json => {
                values.push(json_with_error(&json!({ "reference": text }), Some(error))?);
            }
            Ok(image) if settings.json => values.push(image.json()),
            Ok(image) => {
                if args.images.len() > 1 {
                    output::text(&format!("{gap}{}\n", crate::escape(&image.reference)))?;
                    gap = "\n";
                }
                output::text(&image.table())?;
            }
            Err(_) => {}
        }
        if let Err(error) = found {
            exit::report_for(text, &error);
            errors.push(error);
        }
    }
    if settings.json {
        output::json(&values)?;
    }
    Ok(exit::code_of_all(errors.iter()))
}

async fn read(
    text: &str,
    choice: &PlatformRequest,
    known: &mut OriginsByDigest,
    settings: &Settings,
) -> Result<ImageOrigins> {
    let found = store_else_registry(text, settings, async |opened| {
        let source = &opened.source;
        let resolved = resolve_image(
            &**source,
            &opened.name,
            &opened.reference,
            Some(choice),
            &settings.retry,
        );
        let resolved = resolved.await?;
        let ranges = RangeReader::new(Arc::clone(source), settings.retry, Arc::default());
        let manifest = resolved.manifest.manifest()?;
        let mut unknown: HashMap<&Digest, &Descriptor> =
            manifest.layers.iter().map(|layer| (&layer.digest, layer)).collect();
        unknown.retain(|digest, _| !known.contains_key(*digest));
        let reading = unknown.into_values().map(async |layer| {
            let origin = origin(&ranges, layer).await?;
            Ok::<_, Error>((layer.digest.clone(), origin))
        });
        let read: OriginsByDigest = stream::iter(reading.collect::<Vec<_>>())
            .buffer_unordered(CONCURRENT_REQUESTS)
            .try_collect()
            .await?;
        let origin = |layer: &Descriptor| {
            let origin = known.get(&layer.digest).or_else(|| read.get(&layer.digest));
            origin.map(|origin| (layer.clone(), origin.clone()))
        };
        let layers = manifest.layers.iter().filter_map(origin).collect();
        Ok(ImageOrigins {
            reference: opened.reference.clone(),
            source: source.endpoint().location.clone(),
            digest: resolved.root.digest().clone(),
            manifest: resolved.manifest.digest().clone(),
            layers,
        })
    });
    let found = found.await?;
    let layers = found.layers.iter();
    known.extend(layers.map(|(layer, origin)| (layer.digest.clone(), origin.clone())));
    Ok(found)
}

/// Reads the first bytes of a layer, also where the registry sends all of it.
async fn origin(ranges: &RangeReader, layer: &Descriptor) -> Result<Origin> {
    let start = if layer.size == 0 {
        Bytes::new()
    } else {
        ranges.fetch(layer, 0..layer.size.min(READ_BYTES)).await?.unwrap_or_default()
    };
    run_blocking("inspect a layer", move || Ok(Origin::from_start(&start))).await
}

impl ImageOrigins {
    fn table(&self) -> String {
        let rows = self.layers.iter().enumerate();
        let rows: Vec<_> = rows.map(|(index, (layer, origin))| row(index, layer, origin)).collect();
        table(columns(), &rows, terminal_width())
    }

    fn json(&self) -> Value {
        let layers = self.layers.iter().enumerate();
        let layers = layers.map(|(index, (layer, origin))| json_of(index, layer, origin));
        json!({
            "reference": self.reference,
            "source": self.source,
            "digest": self.digest,
            "manifest": self.manifest,
            "layers": layers.collect::<Vec<_>>(),
        })
    }
}
