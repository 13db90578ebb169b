//! Opens the place that a word names, for the commands that look.

use std::sync::Arc;

use crate::cli::settings::{Settings, platform};
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{Name, Source};
use crate::document::{Document, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, LayoutOptions};
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;
use crate::transfer::{Picked, pick};

/// A place, opened for reading.
pub(in crate::cli) struct Opened {
    pub(in crate::cli) source: Arc<dyn Source>,
    pub(in crate::cli) name: Name,
    pub(in crate::cli) reference: String,
}

/// Opens the place; `plain` says what a reference without a prefix means here.
pub(in crate::cli) async fn open(text: &str, plain: PlainMeans, settings: &Settings) -> Result<Opened> {
    let place = Place::parse(text, plain)?;
    match place {
        Place::Registry(reference) => registry(&reference, settings),
        Place::Store(reference) => store(&reference, settings),
        Place::Either(reference) => match in_store(&reference, settings).await? {
            Some(opened) => Ok(opened),
            None => registry(&reference, settings),
        },
        Place::Layout { path, name } => {
            let layout = Layout::open(&path, LayoutOptions { private: false, sync: false, create: false })?;
            let name = name.map_or(Name::Sole, Name::Ref);
            Ok(Opened { source: Arc::new(layout), reference: text.to_owned(), name })
        }
    }
}

fn registry(reference: &Reference, settings: &Settings) -> Result<Opened> {
    let repository = settings.client(&reference.to_string(), true)?.repository(reference)?;
    Ok(Opened { source: Arc::new(repository), name: reference.name(), reference: reference.to_string() })
}

fn store(reference: &Reference, settings: &Settings) -> Result<Opened> {
    let layout = settings.open_store(false)?;
    Ok(Opened { source: layout, name: Name::Ref(reference.store_name()), reference: reference.to_string() })
}

async fn in_store(reference: &Reference, settings: &Settings) -> Result<Option<Opened>> {
    if !settings.store.join("oci-layout").exists() {
        return Ok(None);
    }
    let opened = store(reference, settings)?;
    match opened.source.head(&opened.name).await {
        Ok(found) => Ok(found.map(|_| opened)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// One platform's image: its documents, and its config read.
pub(in crate::cli) struct Image {
    pub(in crate::cli) opened: Opened,
    pub(in crate::cli) root: Document,
    pub(in crate::cli) chosen: Document,
    pub(in crate::cli) config: ImageConfig,
}

impl Image {
    /// Fetches manifest and config, nothing else.
    pub(in crate::cli) async fn open(text: &str, typed: Option<&str>, plain: PlainMeans, settings: &Settings) -> Result<Self> {
        let platform = platform(typed)?;
        let opened = open(text, plain, settings).await?;
        let Picked { root, chosen } = pick(&*opened.source, &opened.name, &opened.reference, Some(&platform)).await?;
        let descriptor = &chosen.manifest()?.config;
        if !descriptor.media_type.is_image_config() {
            return Err(Error::new(ErrorKind::Unsupported, &opened.reference)
                .because(format!("is not an image: its config is {}", descriptor.media_type)));
        }
        let bytes = crate::fetch::blob(&*opened.source, descriptor, CONFIG_LIMIT).await?;
        let config = ImageConfig::parse(&bytes)?;
        Ok(Self { opened, root, chosen, config })
    }

    pub(in crate::cli) fn manifest(&self) -> Result<&Manifest> {
        self.chosen.manifest()
    }
}
