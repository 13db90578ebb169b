//! A way to get a blob other than receiving all its bytes.

use futures_util::future::BoxFuture;

use super::source::ByteStream;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;

/// Makes layers of what the target has and of fewer bytes than the layers have. Nothing depends on it: a layer that cannot be
/// rebuilt is received from the source.
pub trait Rebuilder: Send + Sync {
    /// Which of the missing layers of a manifest it can rebuild, each with the bytes to receive for it, 0 if that is not known. Costs a few
    /// requests.
    /// A failure means none.
    fn find<'a>(
        &'a self,
        manifest: &'a Document,
        missing: &'a [&'a Descriptor],
    ) -> BoxFuture<'a, Vec<(Digest, u64)>>;

    /// The bytes of a layer that was found, from the first on; not verified. `received` is told the bytes received for it.
    ///
    /// # Errors
    /// For any reason; the caller then receives the layer instead.
    fn rebuild<'a>(
        &'a self,
        layer: &'a Descriptor,
        received: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<ByteStream<'static>>>;
}
