//! Flattens layers to one tree in memory, and writes that tree as one tar. Knows nothing about where layers come from.
//!
//! Layers are read twice: first for the names, which take at most [`MAX_TREE_BYTES`] bytes, then for the bytes of the
//! visible files. Spec: image-spec `layer.md`, "Applying Changesets".
//!
//! ```no_run
//! use std::io::Write as _;
//!
//! use rpull::control::Control;
//! use rpull::flatten::Tree;
//! use rpull::image_layers::LayerBlob;
//!
//! # fn example(blobs: &dyn Fn() -> Vec<LayerBlob<'static>>) -> rpull::error::Result<()> {
//! let tree = Tree::read(blobs(), &Control::default())?;
//! let mut tar = Vec::new();
//! tree.write(blobs(), &Control::default(), &mut |bytes| {
//!     tar.extend_from_slice(bytes);
//!     Ok(())
//! })?;
//! # Ok(())
//! # }
//! ```

mod order;
mod path_map;
mod tree;
mod write;

pub use self::tree::{Tree, TreeTotals};
pub use self::write::TarSink;
pub use crate::image_layers::apply::MAX_TREE_BYTES;
