//! What an image says about its base, and what the registry says.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::annotation;
use crate::cli::image::open::{OpenedLocation, read_config, registry, registry_reference};
use crate::cli::settings::Settings;
use crate::config::{HistoryEntry, ImageConfig};
use crate::content::Effort;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;
use crate::registry::is_reachable_from;
use crate::transfer::{PlatformRequest, ResolvedImage, resolve_image};

/// Why there is nothing to check.
pub(in crate::cli) const UNNAMED: &str = "does not name its base";

/// What the user says about the base.
pub(in crate::cli) struct BaseOptions<'a> {
    /// The name, instead of that of the annotation.
    pub(in crate::cli) base: Option<&'a str>,
    /// The digest that the image was built on, instead of that of the annotation.
    pub(in crate::cli) digest: Option<&'a Digest>,
    pub(in crate::cli) platform: PlatformRequest,
}

/// An image whose base is checked.
pub(in crate::cli) struct BuiltImage<'a> {
    pub(in crate::cli) opened: &'a OpenedLocation,
    /// The document that the name resolves to.
    pub(in crate::cli) root: &'a Document,
    /// The manifest of the platform.
    pub(in crate::cli) manifest: &'a Document,
}

/// The base of an image, then and now.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct BaseCheck {
    name: String,
    /// What the image was built on; unknown if neither an annotation nor the user says it.
    digest: Option<Digest>,
    /// What the name stands for now.
    current: Digest,
    up_to_date: bool,
}

impl BaseOptions<'_> {
    /// Checks the texts before any request.
    pub(in crate::cli) fn check(&self) -> Result<()> {
        self.base.map(registry_reference).transpose().map(drop)
    }
}

impl BaseCheck {
    pub(in crate::cli) fn text(&self) -> String {
        let digest = self.digest.as_ref().map_or("-", Digest::as_str);
        let result = if self.up_to_date { "up to date" } else { "changed" };
        format!(
            "base      {}\nbuilt on  {digest}\ncurrent   {}\nresult    {result}\n",
            self.name, self.current
        )
    }

    /// The message for a base that has changed.
    pub(in crate::cli) fn message(&self) -> Option<String> {
        (!self.up_to_date).then(|| format!("base {} has changed", self.name))
    }
}

impl BuiltImage<'_> {
    /// Asks the registry what the name of the base stands for: one HEAD if that is still the digest that the image was
    /// built on. Without such a digest, layers and history are compared. `None` if the image does not name its base.
    pub(in crate::cli) async fn check_base(
        &self,
        options: &BaseOptions<'_>,
        settings: &Settings,
    ) -> Result<Option<BaseCheck>> {
        let annotations = self.annotations().await;
        let base = match options.base {
            Some(text) => registry_reference(text)?,
            None => match annotations.get(annotation::BASE_NAME) {
                Some(text) => self.named_base(text, settings)?,
                None => return Ok(None),
            },
        };
        let digest = options.digest.or(base.digest()).cloned();
        let digest = match (digest, annotations.get(annotation::BASE_DIGEST)) {
            // The annotation belongs to the base of the other annotation.
            (None, Some(text)) if options.base.is_none() => Some(text.parse::<Digest>()?),
            (digest, _) => digest,
        };
        let tag = base.tag().unwrap_or("latest");
        if base.tag().is_none() && base.digest().is_some() {
            return Err(self.error(&format!("names its base without a tag: {base}")));
        }
        let base = base.with_tag(tag)?;
        let opened = registry(&base, settings)?;
        let (current, up_to_date) = match &digest {
            Some(digest) => current(&opened, digest).await?,
            None => self.compare(&opened, options, settings).await?,
        };
        Ok(Some(BaseCheck { name: base.to_string(), digest, current, up_to_date }))
    }

    /// The annotations of the manifest, of its entry in the index, and of the index: the first that names a base.
    async fn annotations(&self) -> BTreeMap<String, String> {
        let own = self.manifest.as_referrer().annotations;
        let parent = self.opened.source.provenance(self.root).await.parent_index;
        let indexes = [Some(self.root), parent.as_ref()];
        let entries = indexes.iter().flatten().flat_map(|index| index.entries());
        let entries = entries.filter(|entry| entry.digest == *self.manifest.digest());
        let entries = entries.map(|entry| entry.annotations.clone());
        let indexes = indexes.iter().flatten().map(|index| index.as_referrer().annotations);
        let mut all = std::iter::once(own).chain(entries).chain(indexes);
        all.find(|annotations| annotations.contains_key(annotation::BASE_NAME)).unwrap_or_default()
    }

    /// Parses a name that the image gives, which must lead neither a request nor a credential astray.
    fn named_base(&self, text: &str, settings: &Settings) -> Result<Reference> {
        let base: Reference = text.parse().map_err(|error: Error| {
            self.error(&format!("names a base that is not a reference: {text}")).with_source(error)
        })?;
        let own = self.opened.reference.parse::<Reference>().ok();
        let own = own.as_ref().map(Reference::registry);
        let error = if own != Some(base.registry()) && settings.has_creds() {
            format!("names a base in another registry: {base}")
        } else if !is_reachable_from(own, base.registry()) {
            format!("names a base in an internal network: {base}")
        } else {
            return Ok(base);
        };
        Err(self.error(&error).with_hint("name it with `--base NAME` if that is intended"))
    }

    fn error(&self, reason: &str) -> Error {
        Error::new(ErrorKind::Unsupported, &self.opened.reference).with_reason(reason)
    }

    /// Compares layers and history with those of the base.
    async fn compare(
        &self,
        base: &OpenedLocation,
        options: &BaseOptions<'_>,
        settings: &Settings,
    ) -> Result<(Digest, bool)> {
        let (source, platform) = (&*base.source, Some(&options.platform));
        let found = resolve_image(source, &base.name, &base.reference, platform, &settings.retry);
        let ResolvedImage { root, manifest } = found.await?;
        let (own, lower) = (self.manifest.manifest()?, manifest.manifest()?);
        let mut layers = own.layers.iter();
        let mut is_same = lower
            .layers
            .iter()
            .all(|layer| layers.next().is_some_and(|own| own.digest == layer.digest));
        if is_same {
            let own = read_config(&own.config, self.opened, settings).await?;
            let lower = read_config(&lower.config, base, settings).await?;
            is_same = begins_with(&own, &lower);
        }
        Ok((root.digest().clone(), is_same))
    }
}

/// Whether the steps of the base are the first of the image.
fn begins_with(own: &ImageConfig, base: &ImageConfig) -> bool {
    let step =
        |entry: &HistoryEntry| (entry.created.clone(), entry.created_by.clone(), entry.empty_layer);
    own.history.len() >= base.history.len()
        && own.history.iter().zip(&base.history).all(|(own, base)| step(own) == step(base))
}

/// Returns what the name stands for, and whether that is the digest, or an index with it.
async fn current(base: &OpenedLocation, digest: &Digest) -> Result<(Digest, bool)> {
    // Docker Hub counts no HEAD as a pull.
    let named = base.source.name(&base.name, Effort::Request).await?.present();
    if let Some(descriptor) = named.filter(|named| named.digest == *digest) {
        return Ok((descriptor.digest, true));
    }
    let document = base.source.resolve(&base.name).await?;
    // Some builders record the manifest of the platform.
    let has_it = document.entries().iter().any(|entry| entry.digest == *digest);
    let current = document.digest().clone();
    let up_to_date = has_it || current == *digest;
    Ok((current, up_to_date))
}
