//! Exchanges the base of an image for another one.

use std::sync::Arc;

use super::history;
use super::image::ImageEdit;
use super::manifest::in_format;
use crate::annotation;
use crate::document::ImageManifest;
use crate::error::{Error, ErrorKind, Result};

impl ImageEdit {
    /// Exchanges the layers of the old base for those of the new one, as if the image had been built on it. The config stays that
    /// of the image: what it inherited from the old base, it keeps. Must come before other changes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the image is not built on the old base, or the new one is for another platform.
    pub fn rebase(&mut self, old_base: &Self, new_base: &Self) -> Result<()> {
        let (own, old) = (self.parsed()?, old_base.parsed()?);
        if !begins_with(own, old) {
            return Err(Error::new(ErrorKind::InvalidInput, &self.reference)
                .with_reason(format!("is not built on {}", old_base.reference))
                .with_hint("run `rpull diff` to see which layers they share"));
        }
        let (own_platform, new_platform) = (self.config.platform(), new_base.config.platform());
        if own_platform != new_platform {
            let reason = format!("is for {new_platform}, and the image for {own_platform}");
            return Err(
                Error::new(ErrorKind::InvalidInput, &new_base.reference).with_reason(reason)
            );
        }
        let lower = old.layers.len();
        let media_type = self.document.descriptor().media_type.clone();
        let new_layers = new_base.layers.iter().map(|layer| in_format(&media_type, layer));
        let mut layers = new_layers.collect::<Result<Vec<_>>>()?;
        layers.extend(self.layers.drain(..).skip(lower));
        self.layers = layers;
        let upper = self.diff_ids.iter().skip(lower);
        self.diff_ids = new_base.diff_ids.iter().chain(upper).cloned().collect();
        self.set_diff_ids()?;
        let new = (&new_base.config_object, &new_base.config);
        history::rebase(&mut self.config_object, &self.config, &old_base.config, new)?;
        for layer in &new_base.parsed()?.layers {
            self.owners.insert(layer.digest.clone(), Arc::clone(&new_base.source));
        }
        Ok(())
    }

    /// Notes the base in the annotations that `check-base` and others read, in place of the former one. `name` is one in a
    /// registry.
    pub fn annotate_base(&mut self, name: Option<&str>, base: &Self) -> Result<()> {
        self.remove_base()?;
        let name = name.map(|name| (annotation::BASE_NAME.to_owned(), name.to_owned()));
        let digest = (annotation::BASE_DIGEST.to_owned(), base.document.digest().to_string());
        self.annotate(&name.into_iter().chain([digest]).collect::<Vec<_>>())
    }
}

/// Whether the layers of the base are the lowest of the image.
fn begins_with(image: &ImageManifest, base: &ImageManifest) -> bool {
    let digests = |manifest: &ImageManifest| {
        manifest.layers.iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>()
    };
    digests(image).starts_with(&digests(base))
}
