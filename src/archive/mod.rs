//! Images in a tar: an image layout (`oci-archive:`), or what `docker save` writes (`docker-archive:`).
//!
//! ```text
//! reading   open         a plain tar that can be read in any order; pipes and compressed ones are spooled
//!           spool        the file for what can be read once only
//!           tarball      which bytes of it are which entry
//!           oci          oci-layout, index.json, blobs/
//!           docker       manifest.json, and the OCI manifest that is made of it
//!           image        an image of either format, and its names
//!           reader       an archive that is open, with its images
//! writing   blob_area    blobs being written, each in a slot of its own in one file
//!           archive_file an unnamed file, which gets its name when everything in it is verified
//!           oci_target, docker_target
//! ```
//!
//! An archive is read in place, never extracted. One that is written appears under its name whole, or not at all.

mod archive_file;
mod blob_area;
mod blob_span;
mod docker;
mod docker_manifest;
mod docker_target;
mod format;
mod header;
mod image;
mod image_names;
mod inventory;
mod layers;
mod name_lookup;
mod names;
mod oci;
mod oci_target;
mod open;
mod options;
mod parts;
mod reader;
mod single_run;
mod sink;
mod small_file;
mod source;
mod spool;
mod tarball;
mod writer;

#[cfg(feature = "cli")]
pub(crate) use self::archive_file::{ArchiveFile, io_error};
pub use self::format::ArchiveFormat;
pub use self::oci::entries_of_index;
pub use self::options::{ArchiveOutput, WriteOptions};
pub use self::reader::Archive;
pub use self::writer::write;
