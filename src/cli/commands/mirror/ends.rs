//! Opens each registry, layout and archive once, so that images share handles, connections and tokens.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::{SideOptions, TransferArgs};
use crate::cli::image::open::{OpenedLocation, open_location};
use crate::cli::run::destination::Destination;
use crate::cli::settings::{ForeignLayers, Settings, existing_layout};
use crate::content::{Lookup as _, RequestCounts, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::location::Location;
use crate::mirror::RegistrySettings;
use crate::reference::Reference;
use crate::registry::{Client, HostLimit, Repository};

pub(super) struct Ends<'a> {
    pub(super) settings: Settings,
    registries: &'a BTreeMap<String, RegistrySettings>,
    sync: bool,
    only_plan: bool,
    /// Whether a later run must be able to continue this one.
    pub(super) must_continue: bool,
    /// By registry; those without settings of their own share one, without a name.
    clients: HashMap<String, Arc<Client>>,
    sources: HashMap<String, OpenedLocation>,
    layouts: HashMap<PathBuf, Arc<Layout>>,
    targets: HashMap<String, Result<Arc<dyn Target>>>,
    /// Those opened to list or read, for the count of requests.
    opened_repositories: Vec<Repository>,
}

impl<'a> Ends<'a> {
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) for limits that make no sense.
    pub(super) fn new(
        registries: &'a BTreeMap<String, RegistrySettings>,
        moving: &TransferArgs,
        settings: &Settings,
    ) -> Result<Self> {
        let mut settings = settings.clone();
        for (host, own) in registries {
            let limit = HostLimit {
                connections: own.connections.map(usize::from),
                requests_per_second: own.requests_per_second,
                rate_limit_floor: own.rate_limit_floor,
                rate_limit_wait: own.rate_limit_wait,
            };
            if limit != HostLimit::default() {
                settings = settings.with_limit(host, limit)?;
            }
        }
        Ok(Self {
            settings,
            registries,
            sync: moving.sync,
            only_plan: moving.plan,
            must_continue: moving.max_bytes.is_some(),
            clients: HashMap::new(),
            sources: HashMap::new(),
            layouts: HashMap::new(),
            targets: HashMap::new(),
            opened_repositories: Vec::new(),
        })
    }

    fn client(&mut self, registry: &str) -> Result<Arc<Client>> {
        let own = self.registries.get(registry);
        let key = own.map_or("", |_| registry);
        if let Some(client) = self.clients.get(key) {
            return Ok(Arc::clone(client));
        }
        let settings = own.map(|own| {
            self.settings.for_side(SideOptions {
                plain_http: own.plain_http,
                insecure: own.insecure,
                ca_file: own.ca_file.clone(),
                cert_file: own.cert_file.clone(),
                key_file: own.key_file.clone(),
                authfile: own.authfile.clone(),
                creds: own.creds.as_ref().map(|creds| creds.expose().to_owned()),
                ..SideOptions::default()
            })
        });
        let settings = settings.as_ref().unwrap_or(&self.settings);
        let client = Arc::new(settings.client(registry, ForeignLayers::Fetch)?);
        self.clients.insert(key.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    pub(super) async fn catalog(&mut self, registry: &str) -> Result<Vec<String>> {
        self.client(registry)?.catalog(registry).await
    }

    /// A repository to list the tags of.
    pub(super) fn repository_to_list(&mut self, repository: &Reference) -> Result<Repository> {
        let opened = self.client(repository.registry())?.repository(repository)?;
        self.opened_repositories.push(opened.clone());
        Ok(opened)
    }

    /// A repository that is a target, to read or delete from.
    pub(super) fn repository_without_mirrors(
        &mut self,
        repository: &Reference,
    ) -> Result<Repository> {
        let client = self.client(repository.registry())?;
        let opened = client.repository_without_mirrors(repository)?;
        self.opened_repositories.push(opened.clone());
        Ok(opened)
    }

    /// A layout to list and delete names of, if it exists.
    pub(super) fn existing_layout(&self, path: &Path) -> Result<Option<Arc<Layout>>> {
        existing_layout(path, &self.settings.control)
    }

    /// A layout to read from.
    pub(super) fn layout(&mut self, path: &Path) -> Result<Arc<Layout>> {
        if let Some(layout) = self.layouts.get(path) {
            return Ok(Arc::clone(layout));
        }
        let layout = Arc::new(Layout::open_with_control(path, &self.settings.control)?);
        self.layouts.insert(path.to_owned(), Arc::clone(&layout));
        Ok(layout)
    }

    pub(super) async fn source(&mut self, location: &Location) -> Result<OpenedLocation> {
        if let Location::Registry(reference) = location {
            return OpenedLocation::in_registry(reference, &*self.client(reference.registry())?);
        }
        if let Location::Layout { path, name } = location {
            let layout = self.layout(path)?;
            return OpenedLocation::find_in_layout(layout, name, location.to_string());
        }
        let key = location.to_string();
        if let Some(opened) = self.sources.get(&key) {
            return Ok(opened.clone());
        }
        let opened = open_location(location, &self.settings).await?;
        self.sources.insert(key, opened.clone());
        Ok(opened)
    }

    /// Opens a target, which gets `count` images.
    pub(super) async fn target(
        &mut self,
        location: &Location,
        destination: &Destination,
        count: usize,
    ) -> Result<Arc<dyn Target>> {
        let key = target_key(location);
        if !self.targets.contains_key(&key) {
            let opened = match location {
                Location::Registry(reference) => self.repository(reference),
                _ if self.only_plan => destination.open_for_plan(&self.settings).await,
                _ => destination.open(&self.settings, count, self.sync).await,
            };
            self.targets.insert(key.clone(), opened);
        }
        match self.targets.get(&key) {
            Some(Ok(target)) => Ok(Arc::clone(target)),
            Some(Err(error)) => Err(error.clone_for()),
            None => Err(Error::new(ErrorKind::NotFound, key)),
        }
    }

    fn repository(&mut self, reference: &Reference) -> Result<Arc<dyn Target>> {
        Ok(Arc::new(self.client(reference.registry())?.repository_for_push(reference)?))
    }

    /// Requests of lists and targets so far.
    pub(super) fn requests(&self) -> RequestCounts {
        let mut sum = RequestCounts::default();
        for repository in &self.opened_repositories {
            sum += repository.requests();
        }
        for target in self.targets.values().flatten() {
            sum += target.requests();
        }
        sum
    }
}

/// What images share a target by: a repository, or a path.
pub(super) fn target_key(location: &Location) -> String {
    match location {
        Location::Registry(reference) => reference.repository_name(),
        Location::Layout { path, .. } => format!("oci:{}", path.display()),
        Location::Archive { path, format, .. } => format!("{format}:{}", path.display()),
        _ => "store:".to_owned(),
    }
}
