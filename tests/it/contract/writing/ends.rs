//! The targets that the contract is run on.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::{Source, Target};
use rpull::layout::{Layout, LayoutOptions};
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::registry::{Client, RegistryOptions};

use crate::contract::own_backend::Directory;
use crate::support::fake_registry::FakeRegistry;
use crate::support::live::{Access, Live, needs};
use crate::support::served_store::ServedStore;
use crate::support::writing::new_archive;

/// An empty target, and what its backend promises beyond the contract.
pub(super) struct End {
    pub(super) target: Arc<dyn Target>,
    /// Where what was written can be looked at.
    pub(super) outcome: Outcome,
    pub(super) name: ImageName,
    /// Bytes that were written are there for the next writer, and two writers of one blob wait for each other.
    pub(super) keeps_partials: bool,
    /// It has a form for indexes and artifacts.
    pub(super) takes_index: bool,
    _server: Box<dyn Any + Send + Sync>,
}

pub(super) enum Outcome {
    Source(Arc<dyn Source>),
    Archive(PathBuf, ArchiveFormat),
}

impl End {
    /// Whether the name stands for something.
    pub(super) async fn is_named(&self) -> bool {
        self.has(&self.name).await
    }

    /// Whether this name stands for something.
    pub(super) async fn has(&self, name: &ImageName) -> bool {
        match &self.outcome {
            Outcome::Source(source) => source.resolve(name).await.is_ok(),
            Outcome::Archive(path, format) => match Archive::open(path, Some(*format)) {
                Ok(archive) => archive.resolve(name).await.is_ok(),
                Err(_) => false,
            },
        }
    }

    /// Another name of the same kind.
    pub(super) fn other_name(&self) -> ImageName {
        match &self.name {
            ImageName::Tag(_) => ImageName::Tag("2".into()),
            _ => ImageName::Layout("registry.example/app:2".into()),
        }
    }
}

pub(super) async fn memory() -> Option<End> {
    let memory = Memory::default();
    let name = ImageName::Tag("1".into());
    Some(local(Arc::new(memory.clone()), Outcome::Source(Arc::new(memory)), name, Box::new(())))
}

fn local(
    target: Arc<dyn Target>,
    outcome: Outcome,
    name: ImageName,
    server: Box<dyn Any + Send + Sync>,
) -> End {
    End { target, outcome, name, keeps_partials: true, takes_index: true, _server: server }
}

pub(super) async fn own_backend() -> Option<End> {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    let name = ImageName::Layout("registry.example/app:1".into());
    let outcome = Outcome::Source(Arc::new(directory.clone()));
    Some(local(Arc::new(directory), outcome, name, Box::new(dir)))
}

fn layout_with(options: LayoutOptions) -> End {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(&dir.path().join("layout"), options).unwrap();
    let name = ImageName::Layout("registry.example/app:1".into());
    local(Arc::new(layout.clone()), Outcome::Source(Arc::new(layout)), name, Box::new(dir))
}

pub(super) async fn layout() -> Option<End> {
    Some(layout_with(LayoutOptions::default()))
}

pub(super) async fn synced_layout() -> Option<End> {
    Some(layout_with(LayoutOptions::default().private().sync()))
}

fn archive(format: ArchiveFormat) -> End {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.tar");
    let name = ImageName::Layout("registry.example/app:1".into());
    local(new_archive(format, &path), Outcome::Archive(path, format), name, Box::new(dir))
}

pub(super) async fn oci_archive() -> Option<End> {
    Some(archive(ArchiveFormat::Oci))
}

pub(super) async fn docker_archive() -> Option<End> {
    Some(End { takes_index: false, ..archive(ArchiveFormat::Docker) })
}

fn repository(host: &str, server: Box<dyn Any + Send + Sync>) -> End {
    let client = Client::new(RegistryOptions::default());
    let name = format!("{host}/team/new:1").parse().unwrap();
    let repository = client.repository_for_push(&name).unwrap();
    let outcome = Outcome::Source(Arc::new(repository.clone()));
    let end = local(Arc::new(repository), outcome, ImageName::Tag("1".into()), server);
    End { keeps_partials: false, ..end }
}

pub(super) async fn registry_in_memory() -> Option<End> {
    let registry = FakeRegistry::start().await;
    Some(repository(&registry.server.host(), Box::new(registry)))
}

pub(super) async fn served_layout() -> Option<End> {
    let served = ServedStore::start().await;
    let host = served.host().to_owned();
    Some(repository(&host, Box::new(served)))
}

pub(super) async fn debians_registry() -> Option<End> {
    if !needs("the contract of writing", &["docker-registry"]) {
        return None;
    }
    let registry = Live::start(&Access::Open);
    let host = registry.host().to_owned();
    Some(repository(&host, Box::new(registry)))
}
