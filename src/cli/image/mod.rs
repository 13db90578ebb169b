//! Opens images for commands that inspect or unpack them, and pulls them if needed.

pub(super) mod attribute_error;
pub(super) mod ensure_local;
pub(super) mod ids;
pub(super) mod image_download;
pub(super) mod inspected;
pub(super) mod layer_blobs;
pub(super) mod open;
pub(super) mod unpack_report;
