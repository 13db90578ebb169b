//! Where content comes from and where it goes: [`Source`], [`Target`], and an open write, [`BlobWriter`].
//!
//! A registry, an image layout and an archive are ends of the same engine ([`mod@crate::transfer`]). An end is opened once
//! and bound to one repository or directory; the traits are object-safe because they are called per blob, never per byte.

mod lookup;
mod source;
mod target;
mod writer;

pub use self::lookup::{BlobPresence, Presence, RequestCounts};
pub use self::source::{BlobStream, ByteStream, Source, SourceKind};
pub use self::target::{EmptyTarget, Incoming, Label, Target};
pub use self::writer::{BlobWriter, Opened, UploadStore};
