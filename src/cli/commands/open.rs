//! Opens the place that a word names, for the commands that look.

use std::sync::Arc;

use crate::cli::settings::{Settings, platform};
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{Name, Source};
use crate::document::{Document, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
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
pub(in crate::cli) async fn open(
    text: &str,
    plain: PlainMeans,
    settings: &Settings,
) -> Result<Opened> {
    let place = Place::parse(text, plain)?;
    match place {
        Place::Registry(reference) => registry(&reference, settings),
        Place::Store(reference) => store(&reference, settings),
        Place::Either(reference) => match in_store(&reference, settings).await? {
            Some(opened) => Ok(opened),
            None => registry(&reference, settings),
        },
        Place::Layout { path, name } => {
            let layout = Layout::open(&path)?;
            let name = named(&layout, name).await?;
            Ok(Opened { source: Arc::new(layout), reference: text.to_owned(), name })
        }
    }
}

/// `oci:PATH:alpine` also finds what a pull wrote there under its full name.
async fn named(layout: &Layout, name: Name) -> Result<Name> {
    let Name::Ref(text) = &name else { return Ok(name) };
    let Ok(reference) = text.parse::<Reference>() else { return Ok(name) };
    Ok(match layout.head(&name).await? {
        Some(_) => name,
        None => Name::Ref(reference.store_name()),
    })
}

pub(super) fn registry(reference: &Reference, settings: &Settings) -> Result<Opened> {
    let repository = settings.client(&reference.to_string(), true)?.repository(reference)?;
    Ok(Opened {
        source: Arc::new(repository),
        name: reference.name(),
        reference: reference.to_string(),
    })
}

fn store(reference: &Reference, settings: &Settings) -> Result<Opened> {
    let name = reference.store_name();
    let source = settings.store_with(&name)?;
    Ok(Opened { source, name: Name::Ref(name), reference: reference.to_string() })
}

async fn in_store(reference: &Reference, settings: &Settings) -> Result<Option<Opened>> {
    if settings.existing_store()?.is_none() {
        return Ok(None);
    }
    let opened = store(reference, settings)?;
    Ok(opened.source.head(&opened.name).await?.map(|_| opened))
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
    pub(in crate::cli) async fn open(
        text: &str,
        typed: Option<&str>,
        plain: PlainMeans,
        settings: &Settings,
    ) -> Result<Self> {
        let platform = platform(typed)?;
        let opened = open(text, plain, settings).await?;
        let Picked { root, chosen } = pick(
            &*opened.source,
            &opened.name,
            &opened.reference,
            Some(&platform),
            &settings.retry,
        )
        .await?;
        let descriptor = &chosen.manifest()?.config;
        if !descriptor.media_type.is_image_config() {
            return Err(Error::new(ErrorKind::Unsupported, &opened.reference)
                .because(format!("is not an image: its config is {}", descriptor.media_type)));
        }
        let bytes =
            crate::fetch::blob(&*opened.source, descriptor, CONFIG_LIMIT, &settings.retry).await?;
        let config = ImageConfig::parse(&bytes)?;
        Ok(Self { opened, root, chosen, config })
    }

    pub(in crate::cli) fn manifest(&self) -> Result<&Manifest> {
        self.chosen.manifest()
    }
}
