//! Computes how much disk space images share.

use std::collections::HashMap;

use crate::digest::Digest;

/// Sizes of content, and the number of images that need it.
#[derive(Debug)]
pub(crate) struct SharedSizes<'a> {
    sizes: &'a HashMap<Digest, u64>,
    users: HashMap<&'a Digest, u64>,
}

/// Disk usage of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageSize {
    /// Bytes of its existing content.
    pub(crate) size: u64,
    /// Bytes that only this image references.
    pub(crate) unique: u64,
}

impl<'a> SharedSizes<'a> {
    /// Takes the digests that each image needs, one image after the other. An image names each digest once.
    pub(crate) fn new(
        sizes: &'a HashMap<Digest, u64>,
        needed: impl Iterator<Item = &'a Digest>,
    ) -> Self {
        let mut users = HashMap::new();
        for digest in needed {
            *users.entry(digest).or_default() += 1;
        }
        Self { sizes, users }
    }

    /// Returns the size of content; 0 if it does not exist.
    pub(crate) fn size_of(&self, digest: &Digest) -> u64 {
        self.sizes.get(digest).copied().unwrap_or_default()
    }

    /// Returns the number of images that need the content.
    pub(crate) fn users_of(&self, digest: &Digest) -> u64 {
        self.users.get(digest).copied().unwrap_or_default()
    }

    /// Returns the bytes of all existing content.
    pub(crate) fn all(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Returns the bytes of referenced content that exists.
    pub(crate) fn referenced(&self) -> u64 {
        self.users.keys().map(|digest| self.size_of(digest)).sum()
    }

    /// Returns the usage of an image that needs this content.
    pub(crate) fn share(&self, needed: impl IntoIterator<Item = &'a Digest>) -> ImageSize {
        let mut share = ImageSize::default();
        for digest in needed {
            let size = self.size_of(digest);
            share.size += size;
            if self.users.get(digest) == Some(&1) {
                share.unique += size;
            }
        }
        share
    }

    /// Returns the usage of several images together: unique is what no other image needs.
    pub(crate) fn share_of_group<'b>(
        &self,
        images: impl IntoIterator<Item = impl IntoIterator<Item = &'b Digest>>,
    ) -> ImageSize {
        let mut users: HashMap<&Digest, u64> = HashMap::new();
        for digest in images.into_iter().flatten() {
            *users.entry(digest).or_default() += 1;
        }
        let mut share = ImageSize::default();
        for (digest, count) in users {
            let size = self.size_of(digest);
            share.size += size;
            if count == self.users_of(digest) {
                share.unique += size;
            }
        }
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_blobs_are_not_counted() {
        let [base, own, spare, gone] =
            ["base", "own", "spare", "gone"].map(|text| Digest::sha256(text.as_bytes()));
        let sizes = HashMap::from([(base.clone(), 10), (own.clone(), 2), (spare, 5)]);
        let images = [vec![&base, &own], vec![&base, &gone]];
        let sharing = SharedSizes::new(&sizes, images.iter().flatten().copied());
        assert_eq!((sharing.all(), sharing.referenced()), (17, 12));
        let shares = images.map(|needed| sharing.share(needed));
        assert_eq!(shares, [ImageSize { size: 12, unique: 2 }, ImageSize { size: 10, unique: 0 }]);
        let both = sharing.share_of_group([vec![&base, &own], vec![&base, &gone]]);
        assert_eq!(both, ImageSize { size: 12, unique: 12 });
        assert_eq!((sharing.users_of(&base), sharing.users_of(&own)), (2, 1));
    }
}
