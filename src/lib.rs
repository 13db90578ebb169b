//! Moves container images layer by layer, without a daemon, and knows exactly what moved.
//!
//! ```no_run
//! # async fn example() -> rpull::Result<()> {
//! use rpull::registry::RegistryOptions;
//!
//! let report = rpull::pull("alpine:3.14", "/var/lib/images".as_ref(), RegistryOptions::default()).await?;
//! println!("{} bytes travelled, {} were there already", report.bytes.transferred, report.bytes.shared);
//! # Ok(())
//! # }
//! ```
//!
//! [`pull()`], [`push()`], [`copy()`] and [`unpack()`] are compositions of parts that can be used alone:
//!
//! - [`mod@reference`], [`digest`], [`platform`], [`media`], [`descriptor`], [`document`], [`config`]: the words of the OCI specs;
//! - [`error`]: what went wrong, as data and as one line;
//! - [`content`]: the contract of the ends of a transfer, to ask ([`Lookup`](content::Lookup)), read ([`Source`]) and
//!   write ([`Target`]);
//! - [`name`]: what images are asked for by;
//! - [`registry`]: a registry over HTTP, with complete authentication, as both;
//! - [`layout`]: an OCI image layout on disk, which is also the local store, as both;
//! - [`archive`]: a tar of a layout, or what `docker save` writes, as both;
//! - [`memory`]: content in memory, as both;
//! - [`artifact`]: bytes of any kind as a manifest and blobs, to push;
//! - [`oci`]: conversions from and to the types of `oci-spec`;
//! - [`mod@transfer`]: resolve, plan, move, commit, report;
//! - [`insight`]: what documents say about an image, without its layers;
//! - [`layer`]: the entries of a layer, read without writing anything;
//! - [`layer_reader`]: those of a layer in a registry or anywhere else;
//! - [`image_layers`]: all layers of an image as such entries, checked against its config;
//! - [`mod@unpack`]: layers as files in one root, or each in a directory of its own;
//! - [`flatten`]: layers as one tree in memory, and that as one tar;
//! - `serve` (a feature): a layout as a registry;
//! - `cli` (a feature): the command line, which is no part of the interface.
//!
//! What most programs name is here as well: [`Reference`], [`Digest`], [`Client`], [`Layout`], [`Memory`], [`Artifact`],
//! [`Error`] and so on.

mod alike;
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
pub mod reference;
pub mod registry;
pub mod retry;
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

/// Pulls one image for the host's platform into the layout at `store`, which is made where it does not exist.
///
/// Only layers that the layout lacks travel. Dropping the future keeps what arrived; the next pull continues it.
pub async fn pull(reference: &str, store: &Path, options: RegistryOptions) -> Result<Report> {
    let reference: Reference = reference.parse()?;
    let store = store.to_owned();
    // Opening it may wait for other processes, and hash much after a restart.
    let open = move || Layout::create(&store, LayoutOptions::default());
    let target: Arc<dyn Target> = Arc::new(run_blocking("open", open).await?);
    let wanted = ImageRequest {
        source: Arc::new(Client::new(options).repository(&reference)?),
        name: reference.name(),
        reference: reference.to_string(),
        target_name: ImageName::Layout(reference.store_name()),
        platforms: PlatformSelection::Single(PlatformRequest::implicit(Platform::host())),
    };
    run(wanted, target).await
}

/// Pushes what the layout at `store` has under the name of `source` to the registry that `target` names.
///
/// Only blobs that the registry lacks travel, and a push that died is continued.
pub async fn push(
    source: &str,
    store: &Path,
    target: &str,
    options: RegistryOptions,
) -> Result<Report> {
    let (source, target): (Reference, Reference) = (source.parse()?, target.parse()?);
    let layout = Arc::new(Layout::open(store)?);
    let repository = Client::new(options).repository_for_push(&target)?;
    let wanted = ImageRequest {
        source: Arc::<Layout>::clone(&layout),
        name: ImageName::Layout(source.store_name()),
        reference: target.to_string(),
        target_name: target.name(),
        platforms: PlatformSelection::All,
    };
    run(wanted, Arc::new(repository.with_upload_store(layout))).await
}

/// Copies an image, all its platforms, from one registry to another; the bytes stream through memory.
pub async fn copy(source: &str, target: &str, options: RegistryOptions) -> Result<Report> {
    let (source, target): (Reference, Reference) = (source.parse()?, target.parse()?);
    let client = Client::new(options);
    let wanted = ImageRequest {
        source: Arc::new(client.repository(&source)?),
        name: source.name(),
        reference: target.to_string(),
        target_name: target.name(),
        platforms: PlatformSelection::All,
    };
    run(wanted, Arc::new(client.repository_for_push(&target)?)).await
}

/// Makes the files of an image that the layout at `store` has, as [`pull()`] brings it, in a directory where there is
/// nothing, or which is empty.
///
/// The directory is there when all of it is verified, not before.
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
        let building = RootBuilder::begin(&directory)?;
        let filled = building.apply(layers, unpack::BuildOptions::default(), &|_| true, || Ok(()));
        filled.map(|(receipt, _)| receipt)
    });
    work.await
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Unpack, "unpack").with_source(error)))
}

async fn run(wanted: ImageRequest, target: Arc<dyn Target>) -> Result<Report> {
    let mut finished = transfer(&[wanted], &target, TransferOptions::default()).await;
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
