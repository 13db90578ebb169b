//! Moves container images layer by layer, without a daemon, and reports exactly what was transferred.
//!
//! ```no_run
//! # async fn example() -> Result<(), rpull::RunError> {
//! let report = rpull::Pull::new("alpine:3.20").to("oci:/var/lib/images").await?;
//! let bytes = report.images[0].report.bytes;
//! println!("{} bytes transferred, {} shared", bytes.transferred, bytes.shared);
//! # Ok(())
//! # }
//! ```
//!
//! [`Pull`], [`Push`], [`Copy`] and [`Unpack`] combine parts that can also be used alone:
//!
//! - [`mod@reference`], [`digest`], [`platform`], [`media`], [`descriptor`], [`document`], [`config`]: the types of the
//!   OCI specifications;
//! - [`error`]: the error type: a one-line text, and data for programs;
//! - [`content`]: the traits of sources and targets: look up ([`Lookup`](content::Lookup)), read
//!   ([`Source`](content::Source)) and write ([`Target`](content::Target));
//! - [`name`]: names of images at an endpoint;
//! - [`registry`]: a registry over HTTP as source and target, with authentication;
//! - [`layout`]: an OCI image layout on disk, which is also the local store, as source and target;
//! - [`archive`]: a tar of a layout, or what `docker save` writes, as source and target;
//! - [`memory`]: content in memory, as source and target;
//! - [`artifact`]: makes a manifest and blobs of bytes of any kind, to push them;
//! - [`oci`]: conversions from and to the types of `oci-spec`;
//! - [`control`], [`progress`]: stop what takes long, and report how far it is;
//! - [`builders`]: does whole jobs in a few lines;
//! - [`mod@transfer`]: resolves, plans, transfers, commits and reports;
//! - [`insight`]: describes images without their layers;
//! - [`layer`]: reads the entries of a layer;
//! - [`layer_reader`]: reads the entries of a layer in a registry or another source;
//! - [`image_layers`]: reads all layers of an image, verified against its config;
//! - [`mod@unpack`]: unpacks layers into a root directory, or into one directory per layer;
//! - [`flatten`]: merges layers into one tree, and writes it as one tar;
//! - `serve` (a feature): serves a layout as a registry;
//! - `cli` (a feature): the command line, which is not part of the interface.
//!
//! The most common types are re-exported here: [`Reference`], [`Digest`], [`Client`], [`Layout`], [`Memory`], [`Artifact`],
//! [`Error`] and so on.

mod annotation;
pub mod archive;
pub mod artifact;
mod blocking;
mod boot;
pub mod builders;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod content;
pub mod control;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod error;
mod escape;
pub mod flatten;
mod free_space;
pub mod image_id;
pub mod image_layers;
pub mod insight;
mod json;
pub mod layer;
pub mod layer_reader;
pub mod layout;
mod limits;
mod location;
mod lock;
pub mod media;
pub mod memory;
mod min_rate;
pub mod name;
pub mod oci;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod retry;
mod same_name;
pub mod secret;
#[cfg(feature = "serve")]
pub mod serve;
mod sharing;
mod symlinks;
mod tar_block;
pub mod transfer;
pub mod unpack;
pub mod verifier;

#[doc(hidden)]
pub use escape::escape;
pub use tokio_util::sync::CancellationToken;

pub use self::artifact::Artifact;
pub use self::builders::{Copy, ImageSource, ImageTarget, Pull, Push, Unpack};
pub use self::descriptor::Descriptor;
pub use self::digest::Digest;
pub use self::document::Document;
pub use self::error::{Error, ErrorKind, Result};
pub use self::layout::Layout;
pub use self::media::MediaType;
pub use self::memory::Memory;
pub use self::oci::oci_spec;
pub use self::platform::Platform;
pub use self::progress::{Event, Progress};
pub use self::reference::Reference;
pub use self::registry::Client;
pub use self::transfer::{ImageResult, RunError, RunReport};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
