//! The files of an image: what each layer adds, modifies and deletes, and the tree that all of them give.
//!
//! A [`FileTree`] is fed with the entries of one layer after the other, base first. At the end of each layer it passes the
//! layer's [`Change`]s, compared with the layers below. Whiteouts, opaque directories, hard links (also into lower
//! layers), links in parent paths and changes of type mean what they mean for [`mod@crate::unpack`]: after the last layer
//! the tree has the paths that unpacking would give.
//!
//! A million paths of 50 bytes take about 85 MB, [`MAX_TREE_BYTES`](crate::flatten::MAX_TREE_BYTES) is the limit.
//!
//! [`read_layers`] does all of it for the layers of an image, and verifies them.
//!
//! ```
//! use rpull::insight::files::{ChangeKind, FileTree};
//! use rpull::layer::{Entries, EntryLimits};
//!
//! # fn example(layers: Vec<std::io::BufReader<std::fs::File>>) -> std::io::Result<()> {
//! let mut tree = FileTree::new()?;
//! for tar in layers {
//!     let mut entries = Entries::new(tar, EntryLimits::default());
//!     while let Some(entry) = entries.next_entry()? {
//!         tree.entry(entry)?;
//!     }
//!     let totals = tree.end_layer(|change| {
//!         if change.kind == ChangeKind::Deleted && !change.implied {
//!             let hidden = change.hidden.bytes + change.hidden_below.bytes;
//!             println!("{} hides {hidden} bytes", String::from_utf8_lossy(change.path));
//!         }
//!         std::io::Result::Ok(())
//!     })?;
//!     println!("{} paths added", totals.added);
//! }
//! tree.walk(b"usr/bin", true, |path, file| {
//!     println!("{:o} {}", file.mode, String::from_utf8_lossy(path));
//!     std::io::Result::Ok(())
//! })?;
//! # Ok(())
//! # }
//! ```

mod arena;
mod attributes;
mod both;
mod change;
mod compare;
#[cfg(feature = "cli")]
pub(crate) mod extract;
mod layer_reader;
#[cfg(feature = "cli")]
pub(crate) mod list;
mod node_table;
mod pages;
mod path_tree;
mod read;
#[cfg(test)]
mod tests;
mod tree;

pub(in crate::insight) use self::both::{MergeError, SortedFiles, TreeFiles, merge};
pub use self::change::{Change, ChangeKind, ContentId, FileInfo, Hidden, LayerTotals};
#[cfg(feature = "cli")]
pub(crate) use self::read::{LayerInput, new_tree, read_names};
pub use self::read::{
    MAX_HEAD_BYTES, ReadOptions, read_layers, read_layers_onto, read_layers_with_heads,
};
pub use self::tree::FileTree;
