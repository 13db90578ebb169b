//! What the images of an archive are called, and which of them a name means.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio_util::sync::CancellationToken;

use super::image::{ArchiveImage, full};
use super::reader::ArchiveInner;
use crate::config::CONFIG_LIMIT;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Platform;
use crate::same_name;

impl ArchiveInner {
    /// Takes each name from all images but the last one of a platform that has it. What is left without a name is
    /// dropped.
    pub(super) fn name_once(&mut self) {
        let platforms = self.platforms_of_one_name();
        let mut taken: HashMap<(String, Option<Platform>), (usize, Option<Digest>)> =
            HashMap::new();
        let mut kept: Vec<ArchiveImage> = Vec::new();
        let images = std::mem::take(&mut self.images);
        for (at, (mut image, platform)) in images.into_iter().zip(platforms).enumerate().rev() {
            let own = image.own_names().len();
            let digest = image.descriptor().map(|descriptor| descriptor.digest.clone());
            let mut names = image.names.drain(..own).collect::<Vec<_>>();
            names.retain(|name| match taken.entry((full(name), platform.clone())) {
                Entry::Vacant(free) => {
                    free.insert((at, digest.clone()));
                    true
                }
                Entry::Occupied(other) => {
                    let (holder, held) = other.get();
                    if *holder != at && (held.is_none() || *held != digest) {
                        let place = &self.shown;
                        tracing::warn!(
                            "{place}: several images are named {name}; using the last one"
                        );
                    }
                    false
                }
            });
            if own == 0 || !names.is_empty() {
                image.names.splice(..0, names);
                kept.push(image);
            }
        }
        kept.reverse();
        self.images = kept;
    }

    /// The platform of each image that is not the only one of its name.
    fn platforms_of_one_name(&self) -> Vec<Option<Platform>> {
        let mut digests: HashMap<String, (&Digest, bool)> = HashMap::new();
        let named = || {
            self.images.iter().map(|image| {
                let name = image.own_names().first().map(|name| full(name));
                name.zip(image.descriptor())
            })
        };
        for (name, descriptor) in named().flatten() {
            let (first, several) = digests.entry(name).or_insert((&descriptor.digest, false));
            *several |= **first != descriptor.digest;
        }
        let is_choice = |name: &str| digests.get(name).is_some_and(|(_, several)| *several);
        let platform = |named: Option<(String, &Descriptor)>| {
            let (_, descriptor) = named.filter(|(name, _)| is_choice(name))?;
            descriptor.platform.clone().or_else(|| self.platform_of(descriptor))
        };
        named().map(platform).collect()
    }

    /// What the config of a manifest says, where that can be read.
    fn platform_of(&self, manifest: &Descriptor) -> Option<Platform> {
        let stop = CancellationToken::new();
        let document = self.read_document(manifest, &stop).ok()?;
        let config = &document.manifest().ok()?.config;
        let bytes = self.bytes(&config.digest, CONFIG_LIMIT, &stop).ok()?;
        same_name::platform_of_config(config, &bytes)
    }

    /// The images of this name, as it is written there or written out: `alpine` is `docker.io/library/alpine:latest`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where a short name is that of images with different full ones.
    pub(super) fn called(&self, name: &str) -> Result<Vec<&ArchiveImage>> {
        let exact = |image: &&ArchiveImage| image.names.iter().any(|own| own == name);
        let mut found: Vec<&ArchiveImage> = self.images.iter().filter(exact).collect();
        if found.is_empty() {
            let full = full(name);
            let same =
                |image: &&ArchiveImage| image.names.iter().any(|own| self::full(own) == full);
            found = self.images.iter().filter(same).collect();
        }
        let own =
            |image: &ArchiveImage| image.descriptor().and(image.names.first()).map(|own| full(own));
        let mut names = found.iter().map(|image| own(image));
        let first = names.next();
        if names.all(|other| other.is_some() && Some(other) == first) {
            return Ok(found);
        }
        Err(Error::new(ErrorKind::InvalidInput, format!("image {name}"))
            .at(self.place())
            .with_reason("ambiguous: several images have this name"))
    }

    /// The image of this name; the host's, where it stands for one for each platform.
    pub(super) fn named(&self, name: &str) -> Result<Option<&ArchiveImage>> {
        let found = self.called(name)?;
        if found.len() < 2 {
            return Ok(found.first().copied());
        }
        let alike = self.alike(&found);
        let chosen = same_name::select(&alike, &Platform::host(), name)
            .map_err(|error| error.at(self.place()))?;
        let is_it = |image: &&&ArchiveImage| {
            image.descriptor().is_some_and(|descriptor| descriptor.digest == chosen.digest)
        };
        Ok(found.iter().find(is_it).copied())
    }

    /// What images of one name are, each with its platform.
    pub(super) fn alike(&self, images: &[&ArchiveImage]) -> Vec<Descriptor> {
        let descriptors = images.iter().filter_map(|image| image.descriptor()).cloned().collect();
        same_name::effective_entries(descriptors, |entry| self.platform_of(entry)).0
    }

    pub(super) fn lacks(&self, name: &str) -> Error {
        let names: Vec<&str> =
            self.images.iter().flat_map(|image| &image.names).map(String::as_str).collect();
        let there = if names.is_empty() { "no named image".to_owned() } else { names.join(", ") };
        Error::new(ErrorKind::NotFound, format!("image {name}"))
            .at(self.place())
            .with_reason(format!("not in the archive, which contains {there}"))
    }
}
