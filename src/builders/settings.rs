//! The options that all transfer builders have, and the methods that set them.

use std::sync::Arc;

use crate::control::Control;
use crate::error::Result;
use crate::platform::Platform;
use crate::registry::{Client, RegistryOptions};
use crate::retry::RetryPolicy;
use crate::transfer::{
    ArtifactOptions, PlatformRequest, PlatformSelection, Throttle, TransferOptions,
};

/// Options of a run.
#[derive(Clone)]
pub(super) struct RunSettings {
    pub(super) client: Option<Arc<Client>>,
    pub(super) control: Control,
    pub(super) jobs: Option<usize>,
    pub(super) connections: Option<usize>,
    pub(super) window: Option<u64>,
    pub(super) retry: RetryPolicy,
    pub(super) limit_rate: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) foreign_layers: bool,
    pub(super) artifacts: ArtifactOptions,
    pub(super) platforms: Platforms,
}

/// The requested platforms.
#[derive(Clone)]
pub(super) enum Platforms {
    /// These platforms; without any, the default.
    Named(Vec<Platform>),
    All,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            client: None,
            control: Control::default(),
            jobs: None,
            connections: None,
            window: None,
            retry: RetryPolicy::default(),
            limit_rate: None,
            max_bytes: None,
            foreign_layers: false,
            artifacts: ArtifactOptions::default(),
            platforms: Platforms::Named(Vec::new()),
        }
    }
}

impl RunSettings {
    /// The given client, else one with the options of the environment.
    pub(super) fn client(&self) -> Result<Arc<Client>> {
        if let Some(client) = &self.client {
            return Ok(Arc::clone(client));
        }
        let options = RegistryOptions {
            foreign_layers: self.foreign_layers,
            retry: self.retry,
            connections: self.transfer_options().jobs,
            ..RegistryOptions::from_env()?
        };
        Ok(Arc::new(Client::new(options)))
    }

    pub(super) fn transfer_options(&self) -> TransferOptions {
        let usual = TransferOptions::default();
        TransferOptions {
            jobs: self.jobs.unwrap_or(usual.jobs).max(1),
            small_jobs: self.jobs.unwrap_or(usual.small_jobs),
            connections: self.connections.map(|connections| connections.max(1)),
            window: self.window.unwrap_or(usual.window),
            retry: self.retry,
            foreign_layers: self.foreign_layers,
            artifacts: self.artifacts,
            throttle: self.limit_rate.map(Throttle::new),
            max_bytes: self.max_bytes,
            control: self.control.clone(),
            ..usual
        }
    }

    pub(super) fn add_platform(&mut self, platform: Platform) {
        match &mut self.platforms {
            Platforms::Named(platforms) => platforms.push(platform),
            Platforms::All => self.platforms = Platforms::Named(vec![platform]),
        }
    }

    /// The requested platforms of images to store. A manifest selected from an index is stored with it, for later pulls.
    pub(super) fn platforms_to_keep(&self) -> Option<PlatformSelection> {
        self.platforms(PlatformRequest::explicit, PlatformSelection::SparseIndex)
    }

    /// The requested platforms of images to pass on: exactly these are transferred.
    pub(super) fn platforms_to_pass_on(&self) -> Option<PlatformSelection> {
        self.platforms(PlatformRequest::exact, PlatformSelection::FilteredIndex)
    }

    fn platforms(
        &self,
        one: fn(Platform) -> PlatformRequest,
        several: fn(Vec<Platform>) -> PlatformSelection,
    ) -> Option<PlatformSelection> {
        match &self.platforms {
            Platforms::All => Some(PlatformSelection::OriginalIndex),
            Platforms::Named(platforms) => match platforms.as_slice() {
                [] => None,
                [platform] => Some(PlatformSelection::Single(one(platform.clone()))),
                more => Some(several(more.to_vec())),
            },
        }
    }
}

/// The methods of every transfer builder that set [`RunSettings`].
macro_rules! run_setters {
    () => {
        /// Selects a platform of the images. Can be called several times.
        pub fn platform(mut self, platform: $crate::platform::Platform) -> Self {
            self.run.settings.add_platform(platform);
            self
        }

        /// Selects everything that a name refers to: all platforms and their attestations.
        pub fn all_platforms(mut self) -> Self {
            self.run.settings.platforms = $crate::builders::settings::Platforms::All;
            self
        }

        /// Sets the client for registries that are given as text or reference. The default is
        /// [`Client::from_env`](crate::registry::Client::from_env).
        pub fn client(
            mut self,
            client: impl Into<std::sync::Arc<$crate::registry::Client>>,
        ) -> Self {
            self.run.settings.client = Some(client.into());
            self
        }

        /// Sends progress events, for example to a closure: `|event: &Event<'_>| …`.
        pub fn progress(mut self, progress: impl $crate::progress::Progress + 'static) -> Self {
            self.run.settings.control.progress = std::sync::Arc::new(progress);
            self
        }

        /// Stops the run when this token is cancelled. The report then has what arrived; the next run continues it.
        pub fn cancel(mut self, cancel: tokio_util::sync::CancellationToken) -> Self {
            self.run.settings.control.cancel = cancel;
            self
        }

        /// Sets the maximum number of blobs that are moved concurrently; 6 by default, and up to 16 if those beyond are small.
        pub fn jobs(mut self, jobs: usize) -> Self {
            self.run.settings.jobs = Some(jobs);
            self
        }

        /// Sets the maximum number of connections to one source for blobs: by default 16, or one for each of `jobs`. A large blob
        /// gets several if that is faster; with 1, blobs are read one after the other.
        pub fn connections(mut self, connections: usize) -> Self {
            self.run.settings.connections = Some(connections);
            self
        }

        /// Sets how many bytes may be in memory that have arrived before those in front of them, of all blobs together; 64 MiB by
        /// default.
        pub fn window(mut self, bytes: u64) -> Self {
            self.run.settings.window = Some(bytes);
            self
        }

        /// Sets how often, and for how long, a failed request or body is retried. A given client keeps its own policy for
        /// documents.
        pub fn retry(mut self, retry: $crate::retry::RetryPolicy) -> Self {
            self.run.settings.retry = retry;
            self
        }

        /// Limits the rate of the whole run.
        pub fn limit_rate(mut self, bytes_per_second: u64) -> Self {
            self.run.settings.limit_rate = Some(bytes_per_second);
            self
        }

        /// Stops the run after this many new bytes of blobs; the next run continues it. What is then missing fails with
        /// [`ErrorKind::Stopped`](crate::error::ErrorKind::Stopped).
        pub fn max_bytes(mut self, bytes: u64) -> Self {
            self.run.settings.max_bytes = Some(bytes);
            self
        }

        /// Also transfers foreign layers, which a registry need not have. A given client must have
        /// [`foreign_layers`](crate::registry::RegistryOptions::foreign_layers) to fetch them from their own servers.
        pub fn foreign_layers(mut self) -> Self {
            self.run.settings.foreign_layers = true;
            self
        }

        /// Also transfers the referrers of the images, such as signatures and SBOMs.
        pub fn referrers(mut self) -> Self {
            self.run.settings.artifacts.referrers = true;
            self
        }

        /// Also transfers the digest tags of the images, as cosign uses them.
        pub fn digest_tags(mut self) -> Self {
            self.run.settings.artifacts.digest_tags = true;
            self
        }
    };
}

/// The methods that end every transfer builder, and `await`.
macro_rules! run_methods {
    ($builder:ident) => {
        impl $builder {
            /// Returns what the run would do, with an entry for each image and target in their order. Moves and creates nothing.
            pub async fn plan(&self) -> Vec<PlannedImage> {
                self.run.plan().await
            }

            /// Runs the transfer. The report has an entry for each image and target in their order, also if something failed.
            pub async fn run(self) -> RunReport {
                self.run.execute().await
            }
        }

        impl IntoFuture for $builder {
            type Output = Result<RunReport, RunError>;
            type IntoFuture = BoxFuture<'static, Self::Output>;

            /// Runs the transfer. Fails with the first error in the order of the images, which carries the report.
            fn into_future(self) -> Self::IntoFuture {
                Box::pin(async { self.run.execute().await.into_result() })
            }
        }

        impl std::fmt::Debug for $builder {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($builder)).finish_non_exhaustive()
            }
        }
    };
}

pub(super) use {run_methods, run_setters};
