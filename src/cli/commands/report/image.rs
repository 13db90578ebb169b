//! An image of a report, read with everything that the page says about it.

use std::collections::HashSet;

use crate::cli::image::analysis::{analyze_layers, analyzer};
use crate::cli::image::layer_source::{LayerSource, malformed};
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpack_report::run_with_progress;
use crate::cli::page::size_tree::{PathBytes, SizeTree};
use crate::cli::settings::Settings;
use crate::control::Control;
use crate::digest::Digest;
use crate::error::Result;
use crate::insight::analyze::Analysis;
use crate::insight::files::{Change, ChangeKind};
use crate::insight::history::{HistoryRow, history};
use crate::insight::layers::{LayerRow, layers};
use crate::layer::EntryKind;

/// Maximum rows of all layers together, so that a page of many images can still be opened.
const MAX_ROWS: usize = 60_000;

/// Maximum rows of one layer.
const MAX_LAYER_ROWS: usize = 5000;

/// Minimum rows of one layer.
const MIN_LAYER_ROWS: usize = 100;

/// One platform's image.
pub(super) struct ReportedImage {
    pub(super) reference: String,
    /// The document that the name resolves to.
    pub(super) digest: Digest,
    pub(super) platform: String,
    pub(super) created: Option<String>,
    /// Distinct blobs of config and layers, with their sizes.
    pub(super) blobs: Vec<(Digest, u64)>,
    pub(super) layers: Vec<LayerRow>,
    /// Oldest first.
    pub(super) steps: Vec<HistoryRow>,
    pub(super) analysis: Analysis,
    /// Uncompressed bytes of each layer.
    pub(super) unpacked: Vec<u64>,
    /// The files of each layer.
    pub(super) files: Vec<SizeTree>,
}

impl ReportedImage {
    /// Reads the layers of an image. `all_layers` is the number of layers of all images: the rows of the page are shared among
    /// them.
    pub(super) async fn read(
        mut image: OpenedImage,
        all_layers: usize,
        settings: &Settings,
    ) -> Result<Self> {
        let source = LayerSource::new(&image, settings);
        let blobs = source.layers(&image, settings)?;
        let analyzer = analyzer(&image)?;
        let limit = (MAX_ROWS / all_layers.max(1)).clamp(MIN_LAYER_ROWS, MAX_LAYER_ROWS);
        let work = move |control: &Control| {
            let files = std::cell::RefCell::new(LayerFiles::new(limit));
            let (analysis, unpacked) = analyze_layers(
                analyzer,
                blobs,
                control,
                |layer, change| files.borrow_mut().change(layer, change),
                |_, _| files.borrow_mut().end_layer(),
            )?;
            Ok((analysis, unpacked, files.into_inner().trees))
        };
        let read = run_with_progress(&mut image, settings, &settings.control, work).await;
        let (analysis, unpacked, files) = read.map_err(malformed)?;
        source.print_receipt(&image, settings);
        let manifest = image.manifest()?;
        let mut counted = HashSet::new();
        let distinct = manifest.blobs().filter(|blob| counted.insert(blob.digest.clone()));
        let mut steps = history(manifest, &image.config);
        steps.reverse();
        Ok(Self {
            digest: image.opened.named_document(&image.root).await.digest().clone(),
            platform: image.config.platform().to_string(),
            created: image.config.created.clone(),
            blobs: distinct.map(|blob| (blob.digest.clone(), blob.size)).collect(),
            layers: layers(manifest, &image.config),
            reference: image.opened.reference.clone(),
            steps,
            analysis,
            unpacked,
            files,
        })
    }

    /// Bytes of config and layers.
    pub(super) fn size(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum()
    }
}

/// Collects the files of each layer.
struct LayerFiles {
    limit: usize,
    trees: Vec<SizeTree>,
    open: SizeTree,
    /// Files of the current layer with several names, whose bytes were counted.
    counted: HashSet<u32>,
}

impl LayerFiles {
    fn new(limit: usize) -> Self {
        let (trees, counted) = (Vec::new(), HashSet::new());
        Self { limit, trees, open: SizeTree::new(limit), counted }
    }

    fn change(&mut self, layer: usize, change: &Change<'_>) {
        let mut bytes = PathBytes::default();
        if let Some(file) = change.after.filter(|file| file.kind != EntryKind::Directory) {
            bytes.files = 1;
            let is_own = file.layer == layer;
            if is_own && (file.names < 2 || self.counted.insert(file.inode)) {
                match change.kind {
                    ChangeKind::Modified => bytes.modified = file.size,
                    _ => bytes.added = file.size,
                }
            }
        }
        if change.kind == ChangeKind::Deleted {
            bytes.files = change.hidden.files;
            bytes.deleted = change.hidden.bytes;
        }
        if bytes != PathBytes::default() {
            self.open.add(change.path, bytes);
        }
        if change.hidden.bytes > 0
            && let Some(hidden) = change.before
            && let Some(tree) = self.trees.get_mut(hidden.layer)
        {
            tree.add_wasted(change.path, change.hidden.bytes);
        }
    }

    fn end_layer(&mut self) {
        let mut ended = std::mem::replace(&mut self.open, SizeTree::new(self.limit));
        ended.end();
        self.trees.push(ended);
        self.counted.clear();
    }
}
