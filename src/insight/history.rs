//! The build history of an image, as `docker history` shows it.

use serde::Serialize;

use super::{HistoryStep, diff_ids, steps};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::document::ImageManifest;

/// One step of the build history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HistoryRow {
    /// The image's id, the digest of its config, in the newest row. Registries do not know the ids of parent images.
    pub image: Option<Digest>,
    /// Creation time in RFC 3339.
    pub created: Option<String>,
    /// The command as written by the builder.
    pub created_by: String,
    /// Compressed bytes of the layer; 0 for a step without one.
    ///
    /// `docker history` shows the unpacked size, which is unknown without the layer.
    pub size: u64,
    /// The builder's comment.
    pub comment: String,
    /// Whether the config states that the step created no layer.
    pub empty_layer: bool,
    /// Digest of the layer.
    pub digest: Option<Digest>,
    /// Digest of the uncompressed layer.
    pub diff_id: Option<Digest>,
}

/// Returns the steps, newest first.
///
/// Layers that the history does not list have their own rows, and so have steps whose layer is missing.
pub fn history(manifest: &ImageManifest, config: &ImageConfig) -> Vec<HistoryRow> {
    let diff_ids = diff_ids(manifest, config);
    let mut rows: Vec<_> =
        steps(manifest, config).into_iter().rev().map(|step| row(step, diff_ids)).collect();
    if let Some(newest) = rows.first_mut() {
        newest.image = Some(manifest.config.digest.clone());
    }
    rows
}

fn row(step: HistoryStep<'_>, diff_ids: &[Digest]) -> HistoryRow {
    let entry = step.entry.cloned().unwrap_or_default();
    HistoryRow {
        image: None,
        created: entry.created,
        created_by: entry.created_by,
        size: step.layer.map_or(0, |(_, layer)| layer.size),
        comment: entry.comment,
        empty_layer: entry.empty_layer,
        digest: step.layer.map(|(_, layer)| layer.digest.clone()),
        diff_id: step.layer.and_then(|(index, _)| diff_ids.get(index)).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::testing::{config, manifest};

    #[test]
    fn history_is_newest_first_with_one_image_id() {
        let manifest = manifest(&["base", "packages"]);
        let config = config(2, &["ADD rootfs /", "-ENV A=1", "RUN apk add x", "-CMD sh"]);
        let rows = history(&manifest, &config);
        let shown: Vec<_> = rows.iter().map(|row| (row.created_by.as_str(), row.size)).collect();
        assert_eq!(
            shown,
            [("CMD sh", 0), ("RUN apk add x", 8), ("ENV A=1", 0), ("ADD rootfs /", 4)]
        );
        assert_eq!(rows[0].image.as_ref(), Some(&manifest.config.digest));
        assert!(rows[1..].iter().all(|row| row.image.is_none()));
        assert_eq!(rows[1].digest.as_ref(), Some(&manifest.layers[1].digest));
        assert_eq!(rows[1].diff_id.as_ref(), Some(&config.rootfs.diff_ids[1]));
        assert!(rows[2].empty_layer && rows[2].digest.is_none() && rows[2].diff_id.is_none());
    }

    #[test]
    fn history_unmatched_layers_and_steps_are_listed_separately() {
        let digests = |rows: &[HistoryRow]| rows.iter().map(|row| row.size).collect::<Vec<_>>();
        let appended = history(&manifest(&["1", "22", "333"]), &config(3, &["ADD", "-ENV"]));
        assert_eq!(digests(&appended), [333.to_string().len() as u64, 2, 0, 1]);
        assert_eq!(appended[0].created_by, "");
        let lost = history(&manifest(&["1"]), &config(1, &["ADD", "RUN a", "RUN b"]));
        assert_eq!(digests(&lost), [0, 0, 1]);
        assert!(!lost[0].empty_layer);
        let silent = history(&manifest(&["1", "22"]), &config(0, &[]));
        assert_eq!(digests(&silent), [2, 1]);
        assert!(silent[0].image.is_some() && silent[0].diff_id.is_none());
        assert_eq!(history(&manifest(&[]), &config(0, &[])), []);
    }

    #[test]
    fn history_json_keys_are_stable() {
        let manifest = manifest(&["base"]);
        let mut config = config(1, &["ADD x /"]);
        config.history[0].created = None;
        let json = serde_json::to_string(&history(&manifest, &config)).unwrap();
        let (id, layer) = (&manifest.config.digest, &manifest.layers[0].digest);
        let diff_id = &config.rootfs.diff_ids[0];
        assert_eq!(
            json,
            format!(
                r#"[{{"image":"{id}","created":null,"created_by":"ADD x /","size":4,"comment":"","empty_layer":false,"digest":"{layer}","diff_id":"{diff_id}"}}]"#
            )
        );
    }
}
