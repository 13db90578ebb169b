//! Whose fault it is that a layer could not be applied: its own, or that of bytes which are not its.

use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind};
use crate::retry::RetryPolicy;
use crate::transfer::{TransferOptions, read_blob};

/// Whether wrong bytes may be the reason.
pub(in crate::cli) fn may_be_corruption(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unpack => error.detail().is_none(),
        ErrorKind::Mismatch => true,
        _ => false,
    }
}

/// Tells a layer that is malformed from one whose bytes are not those that the manifest names, of an error that
/// [may be by them](may_be_corruption).
pub(in crate::cli) async fn attribute_error(
    source: &dyn Source,
    layer: &Descriptor,
    error: Error,
    retry: RetryPolicy,
) -> Error {
    let options = TransferOptions { retry, ..TransferOptions::default() };
    match read_blob(source, layer, options, &mut |_| Ok(())).await {
        Err(wrong) if wrong.kind() == ErrorKind::Mismatch => wrong,
        _ => error,
    }
}
