//! Moves container images layer by layer, without a daemon, and reports exactly what was transferred.
//!
//! # Pull an image
//!
//! Credentials, certificates and proxies come from the environment, as docker's and podman's files have them. Targets are texts
//! as on the command line, or a [`Layout`], a [`Memory`] or a custom backend. Only missing blobs are transferred.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rpull::{Memory, Pull};
//!
//! let memory = Memory::default();
//! let pull = Pull::new("alpine:3.20").platform("linux/arm64".parse()?);
//! let report = pull.to("oci:/var/lib/images").to(&memory).await?;
//! let image = &report.images[0].report;
//! println!("{} bytes transferred, {} shared", image.bytes.transferred, image.bytes.shared);
//! # Ok(())
//! # }
//! ```
//!
//! # Push
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rpull::registry::RegistryOptions;
//! use rpull::registry::credentials::parse_creds;
//! use rpull::{Client, ImageSource, Layout, Push};
//!
//! let mut options = RegistryOptions::from_env()?;
//! let credential = parse_creds("user:password")?;
//! options.credentials = options.credentials.with("registry.example", credential);
//! let layout = Layout::open("/var/lib/images".as_ref())?;
//! let image = ImageSource::from(layout).named("alpine:3.20");
//! Push::new(image).client(Client::new(options)).to("registry.example/alpine:3.20").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Copy many
//!
//! One run takes any number of images and targets. Every blob is read once, and a plan can be looked at first.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rpull::Copy;
//!
//! let mut copy = Copy::new().referrers().jobs(12);
//! for tag in ["3.19", "3.20"] {
//!     copy = copy.image(format!("alpine:{tag}"));
//!     copy = copy.to(format!("eu.example/alpine:{tag}")).to(format!("us.example/alpine:{tag}"));
//! }
//! let missing: u64 = copy.plan().await.iter().map(|image| image.report.bytes.missing).sum();
//! println!("{missing} bytes to transfer");
//! copy.await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Push bytes as an artifact
//!
//! ```no_run
//! # async fn example(image: rpull::Descriptor) -> Result<(), Box<dyn std::error::Error>> {
//! use rpull::{Artifact, Push};
//!
//! let sbom = Artifact::builder("application/vnd.example.sbom.v1");
//! let sbom = sbom.layer("application/json", "{}").subject(&image).build()?;
//! Push::artifact(sbom).to("registry.example/team/app:sbom").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Unpack
//!
//! ```no_run
//! # async fn example() -> rpull::Result<()> {
//! let unpacked = rpull::Unpack::new("alpine:3.20").to("/srv/alpine").await?;
//! println!("{} files", unpacked.files);
//! # Ok(())
//! # }
//! ```
//!
//! [`layer_reader`] and [`image_layers`] read the entries of layers without writing files, [`flatten`] writes them as one tar.
//!
//! # Look at an image
//!
//! Registries, layouts, archives and engine stores are all a [`Source`](content::Source). Manifests are kept as they were received.
//!
//! ```no_run
//! # async fn example() -> rpull::Result<()> {
//! use rpull::content::Source as _;
//! use rpull::{Client, Reference};
//!
//! let image: Reference = "alpine:3.20".parse()?;
//! let repository = Client::from_env()?.repository(&image)?;
//! println!("{:?}", repository.tags().await?);
//! let document = repository.resolve(&image.name()).await?;
//! println!("{} {}", document.digest(), document.descriptor().media_type);
//! # Ok(())
//! # }
//! ```
//!
//! # Write a backend
//!
//! Implement the traits of [`content`], which begins with their life cycle; `examples/own_backend` is a complete one over a
//! directory of files. An `Arc` of it is a source or target of every builder.
//!
//! ```
//! # use std::sync::Arc;
//! # fn example(own_source: Arc<dyn rpull::content::Source>, own_target: Arc<dyn rpull::content::Target>) -> rpull::Copy {
//! use rpull::{Copy, ImageSource, ImageTarget};
//!
//! let image = ImageSource::from(own_source).named("app:1");
//! Copy::new().image(image).to(ImageTarget::from(own_target).named("app:2"))
//! # }
//! ```
//!
//! # Errors, progress, cancellation
//!
//! `run()` always gives the report; awaiting a builder fails with its first error, which carries the report. An [`Error`] has a
//! [`kind`](Error::kind) and more for programs, and is one line for people.
//!
//! ```no_run
//! # async fn example() {
//! use rpull::{CancellationToken, ErrorKind, Event, Pull};
//!
//! let cancel = CancellationToken::new();
//! let pull = Pull::new("alpine:3.20").to("oci:/var/lib/images").cancel(cancel.clone());
//! let pull = pull.progress(|event: &Event<'_>| {
//!     if let Event::Committed { reference, .. } = event {
//!         println!("{reference} is complete");
//!     }
//! });
//! match pull.await {
//!     Ok(report) => println!("{:?}", report.elapsed),
//!     Err(error) if error.kind() == ErrorKind::Interrupted => println!("{:?}", error.report()),
//!     Err(error) => eprintln!("{error}"),
//! }
//! # }
//! ```
//!
//! # Modules
//!
//! [`Pull`], [`Push`], [`struct@Copy`] and [`Unpack`] combine parts that can also be used alone:
//!
//! - [`mod@reference`], [`digest`], [`platform`], [`media`], [`descriptor`], [`document`], [`config`]: the types of the
//!   OCI specifications;
//! - [`error`]: the error type: a one-line text, and data for programs;
//! - [`content`]: the traits of sources and targets: look up ([`Lookup`](content::Lookup)), read
//!   ([`Source`](content::Source)) and write ([`Target`](content::Target));
//! - [`name`]: names of images at an endpoint;
//! - [`image_id`]: the ids that tables and docker's commands show;
//! - [`verifier`]: verifies bytes against a descriptor, which a [`BlobWriter`](content::BlobWriter) needs to commit a blob;
//! - [`retry`]: which errors are tried again, how often, and after which wait;
//! - [`secret`]: passwords and tokens, which no text shows;
//! - [`registry`]: a registry over HTTP as source and target, with authentication;
//! - [`layout`]: an OCI image layout on disk, which is also the local store, as source and target;
//! - [`archive`]: a tar of a layout, or what `docker save` writes, as source and target;
//! - [`engine_store`]: the stores of container engines on this machine, as sources;
//! - [`memory`]: content in memory, as source and target;
//! - [`artifact`]: makes a manifest and blobs of bytes of any kind, to push them;
//! - [`oci`]: conversions from and to the types of `oci-spec`;
//! - [`control`], [`progress`]: stop what takes long, and report how far it is;
//! - [`builders`]: does whole jobs in a few lines;
//! - [`mod@transfer`]: resolves, plans, transfers, commits and reports;
//! - [`insight`]: describes images, and what their layers change;
//! - [`layer`]: reads the entries of a layer;
//! - [`rebuild`]: rebuilds a gzip blob bit for bit from its uncompressed bytes and a small record;
//! - [`delta`]: makes a layer of old layers and of what is new, bit for bit;
//! - [`image_delta`]: deltas of an image's layers, as an artifact; finds and applies them;
//! - [`layer_reader`]: reads the entries of a layer in a registry or another source;
//! - [`image_layers`]: reads all layers of an image, verified against its config;
//! - [`edit`]: makes new images of images: layers, config, base, index;
//! - [`mod@unpack`]: unpacks layers into a root directory, or into one directory per layer;
//! - [`flatten`]: merges layers into one tree, and writes it as one tar;
//! - `mirror` (part of `cli`): reads the file of `rpull mirror`, and selects tags;
//! - `serve` (a feature): serves a layout as a registry;
//! - `cli` (a feature): the command line, which is not part of the interface.
//!
//! The most common types are re-exported here: [`Reference`], [`Digest`], [`Client`], [`Layout`], [`Memory`], [`Artifact`],
//! [`Error`] and so on.

mod annotation;
pub mod archive;
pub mod artifact;
mod atomic_file;
mod beneath;
mod blob_file;
mod blocking;
mod boot;
pub mod builders;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod content;
pub mod control;
pub mod delta;
pub mod descriptor;
pub mod digest;
pub mod document;
#[cfg(feature = "cli")]
mod duration;
pub mod edit;
mod engine;
pub mod engine_store;
pub mod error;
mod escape;
mod file_cursor;
pub mod flatten;
mod free_space;
pub mod image_delta;
pub mod image_id;
pub mod image_layers;
pub mod insight;
mod json;
pub mod layer;
pub mod layer_reader;
pub mod layout;
mod leb128;
mod limits;
mod local_path;
mod location;
mod lock;
pub mod media;
pub mod memory;
mod min_rate;
#[cfg(feature = "cli")]
mod mirror;
pub mod name;
pub mod oci;
mod oci_layout_file;
mod other_tools;
pub mod platform;
pub mod progress;
pub mod rebuild;
pub mod reference;
pub mod registry;
pub mod retry;
mod same_name;
pub mod secret;
#[cfg(feature = "serve")]
pub mod serve;
mod setters;
mod sharing;
mod size;
mod symlinks;
mod tar_block;
mod toml_file;
pub mod transfer;
pub mod unpack;
mod user_dir;
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
