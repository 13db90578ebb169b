//! Decides why a layer could not be applied: the layer is malformed, or its bytes do not match its digest.

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

/// Hint for bytes from a network that are right when they are read again: those of the first time are gone.
const READ_AGAIN: &str = "the bytes of the layer are right now; run the command again, and if the error stays, the image is malformed";

/// Checks the layer's digest after an error that [may be caused by wrong bytes](may_be_corruption), and returns the
/// error to report: a mismatch, or the original one.
pub(in crate::cli) async fn attribute_error(
    source: &dyn Source,
    layer: &Descriptor,
    error: Error,
    retry: RetryPolicy,
) -> Error {
    let options = TransferOptions { retry, ..TransferOptions::default() };
    match read_blob(source, layer, options, &mut |_| Ok(())).await {
        Err(wrong) if wrong.kind() == ErrorKind::Mismatch => wrong,
        Ok(()) if error.kind() == ErrorKind::Unpack && !source.endpoint().kind.is_local() => {
            error.with_hint(READ_AGAIN)
        }
        _ => error,
    }
}
