//! From a name to everything that belongs to its image.
//!
//! ```text
//! image            one image for one target: root, documents, blobs, what the target has of it
//!   platform_entries  the root of a name that has one document per platform
//!   image_documents  the documents of the requested platforms, by `finder`, `collect`, `nested`, `filter_index`
//!   artifacts      referrers and digest tags
//! resolved_image   the same for commands that only read an image and have no target
//! graph            the result
//! source_documents documents that several targets of a run need, fetched once
//! ```

pub(super) mod artifacts;
mod collect;
mod filter_index;
pub(super) mod finder;
pub(super) mod graph;
pub(super) mod image;
mod image_documents;
mod nested;
mod platform_entries;
pub(super) mod resolved_image;
pub(super) mod source_documents;
