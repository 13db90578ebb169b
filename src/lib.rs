//! Moves container images layer by layer, without a daemon, and knows exactly what moved.
//!
//! ```no_run
//! # async fn example() -> rpull::error::Result<()> {
//! use rpull::registry::RegistryOptions;
//!
//! let report = rpull::pull("alpine:3.14", "/var/lib/images".as_ref(), RegistryOptions::default()).await?;
//! println!("{} bytes travelled, {} were there already", report.bytes.transferred, report.bytes.shared);
//! # Ok(())
//! # }
//! ```
//!
//! [`pull()`] is a composition of parts that can be used alone:
//!
//! - [`mod@reference`], [`digest`], [`platform`], [`media`], [`descriptor`], [`document`], [`config`]: the words of the OCI specs;
//! - [`content`]: the ends of a transfer, [`Source`] and [`Target`];
//! - [`registry`]: a registry over HTTP, with complete authentication, as a source;
//! - [`layout`]: an OCI image layout on disk, which is also the local store, as both;
//! - [`archive`]: a tar of a layout, or what `docker save` writes, as both;
//! - [`mod@transfer`]: resolve, plan, move, commit, report;
//! - [`insight`]: what documents say about an image, without its layers.

pub mod annotation;
pub mod archive;
pub mod checked;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod content;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod error;
mod escape;
pub mod fetch;
pub mod insight;
mod json;
pub mod layer;
pub mod layout;
pub mod media;
mod pace;
pub mod place;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod retry;
pub mod secret;
pub mod transfer;

use std::path::Path;
use std::sync::Arc;

#[cfg(doc)]
use content::Source;
use content::{Name, Target};
use error::Result;
pub use escape::escape;
use layout::{Layout, LayoutOptions};
use platform::Platform;
use reference::Reference;
use registry::{Client, RegistryOptions};
use transfer::{Options, Platforms, Report, Wanted, transfer};

/// Pulls one image for the host's platform into the layout at `store`, which is made where it does not exist.
///
/// Only layers that the layout lacks travel. Dropping the future keeps what arrived; the next pull continues it.
pub async fn pull(reference: &str, store: &Path, options: RegistryOptions) -> Result<Report> {
    let reference: Reference = reference.parse()?;
    let target: Arc<dyn Target> = Arc::new(Layout::create(store, LayoutOptions::default())?);
    let wanted = Wanted {
        source: Arc::new(Client::new(options).repository(&reference)?),
        name: reference.name(),
        reference: reference.to_string(),
        target_name: Name::Ref(reference.store_name()),
        platforms: Platforms::One(Platform::host()),
    };
    let mut finished = transfer(&[wanted], &target, Options::default()).await;
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
    fn a_pull_can_be_spawned() {
        can_be_spawned(pull("alpine", Path::new("images"), RegistryOptions::default()));
    }
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
