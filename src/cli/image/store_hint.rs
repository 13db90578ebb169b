//! A hint for commands that read a plain name from Docker Hub although the store has an image of that name, perhaps one
//! that was never pushed.

use crate::cli::settings::Settings;
use crate::error::{Error, ErrorDetail, ErrorKind, Result, Side};
use crate::location::{DefaultLocation, Location};
use crate::reference::Reference;
use crate::reference::docker_hub::HUB;

/// The hint for one image.
pub(in crate::cli) struct StoreHint {
    image: Option<Reference>,
    hint: String,
    settings: Settings,
}

impl StoreHint {
    /// For a command that can read the store too. `text` is the image as typed.
    pub(in crate::cli) fn new(text: &str, settings: &Settings) -> Self {
        Self::with_text(
            text,
            format!("write `store:{text}` for the image of that name in the store"),
            settings,
        )
    }

    /// For a command that needs the image in a registry.
    pub(in crate::cli) fn to_push(text: &str, settings: &Settings) -> Self {
        let hint = format!(
            "push the image of that name in the store first, with `rpull push {text} REGISTRY/REPO:TAG`, and name it like that"
        );
        Self::with_text(text, hint, settings)
    }

    fn with_text(text: &str, hint: String, settings: &Settings) -> Self {
        let image = match Location::parse(text, DefaultLocation::StoreOrRegistry) {
            Ok(Location::StoreOrRegistry(image)) => Some(image),
            _ => None,
        };
        // A registry that was named was meant.
        let is_plain = |image: &Reference| image.registry() == HUB && !text.starts_with(HUB);
        let image = image.filter(|image| is_plain(image) || settings.offline);
        Self { image, hint, settings: settings.clone() }
    }

    /// Adds the hint if the registry does not have the image or cannot be asked, and the store has it.
    pub(in crate::cli) fn add_to(&self, error: Error) -> Error {
        let is_of_registry = matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Registry | ErrorKind::Transport
        );
        if !is_of_registry || error.side() == Some(Side::Target) || !self.is_in_store() {
            return error;
        }
        let error = match error.detail() {
            // It is there, and was not looked for.
            Some(ErrorDetail::NotInStore) => {
                error.with_reason("`--offline` disables registry access")
            }
            _ => error,
        };
        error.with_hint(&self.hint)
    }

    /// Runs a command's reading and adds the hint to its failure.
    pub(in crate::cli) async fn around<T>(
        &self,
        reading: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        Box::pin(reading).await.map_err(|error| self.add_to(error))
    }

    fn is_in_store(&self) -> bool {
        let Some(image) = &self.image else { return false };
        let store = self.settings.store_if_any().ok().flatten();
        store.and_then(|store| store.entry(&image.to_string()).ok()).flatten().is_some()
    }
}
