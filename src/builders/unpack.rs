//! `Unpack`: writes the files of an image to a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::image_source::ImageSource;
use super::open_layer::open_layer;
use super::open_source::SourceOpener;
use crate::blocking::run_cancellable;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::LayerBlob;
use crate::location::DefaultLocation;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::registry::{Client, RegistryOptions};
use crate::retry::RetryPolicy;
use crate::transfer::{PlatformRequest, ResolvedImage, read_small, resolve_image};
use crate::unpack::{BuildOptions, RootBuilder, Unpacked};

/// Unpacks an image, for one platform, into a missing or empty directory.
///
/// The directory becomes visible only when all layers are verified. Layers from a registry are not stored anywhere else, so
/// [`Pull`](crate::Pull) an image first if it is unpacked more than once. Dropping the future stops the work.
///
/// ```no_run
/// # async fn example() -> rpull::Result<()> {
/// use rpull::Unpack;
///
/// let unpacked = Unpack::new("oci:/var/lib/images:alpine:3.20").to("/srv/alpine").await?;
/// println!("{} files", unpacked.files);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is unpacked before it is awaited"]
#[derive(Clone)]
pub struct Unpack {
    image: ImageSource,
    directory: Option<PathBuf>,
    platform: Option<Platform>,
    client: Option<Arc<Client>>,
    control: Control,
    retry: RetryPolicy,
    options: BuildOptions,
}

impl Unpack {
    /// An unpack of this image. Text without a prefix is the reference of one in a registry.
    pub fn new(image: impl Into<ImageSource>) -> Self {
        Self {
            image: image.into(),
            directory: None,
            platform: None,
            client: None,
            control: Control::default(),
            retry: RetryPolicy::default(),
            options: BuildOptions::default(),
        }
    }

    /// Sets the directory.
    pub fn to(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Selects the platform. The default is [`PlatformRequest::from_env`].
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Uses this client for an image in a registry. The default is [`Client::from_env`].
    pub fn client(mut self, client: impl Into<Arc<Client>>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// Sends progress events of the phase [`Phase::Unpack`](crate::progress::Phase::Unpack), for example to a closure:
    /// `|event: &Event<'_>| …`.
    pub fn progress(mut self, progress: impl Progress + 'static) -> Self {
        self.control.progress = Arc::new(progress);
        self
    }

    /// Stops the work when this token is cancelled, and removes what was unpacked so far.
    pub fn cancel(mut self, cancel: CancellationToken) -> Self {
        self.control.cancel = cancel;
        self
    }

    /// Sets how often, and for how long, a failed request or body is retried.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Keeps set-user-ID and set-group-ID bits even if not root.
    pub fn preserve(mut self) -> Self {
        self.options.preserve = true;
        self
    }

    /// Syncs everything to disk before it becomes visible.
    pub fn sync(mut self) -> Self {
        self.options.sync = true;
        self
    }

    async fn run(self) -> Result<Unpacked> {
        let Some(directory) = self.directory else {
            return Err(Error::new(ErrorKind::InvalidInput, "unpack")
                .with_reason("an image has no directory"));
        };
        let platform = match self.platform {
            Some(platform) => PlatformRequest::explicit(platform),
            None => PlatformRequest::from_env()?,
        };
        let client = match self.client {
            Some(client) => Ok(client),
            None => RegistryOptions::from_env().map(|options| {
                let retry = self.retry;
                Arc::new(Client::new(RegistryOptions { foreign_layers: true, retry, ..options }))
            }),
        };
        let opener = SourceOpener::new(&client, DefaultLocation::Registry, &self.control);
        let image = { opener }.open(&self.image).await?;
        let (source, reference) = (&*image.source, &image.reference);
        let resolving = resolve_image(source, &image.name, reference, Some(&platform), &self.retry);
        let ResolvedImage { manifest, .. } = resolving.await?;
        let manifest = manifest.manifest()?;
        let config = read_small(source, &manifest.config, CONFIG_LIMIT, self.retry).await?;
        let config = ImageConfig::parse(&config)?;
        let open = |layer: &Descriptor| open_layer(&image, layer.clone(), self.retry);
        let layers = LayerBlob::from_image(reference, manifest, &config, open)?;
        let options = self.options;
        let work = move |control: &Control| {
            let builder = RootBuilder::begin(&directory)?;
            builder.apply(layers, options, control, || Ok(())).map(|(unpacked, _)| unpacked)
        };
        run_cancellable(&self.control, "unpack", work).await
    }
}

impl IntoFuture for Unpack {
    type Output = Result<Unpacked>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let cancel = self.control.cancel.clone();
        Box::pin(async move {
            let cancelled =
                || Error::new(ErrorKind::Interrupted, "unpack").with_reason("interrupted");
            cancel.run_until_cancelled(self.run()).await.unwrap_or_else(|| Err(cancelled()))
        })
    }
}

impl std::fmt::Debug for Unpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpack").field("image", &self.image).finish_non_exhaustive()
    }
}
