//! Unpacks each layer into a directory of its own, in the format of docker's `overlay2`, ready to be mounted with
//! overlayfs. Images share layers.
//!
//! ```text
//! DIR/overlay2/<chain hex>/diff/       the changeset; docker's whiteouts and opaque directories
//! DIR/overlay2/<chain hex>/link        its short name
//! DIR/overlay2/<chain hex>/lower       l/ID:l/ID…, the lower layers, top first; not for the base
//! DIR/overlay2/<chain hex>/committed   the layer is complete: since which boot, or synced
//! DIR/overlay2/l/<26 characters>       -> ../<chain hex>/diff
//! DIR/overlay2/empty/                  the second layer in the mount of an image with one
//! DIR/layerdb/sha256/<chain hex>/      diff (the diff_id), parent (the chain below), size, cache-id
//! DIR/images.json                      maps names to manifests and chains
//! ```
//!
//! A layer is created under a temporary name, and renamed when its digest is verified and the lower layers exist.

mod changes;
mod copy_up;
mod directory;
mod durable;
mod files;
mod images;
mod layer_dir;
mod merged;
mod mount;
mod run;
mod stack;
mod state;
mod usage;
mod xattr;

pub use self::directory::{OverlayDirectory, OverlayLock};
pub use self::images::OverlayImage;
pub use self::run::{OverlayLayer, OverlayResult};
pub(super) use self::state::OverlayState;
pub use self::usage::{OverlayImageUsage, OverlayPruneReport, OverlayUsage};
pub use self::xattr::OverlayXattr;
