//! `inspect`: summarizes an image or artifact.

mod encoder_row;
mod encoders;
mod origin;
mod skopeo;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::args::Inspect;
use crate::cli::format::NamedFormat;
use crate::cli::image::inspected::{Inspected, parts_json, parts_table};
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::cli::table::fields;
use crate::cli::terminal_width::terminal_width;
use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::document::{Document, ParsedDocument, available_platforms};
use crate::error::{Error, ErrorKind, Result};

pub(in crate::cli) async fn run(args: Inspect, settings: &Settings) -> Result<ExitCode> {
    let is_skopeo = settings.format == Some(NamedFormat::Skopeo);
    if args.encoder && !is_skopeo {
        return encoders::run(&args, settings).await;
    }
    let refuse =
        |what: &str, reason| Err(Error::new(ErrorKind::InvalidInput, what).with_reason(reason));
    if args.encoder {
        return refuse("--encoder", "cannot be combined with `--format skopeo`");
    }
    let [image] = args.images.as_slice() else {
        return refuse("inspect", "accepts several images only with `--encoder`");
    };
    let inspected = Inspected::open(image, args.platform.platform.as_deref(), settings).await?;
    let named = inspected.opened.named_document(&inspected.root).await;
    let summary = InspectSummary::new(&inspected, &named);
    if is_skopeo {
        output::json(&skopeo::json_of(&inspected, summary.root, summary.config, settings).await?)?;
    } else if settings.json {
        output::json(&summary.json())?;
    } else {
        output::text(&summary.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

struct InspectSummary<'a> {
    inspected: &'a Inspected,
    /// The document that the name resolves to.
    root: &'a Document,
    config: Option<&'a ImageConfig>,
    platforms: Vec<String>,
    /// Bytes of all blobs, each counted once.
    total: u64,
    /// Descriptor of the chosen document, with its own artifact type and annotations.
    own: Descriptor,
}

impl<'a> InspectSummary<'a> {
    fn new(inspected: &'a Inspected, root: &'a Document) -> Self {
        let config = match &inspected.config {
            Ok(config) => Some(config),
            Err(_) if inspected.is_artifact() => None,
            Err(error) => {
                if !matches!(inspected.chosen.parsed(), ParsedDocument::Index(_)) {
                    tracing::warn!("{}", error.chain());
                }
                None
            }
        };
        let platforms = match inspected.root.parsed() {
            ParsedDocument::Index(index) => available_platforms(&index.manifests),
            ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => {
                config.map(|config| config.platform().to_string()).into_iter().collect()
            }
        };
        let total = inspected.chosen.distinct_bytes();
        Self { inspected, root, config, platforms, total, own: inspected.chosen.as_referrer() }
    }

    /// The artifact type; `None` for an image.
    fn artifact_type(&self) -> Option<&str> {
        self.own.artifact_type.as_deref().filter(|_| self.config.is_none())
    }

    fn json(&self) -> Value {
        let (inspected, config) = (self.inspected, self.config);
        let layers = match inspected.chosen.parsed() {
            ParsedDocument::Manifest(manifest) => manifest.layers.as_slice(),
            ParsedDocument::Index(_) | ParsedDocument::Artifact(_) => &[],
        };
        let mut value = json!({
            "reference": inspected.opened.reference,
            "source": inspected.opened.source.endpoint().location,
            "digest": self.root.digest(),
            "manifest": inspected.chosen.digest(),
            "media_type": self.root.descriptor().media_type,
            "platform": config.map(|config| config.platform().to_string()),
            "platforms": self.platforms,
            "created": config.and_then(|config| config.created.as_ref()),
            "author": config.and_then(|config| config.author.as_ref()),
            "size": self.total,
            "layers": layers.iter().map(layer_json).collect::<Vec<_>>(),
            "config": config.and_then(|config| config.config.as_ref()),
        });
        if let (None, Some(object)) = (config, value.as_object_mut()) {
            let key = match inspected.chosen.parsed() {
                ParsedDocument::Index(_) => "entries",
                ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => "files",
            };
            object.insert(key.to_owned(), parts_json(inspected.parts()).into());
            object.insert("artifact_type".to_owned(), json!(self.artifact_type()));
            object.insert("annotations".to_owned(), json!(self.own.annotations));
            object.insert("subject".to_owned(), json!(inspected.chosen.subject()));
        }
        value
    }

    fn text(&self) -> String {
        let (inspected, mut rows) = (self.inspected, Vec::new());
        let mut row = |name: &str, value: &str| {
            if !value.is_empty() {
                rows.push([name.to_owned(), value.to_owned()]);
            }
        };
        row("image", &inspected.opened.reference);
        row("from", &inspected.opened.source.endpoint().location);
        row("digest", self.root.digest().as_str());
        if inspected.chosen.digest() != self.root.digest() {
            row("manifest", inspected.chosen.digest().as_str());
        }
        row("type", self.root.descriptor().media_type.as_str());
        row(
            "platform",
            &self.config.map(|config| config.platform().to_string()).unwrap_or_default(),
        );
        row("platforms", &self.platforms.join(", "));
        let Some(config) = self.config else {
            row("artifact", self.artifact_type().unwrap_or_default());
            row(
                "subject",
                inspected.chosen.subject().map_or("", |subject| subject.digest.as_str()),
            );
            for (key, value) in &self.own.annotations {
                row("annotation", &format!("{key}={value}"));
            }
            let what = match inspected.chosen.parsed() {
                ParsedDocument::Index(_) => "entry",
                ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => "file",
            };
            let count = inspected.parts().len() as u64;
            let count = if what == "entry" && count != 1 {
                format!("{count} entries")
            } else {
                plural(count, what)
            };
            row("size", &format!("{} in {count}", size(self.total)));
            let fields = fields(&rows, terminal_width());
            return format!("{fields}\n{}", parts_table(inspected.parts()));
        };
        row("created", config.created.as_deref().unwrap_or_default());
        let layers = plural(inspected.parts().len() as u64, "layer");
        row("size", &format!("{} in {layers}", size(self.total)));
        if let Some(options) = config.config.as_ref().and_then(|config| config.as_object()) {
            for (key, value) in options.iter().filter(|(_, value)| !value.is_null()) {
                row(&key.to_lowercase(), &value.to_string());
            }
        }
        fields(&rows, terminal_width())
    }
}

/// The descriptor of a layer, with its media type as it is called in the rest of the value.
fn layer_json(layer: &Descriptor) -> Value {
    let mut value = json!(layer);
    if let Some(object) = value.as_object_mut()
        && let Some(media_type) = object.remove("mediaType")
    {
        object.insert("media_type".to_owned(), media_type);
    }
    value
}
