//! Relations between entries of a layout in an archive: referrers and their images.

use super::image::{ArchiveImage, ImageContent};
use super::reader::ArchiveInner;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{choice, several_images};
use crate::reference::{is_digest_tag, is_pinned};

impl ArchiveInner {
    /// The referrers of this manifest: entries whose document names it as subject.
    pub(super) fn referrers_of(
        &self,
        subject: &Digest,
        control: &Control,
    ) -> Result<Vec<Descriptor>> {
        let mut found: Vec<Descriptor> = Vec::new();
        for image in &self.images {
            let ImageContent::Document(entry) = &image.content else { continue };
            if !entry.media_type.is_document() {
                continue;
            }
            let document = self.read_document(entry, control)?;
            let refers = document.subject().is_some_and(|own| own.digest == *subject);
            if refers && found.iter().all(|known| known.digest != *document.digest()) {
                found.push(document.as_referrer());
            }
        }
        Ok(found)
    }

    /// The only image, not counting artifacts attached to it.
    pub(super) fn only_image(&self, control: &Control) -> Result<&ArchiveImage> {
        let all = || self.images.iter();
        let mut images: Vec<&ArchiveImage> =
            all().filter(|image| all().count() == 1 || !self.is_attached(image, control)).collect();
        if images.is_empty() {
            images = all().collect();
        }
        match images.as_slice() {
            [one] => Ok(*one),
            [] => Err(Error::new(ErrorKind::NotFound, "image")
                .at(self.location())
                .with_reason("the archive contains no images")),
            // Several platforms with one name are one image.
            [first, rest @ ..]
                if !first.own_names().is_empty()
                    && rest.iter().all(|other| other.own_names() == first.own_names()) =>
            {
                Ok(*first)
            }
            several => {
                let choices: Vec<String> = several.iter().map(|image| self.choice(image)).collect();
                Err(several_images(self.location(), &choices))
            }
        }
    }

    /// How to select the image: by its name, else by its digest or docker's image id.
    fn choice(&self, image: &ArchiveImage) -> String {
        let digest = match &image.content {
            ImageContent::Document(entry) => Some(entry.digest.clone()),
            ImageContent::DockerFiles(docker_image) => docker_image.id(&self.tar).ok(),
        };
        match digest {
            Some(digest) => choice(&image.names, &digest),
            None => image.names.first().cloned().unwrap_or_else(|| "a damaged one".to_owned()),
        }
    }

    pub(super) fn is_attached(&self, image: &ArchiveImage, control: &Control) -> bool {
        let ImageContent::Document(entry) = &image.content else { return false };
        let refers = || {
            let document = self.read_document(entry, control);
            document.is_ok_and(|document| document.subject().is_some())
        };
        match image.names.first() {
            Some(name) if is_digest_tag(name) => true,
            Some(name) => is_pinned(name) && refers(),
            None => refers(),
        }
    }
}
