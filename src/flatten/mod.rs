//! Layers as one tree of names, and that tree as one tar: what unpacking makes, without a disk. Nothing of it knows where
//! layers come from.
//!
//! They are read twice: first for the tree, which is as large as its names and no larger than [`MAX_TREE_BYTES`] bytes, then for the
//! bytes of the files that it shows. Rules: image-spec `layer.md`, "Applying Changesets".
//!
//! ```no_run
//! use std::io::Write as _;
//!
//! use rpull::flatten::Tree;
//! use rpull::image_layers::LayerBlob;
//!
//! # fn example(blobs: &dyn Fn() -> Vec<LayerBlob<'static>>) -> Result<(), (usize, rpull::error::Error)> {
//! let tree = Tree::read(blobs(), &|_| true)?;
//! let mut tar = Vec::new();
//! tree.write(blobs(), &|_| true, &mut |bytes| {
//!     tar.extend_from_slice(bytes);
//!     Ok(())
//! })?;
//! # Ok(())
//! # }
//! ```

mod apply;
mod order;
mod path_map;
mod tree;
mod write;

pub use self::path_map::MAX_TREE_BYTES;
pub use self::tree::{Tree, TreeTotals};
pub use self::write::TarSink;
