//! The memory backend as the tests use it: filled with images, and wrapped by ends with faults.

use rpull::memory::Memory;
use rpull::name::ImageName;

use super::images::Image;
use super::writing::document;

/// The methods of [`Lookup`](rpull::content::Lookup) without `blob`, for what wraps a [`Memory`] `inner` and has an `endpoint` of its
/// own.
macro_rules! look_up_documents_through {
    () => {
        fn endpoint(&self) -> &rpull::content::Endpoint {
            &self.endpoint
        }

        fn name<'a>(
            &'a self,
            name: &'a rpull::name::ImageName,
            effort: rpull::content::Effort,
        ) -> futures_util::future::BoxFuture<
            'a,
            rpull::error::Result<rpull::content::Presence<rpull::descriptor::Descriptor>>,
        > {
            self.inner.name(name, effort)
        }

        fn read<'a>(
            &'a self,
            descriptor: &'a rpull::descriptor::Descriptor,
            limit: u64,
            effort: rpull::content::Effort,
        ) -> futures_util::future::BoxFuture<
            'a,
            rpull::error::Result<rpull::content::Presence<bytes::Bytes>>,
        > {
            self.inner.read(descriptor, limit, effort)
        }
    };
}
pub(crate) use look_up_documents_through;

/// Implements [`Lookup`](rpull::content::Lookup) for what wraps a [`Memory`] `inner` and has an `endpoint` of its own.
macro_rules! look_through {
    ($outer:ty) => {
        impl rpull::content::Lookup for $outer {
            crate::support::memory::look_up_documents_through!();

            fn blob<'a>(
                &'a self,
                descriptor: &'a rpull::descriptor::Descriptor,
                effort: rpull::content::Effort,
            ) -> futures_util::future::BoxFuture<
                'a,
                rpull::error::Result<rpull::content::BlobPresence>,
            > {
                self.inner.blob(descriptor, effort)
            }
        }
    };
}
pub(crate) use look_through;

/// Fills a memory with images.
pub(crate) trait WithImage {
    /// Adds an image under a name.
    fn with(self, name: ImageName, image: &Image) -> Self;
}

impl WithImage for Memory {
    fn with(self, name: ImageName, image: &Image) -> Self {
        for blob in image.blobs() {
            self.insert_blob(blob.descriptor.media_type.clone(), blob.bytes.clone());
        }
        self.insert_document(&document(&image.manifest), &[name]).unwrap();
        self
    }
}
