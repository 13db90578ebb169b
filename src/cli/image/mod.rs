//! Images that a verb looks at or makes files of: opened where they are, brought where they are not, read while they arrive.

pub(super) mod attribute_error;
pub(super) mod ensure_local;
pub(super) mod ids;
pub(super) mod image_download;
pub(super) mod layer_blobs;
pub(super) mod open;
pub(super) mod seen;
pub(super) mod unpack_report;
