//! Opens images for commands that inspect or unpack them, and pulls them if needed.

pub(super) mod analysis;
pub(super) mod attribute_error;
pub(super) mod base;
pub(super) mod created;
pub(super) mod ensure_local;
pub(super) mod ids;
pub(super) mod image_arg;
pub(super) mod image_download;
pub(super) mod image_row;
pub(super) mod inspected;
pub(super) mod layer_blobs;
pub(super) mod layer_source;
pub(super) mod open;
pub(super) mod other_platform;
pub(super) mod range_reader;
pub(super) mod repository;
pub(super) mod store_hint;
pub(super) mod table_source;
pub(in crate::cli) mod unpack_report;
pub(in crate::cli) mod unpacked;
