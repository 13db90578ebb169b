//! The layers of an image.

use serde::Serialize;

use super::command::classify;
use super::kind::LayerKind;
use super::{HistoryStep, diff_ids, steps};
use crate::config::ImageConfig;
pub use crate::config::chain_ids;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::ImageManifest;
use crate::media::MediaType;

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayerRow {
    /// Position from the base, which is 0.
    pub index: usize,
    /// What created the layer.
    pub kind: LayerKind,
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the uncompressed layer.
    pub diff_id: Option<Digest>,
    /// Identity of the stack of layers up to this one.
    pub chain_id: Option<Digest>,
    /// Media type of the blob.
    pub media_type: MediaType,
    /// Bytes of the blob, usually compressed.
    pub size: u64,
    /// Uncompressed bytes; known without reading the layer only if the blob is not compressed.
    pub uncompressed_size: Option<u64>,
    /// The command as written by the builder.
    pub created_by: String,
}

/// Returns the layers, base first.
///
/// `diff_id` and `chain_id` are missing unless the config has exactly one `diff_id` for each layer.
pub fn layers(manifest: &ImageManifest, config: &ImageConfig) -> Vec<LayerRow> {
    let diff_ids = diff_ids(manifest, config);
    let chain_ids = chain_ids(diff_ids);
    steps(manifest, config)
        .into_iter()
        .filter_map(|step| {
            let (index, layer) = step.layer?;
            let diff_id = diff_ids.get(index).cloned();
            Some(LayerRow {
                index,
                kind: kind(index, layer, step),
                digest: layer.digest.clone(),
                uncompressed_size: (diff_id.as_ref() == Some(&layer.digest)).then_some(layer.size),
                diff_id,
                chain_id: chain_ids.get(index).cloned(),
                media_type: layer.media_type.clone(),
                size: layer.size,
                created_by: step.entry.map(|entry| entry.created_by.clone()).unwrap_or_default(),
            })
        })
        .collect()
}

fn kind(index: usize, layer: &Descriptor, step: HistoryStep<'_>) -> LayerKind {
    match step.entry {
        _ if index == 0 => LayerKind::Base,
        _ if layer.is_foreign() => LayerKind::Foreign,
        Some(entry) => classify(entry),
        None => LayerKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::testing::{config, manifest};

    #[test]
    fn layers_are_listed_base_first_with_kind() {
        let manifest = manifest(&["base", "packages", "app", "dir", "later"]);
        let steps = [
            "/bin/sh -c #(nop) ADD file:0 in / ",
            "-/bin/sh -c #(nop)  CMD [\"sh\"]",
            "RUN /bin/sh -c apk add x # buildkit",
            "COPY app /app # buildkit",
            "WORKDIR /srv",
        ];
        let rows = layers(&manifest, &config(5, &steps));
        let kinds: Vec<_> = rows.iter().map(|row| row.kind.to_string()).collect();
        assert_eq!(kinds, ["base", "run", "copy", "metadata", "other"]);
        assert_eq!(rows[1].created_by, steps[2]);
        assert_eq!(rows[4].created_by, "");
        assert!(rows.iter().enumerate().all(|(index, row)| row.index == index));
    }

    #[test]
    fn chain_id_is_hashed_from_base_up() {
        // The digest of 1024 zero bytes, and of two such layers.
        let empty: Digest =
            "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
                .parse()
                .unwrap();
        let two = "sha256:170b376f64fb30995c140276be3d71dfb256b308d86183ca3b22aa93a79ad548";
        let chain = chain_ids(&[empty.clone(), empty.clone()]);
        assert_eq!([chain[0].as_str(), chain[1].as_str()], [empty.as_str(), two]);
        assert_eq!(chain_ids(&[]), []);
    }

    #[test]
    fn diff_ids_of_wrong_count_are_omitted() {
        for count in [0, 1, 3] {
            let rows = layers(&manifest(&["1", "22"]), &config(count, &["ADD", "RUN x"]));
            assert!(rows.iter().all(|row| row.diff_id.is_none() && row.chain_id.is_none()));
            assert_eq!(rows[1].kind, LayerKind::Run);
        }
    }

    #[test]
    fn foreign_and_uncompressed_layers_are_recognized() {
        let mut manifest = manifest(&["base", "update", "app"]);
        for layer in &mut manifest.layers[..2] {
            layer.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
            layer.urls = vec!["https://layers.example/update".into()];
        }
        let mut config = config(3, &["Apply image", "Install update", "cmd /S /C mkdir x"]);
        config.rootfs.diff_ids[2] = manifest.layers[2].digest.clone();
        let rows = layers(&manifest, &config);
        let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, [LayerKind::Base, LayerKind::Foreign, LayerKind::Run]);
        assert_eq!(rows[0].uncompressed_size, None);
        assert_eq!(rows[2].uncompressed_size, Some(3));
    }

    #[test]
    fn layers_json_keys_are_stable() {
        let manifest = manifest(&["base"]);
        let json = serde_json::to_string(&layers(&manifest, &config(0, &["ADD x /"]))).unwrap();
        let digest = &manifest.layers[0].digest;
        assert_eq!(
            json,
            format!(
                r#"[{{"index":0,"kind":"base","digest":"{digest}","diff_id":null,"chain_id":null,"media_type":"application/vnd.oci.image.layer.v1.tar+gzip","size":4,"uncompressed_size":null,"created_by":"ADD x /"}}]"#
            )
        );
    }
}
