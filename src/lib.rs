//! Moves container images layer by layer, without a daemon, and reports exactly what was transferred.
//!
//! ```no_run
//! # async fn example() -> rpull::Result<()> {
//! use rpull::registry::RegistryOptions;
//!
//! let report = rpull::pull("alpine:3.14", "/var/lib/images".as_ref(), RegistryOptions::default()).await?;
//! println!("{} bytes transferred, {} shared", report.bytes.transferred, report.bytes.shared);
//! # Ok(())
//! # }
//! ```
//!
//! [`pull()`], [`push()`], [`copy()`] and [`unpack()`] combine parts that can also be used alone:
//!
//! - [`mod@reference`], [`digest`], [`platform`], [`media`], [`descriptor`], [`document`], [`config`]: the types of the
//!   OCI specifications;
//! - [`error`]: the error type: a one-line text, and data for programs;
//! - [`content`]: the traits of sources and targets: look up ([`Lookup`](content::Lookup)), read ([`Source`]) and write
//!   ([`Target`]);
//! - [`name`]: names of images at an endpoint;
//! - [`registry`]: a registry over HTTP as source and target, with authentication;
//! - [`layout`]: an OCI image layout on disk, which is also the local store, as source and target;
//! - [`archive`]: a tar of a layout, or what `docker save` writes, as source and target;
//! - [`memory`]: content in memory, as source and target;
//! - [`artifact`]: makes a manifest and blobs of bytes of any kind, to push them;
//! - [`oci`]: conversions from and to the types of `oci-spec`;
//! - [`control`], [`progress`]: stop what takes long, and report how far it is;
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
#[cfg(feature = "cli")]
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

use std::io;
use std::path::Path;
use std::sync::Arc;

use blocking::run_blocking;
use config::{CONFIG_LIMIT, ImageConfig};
#[cfg(doc)]
use content::Source;
use content::Target;
use control::Control;
#[doc(hidden)]
pub use escape::escape;
use image_layers::LayerBlob;
use layout::LayoutOptions;
use name::ImageName;
use registry::RegistryOptions;
use retry::RetryPolicy;
use transfer::{
    ImageRequest, PlatformRequest, PlatformSelection, Report, ResolvedImage, TransferOptions,
    read_small, resolve_image, transfer,
};
use unpack::{RootBuilder, Unpacked};

pub use self::artifact::Artifact;
pub use self::descriptor::Descriptor;
pub use self::digest::Digest;
pub use self::document::Document;
pub use self::error::{Error, ErrorKind, Result};
pub use self::layout::Layout;
pub use self::media::MediaType;
pub use self::memory::Memory;
pub use self::oci::oci_spec;
pub use self::platform::Platform;
pub use self::reference::Reference;
pub use self::registry::Client;

/// Pulls one image for the host's platform into the layout at `store`, which is created if it does not exist.
///
/// Transfers only missing layers. If the future is dropped, partial blobs are kept and the next pull resumes them.
pub async fn pull(reference: &str, store: &Path, options: RegistryOptions) -> Result<Report> {
    let reference: Reference = reference.parse()?;
    let store = store.to_owned();
    // Opening may wait for other processes, and re-hash many blobs after a restart.
    let open = move || Layout::create(&store, LayoutOptions::default());
    let target: Arc<dyn Target> = Arc::new(run_blocking("open", open).await?);
    let request = ImageRequest {
        source: Arc::new(Client::new(options).repository(&reference)?),
        name: reference.name(),
        reference: reference.to_string(),
        target_name: ImageName::Layout(reference.store_name()),
        platforms: PlatformSelection::Single(PlatformRequest::implicit(Platform::host())),
    };
    run(request, target).await
}

/// Pushes the image `source` in the layout at `store` to the registry, as `target`.
///
/// Uploads only missing blobs, and resumes an interrupted push.
pub async fn push(
    source: &str,
    store: &Path,
    target: &str,
    options: RegistryOptions,
) -> Result<Report> {
    let (source, target): (Reference, Reference) = (source.parse()?, target.parse()?);
    let layout = Arc::new(Layout::open(store)?);
    let repository = Client::new(options).repository_for_push(&target)?;
    let request = ImageRequest {
        source: Arc::<Layout>::clone(&layout),
        name: ImageName::Layout(source.store_name()),
        reference: target.to_string(),
        target_name: target.name(),
        platforms: PlatformSelection::All,
    };
    run(request, Arc::new(repository.with_upload_store(layout))).await
}

/// Copies an image with all its platforms between registries; blobs are streamed through memory.
pub async fn copy(source: &str, target: &str, options: RegistryOptions) -> Result<Report> {
    let (source, target): (Reference, Reference) = (source.parse()?, target.parse()?);
    let client = Client::new(options);
    let request = ImageRequest {
        source: Arc::new(client.repository(&source)?),
        name: source.name(),
        reference: target.to_string(),
        target_name: target.name(),
        platforms: PlatformSelection::All,
    };
    run(request, Arc::new(client.repository_for_push(&target)?)).await
}

/// Unpacks an image in the layout at `store`, as pulled by [`pull()`], into a directory that is missing or empty.
///
/// The directory appears when all layers are verified.
pub async fn unpack(reference: &str, store: &Path, directory: &Path) -> Result<Unpacked> {
    let reference: Reference = reference.parse()?;
    let layout = Arc::new(Layout::open(store)?);
    let (name, retry) = (ImageName::Layout(reference.store_name()), RetryPolicy::default());
    let choice = PlatformRequest::implicit(Platform::host());
    let ResolvedImage { manifest: chosen, .. } =
        resolve_image(&*layout, &name, &reference.to_string(), Some(&choice), &retry).await?;
    let manifest = chosen.manifest()?;
    let config = read_small(&*layout, &manifest.config, CONFIG_LIMIT, retry).await?;
    let config = ImageConfig::parse(&config)?;
    let layers = LayerBlob::from_image(&reference.to_string(), manifest, &config, |layer| {
        let (layout, digest) = (Arc::clone(&layout), layer.digest.clone());
        Box::new(move |_| Ok(Box::new(layout.blob_file(&digest).map_err(io::Error::other)?)))
    })?;
    let directory = directory.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let builder = RootBuilder::begin(&directory)?;
        let filled =
            builder.apply(layers, unpack::BuildOptions::default(), &Control::default(), || Ok(()));
        filled.map(|(receipt, _)| receipt)
    });
    work.await
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Unpack, "unpack").with_source(error)))
}

async fn run(request: ImageRequest, target: Arc<dyn Target>) -> Result<Report> {
    let mut finished = transfer(&[request], &target, TransferOptions::default()).await;
    let finished = finished.remove(0);
    match finished.error {
        None => Ok(finished.report),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn can_be_spawned<T: Send + 'static>(_: T) {}

    #[test]
    fn futures_are_send() {
        let (store, options) = (Path::new("images"), RegistryOptions::default);
        can_be_spawned(pull("alpine", store, options()));
        can_be_spawned(push("alpine", store, "localhost:5000/alpine", options()));
        can_be_spawned(copy("alpine", "localhost:5000/alpine", options()));
        can_be_spawned(unpack("alpine", store, Path::new("root")));
    }
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
