//! Whose fault it is that a layer could not be applied: its own, or that of bytes which are not its.

use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind};
use crate::retry::RetryPolicy;
use crate::transfer::{Options, read_blob};

/// Whether wrong bytes may be the reason.
pub(super) fn is_by_bytes(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unpack => error.matter().is_none(),
        ErrorKind::Mismatch => true,
        _ => false,
    }
}

/// Tells a layer that is malformed from one whose bytes are not those that the manifest names, of an error that
/// [may be by them](is_by_bytes).
pub(super) async fn blame(
    source: &dyn Source,
    layer: &Descriptor,
    error: Error,
    retry: RetryPolicy,
) -> Error {
    let options = Options { retry, ..Options::default() };
    match read_blob(source, layer, options, &mut |_| Ok(())).await {
        Err(wrong) if wrong.kind() == ErrorKind::Mismatch => wrong,
        _ => error,
    }
}
