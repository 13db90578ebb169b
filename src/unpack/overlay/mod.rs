//! One directory for each layer, as docker's `overlay2` keeps them, ready to be mounted one over the other; images have
//! layers in common.
//!
//! ```text
//! DIR/overlay2/<chain hex>/diff/       what the layer changes; docker's whiteouts and opaque directories
//! DIR/overlay2/<chain hex>/link        its short name
//! DIR/overlay2/<chain hex>/lower       l/ID:l/ID…, the layers below, the top one first; none of the base
//! DIR/overlay2/<chain hex>/committed   all of it is there: since which boot, or on disk
//! DIR/overlay2/l/<26 characters>       -> ../<chain hex>/diff
//! DIR/overlay2/empty/                  the second layer of an image of one
//! DIR/layerdb/sha256/<chain hex>/      diff (the diff_id), parent (the chain below), size, cache-id
//! DIR/images.json                      from names to manifests and chains
//! ```
//!
//! A layer is made beside its place, and gets its name when its digest is verified and the layers below have theirs.

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
mod usage;
mod xattr;

pub(super) use self::changes::OverlayState;
pub use self::directory::{OverlayDirectory, OverlayLock};
pub use self::images::OverlayImage;
pub use self::run::{OverlayLayer, OverlayResult};
pub use self::usage::{OverlayImageUsage, OverlayPruneReport, OverlayUsage};
pub use self::xattr::OverlayXattr;
