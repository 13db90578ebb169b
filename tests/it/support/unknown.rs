//! A source that answers no question, so that only its blobs matter.

/// Implements [`Lookup`](rpull::content::Lookup) for what has an `endpoint`; it knows nothing.
macro_rules! knows_nothing {
    ($source:ty) => {
        impl rpull::content::Lookup for $source {
            fn endpoint(&self) -> &rpull::content::Endpoint {
                &self.endpoint
            }

            fn name<'a>(
                &'a self,
                _: &'a rpull::name::ImageName,
                _: rpull::content::Effort,
            ) -> futures_util::future::BoxFuture<
                'a,
                rpull::error::Result<rpull::content::Presence<rpull::descriptor::Descriptor>>,
            > {
                Box::pin(std::future::ready(Ok(rpull::content::Presence::Unknown)))
            }

            fn read<'a>(
                &'a self,
                _: &'a rpull::descriptor::Descriptor,
                _: u64,
                _: rpull::content::Effort,
            ) -> futures_util::future::BoxFuture<
                'a,
                rpull::error::Result<rpull::content::Presence<bytes::Bytes>>,
            > {
                Box::pin(std::future::ready(Ok(rpull::content::Presence::Unknown)))
            }

            fn blob<'a>(
                &'a self,
                _: &'a rpull::descriptor::Descriptor,
                _: rpull::content::Effort,
            ) -> futures_util::future::BoxFuture<
                'a,
                rpull::error::Result<rpull::content::BlobPresence>,
            > {
                Box::pin(std::future::ready(Ok(rpull::content::BlobPresence::Unknown)))
            }
        }
    };
}
pub(crate) use knows_nothing;
