//! Names of the images in an archive, and lookup by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::image::{ArchiveImage, full_name};
use super::reader::ArchiveInner;
use crate::config::CONFIG_LIMIT;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Platform;
use crate::same_name;

impl ArchiveInner {
    /// Removes each name from all images but the last one of each platform that has it. Images without a name are
    /// removed.
    pub(super) fn deduplicate_names(&mut self, control: &Control) {
        let platforms = self.platforms_of_one_name(control);
        let mut taken: HashMap<(String, Option<Platform>), (usize, Option<Digest>)> =
            HashMap::new();
        let mut retained: Vec<ArchiveImage> = Vec::new();
        let images = std::mem::take(&mut self.images);
        for (at, (mut image, platform)) in images.into_iter().zip(platforms).enumerate().rev() {
            let own = image.own_names().len();
            let digest = image.descriptor().map(|descriptor| descriptor.digest.clone());
            let mut names = image.names.drain(..own).collect::<Vec<_>>();
            names.retain(|name| match taken.entry((full_name(name), platform.clone())) {
                Entry::Vacant(free) => {
                    free.insert((at, digest.clone()));
                    true
                }
                Entry::Occupied(other) => {
                    let (holder, existing) = other.get();
                    if *holder != at && (existing.is_none() || *existing != digest) {
                        let location = &self.shown;
                        tracing::warn!(
                            "{location}: several images are named {name}; using the last one"
                        );
                    }
                    false
                }
            });
            if own == 0 || !names.is_empty() {
                image.names.splice(..0, names);
                retained.push(image);
            }
        }
        retained.reverse();
        self.images = retained;
    }

    /// The platform of each image that shares a name with another one.
    fn platforms_of_one_name(&self, control: &Control) -> Vec<Option<Platform>> {
        let mut digests: HashMap<String, (&Digest, bool)> = HashMap::new();
        let image_named = || {
            self.images.iter().map(|image| {
                let name = image.own_names().first().map(|name| full_name(name));
                name.zip(image.descriptor())
            })
        };
        for (name, descriptor) in image_named().flatten() {
            let (first, several) = digests.entry(name).or_insert((&descriptor.digest, false));
            *several |= **first != descriptor.digest;
        }
        let is_choice = |name: &str| digests.get(name).is_some_and(|(_, several)| *several);
        let platform = |image_named: Option<(String, &Descriptor)>| {
            let (_, descriptor) = image_named.filter(|(name, _)| is_choice(name))?;
            descriptor.platform.clone().or_else(|| self.platform_of(descriptor, control))
        };
        image_named().map(platform).collect()
    }

    /// The platform in the config of a manifest, if readable.
    fn platform_of(&self, manifest: &Descriptor, control: &Control) -> Option<Platform> {
        let document = self.read_document(manifest, control).ok()?;
        let config = &document.manifest().ok()?.config;
        let bytes = self.bytes(&config.digest, CONFIG_LIMIT, control).ok()?;
        same_name::platform_of_config(config, &bytes)
    }

    /// The images with this name, as written or normalized: `alpine` is `docker.io/library/alpine:latest`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a short name matches images with different full names.
    pub(super) fn images_named(&self, name: &str) -> Result<Vec<&ArchiveImage>> {
        let exact = |image: &&ArchiveImage| image.names.iter().any(|own| own == name);
        let mut found: Vec<&ArchiveImage> = self.images.iter().filter(exact).collect();
        if found.is_empty() {
            let full = full_name(name);
            let same = |image: &&ArchiveImage| image.names.iter().any(|own| full_name(own) == full);
            found = self.images.iter().filter(same).collect();
        }
        let own = |image: &ArchiveImage| {
            image.descriptor().and(image.names.first()).map(|own| full_name(own))
        };
        let mut names = found.iter().map(|image| own(image));
        let first = names.next();
        if names.all(|other| other.is_some() && Some(other) == first) {
            return Ok(found);
        }
        Err(Error::new(ErrorKind::InvalidInput, format!("image {name}"))
            .at(self.location())
            .with_reason("ambiguous: several images have this name"))
    }

    /// The image with this name; of several, the one for the host's platform.
    pub(super) fn image_named(
        &self,
        name: &str,
        control: &Control,
    ) -> Result<Option<&ArchiveImage>> {
        let found = self.images_named(name)?;
        if found.len() < 2 {
            return Ok(found.first().copied());
        }
        let alike = self.candidates(name, &found, control)?;
        let chosen = same_name::select(&alike, &Platform::host(), name)
            .map_err(|error| error.at(self.location()))?;
        let is_it = |image: &&&ArchiveImage| {
            image.descriptor().is_some_and(|descriptor| descriptor.digest == chosen.digest)
        };
        Ok(found.iter().find(is_it).copied())
    }

    /// The descriptors of images with one name, each with its platform.
    pub(super) fn candidates(
        &self,
        name: &str,
        images: &[&ArchiveImage],
        control: &Control,
    ) -> Result<Vec<Descriptor>> {
        let descriptors = images.iter().filter_map(|image| image.descriptor()).cloned().collect();
        let platform_of = |entry: &_| self.platform_of(entry, control);
        same_name::effective_entries(descriptors, platform_of, name, self.location())
    }

    pub(super) fn not_found(&self, name: &str) -> Error {
        let names: Vec<&str> =
            self.images.iter().flat_map(|image| &image.names).map(String::as_str).collect();
        let available =
            if names.is_empty() { "no named image".to_owned() } else { names.join(", ") };
        Error::new(ErrorKind::NotFound, format!("image {name}"))
            .at(self.location())
            .with_reason(format!("not in the archive, which contains {available}"))
    }
}
