//! Layers rebuilt from other layers and deltas: archives, artifacts, and what happens when something does not fit.

mod archive;
mod artifact;
mod faults;
mod machine;

use std::path::PathBuf;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::Image;
use crate::support::versions::version;

/// A large layer in two versions, over a base that does not change, at a registry. The store has the first version.
struct Versions {
    registry: FakeRegistry,
    cli: Cli,
    old: Image,
    new: Image,
}

impl Versions {
    /// Both are published as `app:1` and `app:2`; the first one is pulled.
    async fn new() -> Self {
        let (registry, cli) = (FakeRegistry::start().await, Cli::new());
        let (old, new) = (version(1), version(2));
        old.publish(&registry, "app", Some("1"));
        new.publish(&registry, "app", Some("2"));
        let versions = Self { registry, cli, old, new };
        versions.cli.run(&["pull", &versions.name(1)]).await.expect(0, "");
        versions
    }

    fn name(&self, number: u8) -> String {
        self.registry.repository(&format!("app:{number}"))
    }

    /// Pushes the deltas between the two.
    async fn push_deltas(&self) {
        let [old, new] = [1, 2].map(|number| self.name(number));
        self.cli.run(&["delta", &old, &new, "--push"]).await.expect(0, "");
    }

    /// The file of the first version of that layer.
    fn old_layer_path(&self) -> PathBuf {
        let digest = self.old.layers[1].digest().encoded();
        self.cli.store().join("blobs/sha256").join(digest)
    }

    /// The size of the layer that changes.
    fn layer_size(&self) -> u64 {
        self.new.layers[1].descriptor.size
    }
}
