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
    /// What it is called in a layout where nobody says otherwise; empty where it has no name.
    pub(in crate::cli) full_name: String,
    /// The source, where it is one.
    pub(in crate::cli) layout: Option<Arc<Layout>>,
}

impl Opened {
    fn in_layout(layout: Arc<Layout>, name: Name, reference: String, full_name: String) -> Self {
        let source = Arc::clone(&layout) as Arc<dyn Source>;
        Self { source, name, reference, full_name, layout: Some(layout) }
    }
}

/// Opens the place; `plain` says what a reference without a prefix means here.
pub(in crate::cli) async fn open(
    text: &str,
    plain: PlainMeans,
    settings: &Settings,
) -> Result<Opened> {
    open_place(&Place::parse(text, plain)?, settings).await
}

pub(super) async fn open_place(place: &Place, settings: &Settings) -> Result<Opened> {
    match place {
        Place::Registry(reference) => registry(reference, settings),
        Place::Store(reference) => store(reference, settings),
        Place::Either(reference) => match in_store(reference, settings).await? {
            Some(opened) => Ok(opened),
            None => registry(reference, settings),
        },
        Place::Layout { path, name } => {
            let layout = Layout::open(path)?;
            let name = named(&layout, name.clone()).await?;
            let full_name = match &name {
                Name::Ref(text) | Name::Tag(text) => text.clone(),
                Name::Digest(_) => String::new(),
                Name::Sole => sole_name(&layout)?,
            };
            Ok(Opened::in_layout(Arc::new(layout), name, place.to_string(), full_name))
        }
        Place::Archive { form, path, name } => {
            let archive = super::archive::read(path.clone(), Some(*form)).await?;
            let full_name = match name {
                Name::Ref(text) | Name::Tag(text) => archive.full_name(Some(text))?,
                Name::Digest(_) => String::new(),
                Name::Sole => archive.full_name(None)?,
            };
            Ok(Opened {
                source: Arc::new(archive),
                name: name.clone(),
                reference: place.to_string(),
                full_name,
                layout: None,
            })
        }
    }
}

/// What the only image of a layout is called; an entry may have no name.
fn sole_name(layout: &Layout) -> Result<String> {
    let mut entries = layout.entries()?;
    let names = entries.pop().map(|entry| entry.names).unwrap_or_default();
    Ok(names.into_iter().next().unwrap_or_default())
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
        full_name: reference.store_name(),
        layout: None,
    })
}

fn store(reference: &Reference, settings: &Settings) -> Result<Opened> {
    let name = reference.store_name();
    let store = settings.store_with(&name)?;
    Ok(Opened::in_layout(store, Name::Ref(name.clone()), reference.to_string(), name))
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
