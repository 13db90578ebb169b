//! `mirror`: many images by a file.

mod created;
mod delete;
mod deltas;
mod deploy;
mod failures;
mod file;
mod foreign;
mod kill;
mod rate_floor;
mod run;
mod state;
mod watch;

use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob};

/// A source with images over one base, a target, and a command line with a file for both.
struct Fleet {
    from: FakeRegistry,
    to: FakeRegistry,
    cli: Cli,
}

/// An image over the base that all images of this name share.
fn app(name: &str, seed: u64) -> Image {
    let base = layer(&[("base", &random_blob(40_000, 1))]);
    image(Family::Oci, name, &[base, layer(&[("app", &random_blob(3000, seed))])])
}

impl Fleet {
    /// `team/a` has the tags 1.0, 1.1 and latest, which is 1.1; `team/b` has 1.0.
    async fn start() -> Self {
        let (from, to) = (FakeRegistry::start().await, FakeRegistry::start().await);
        app("amd64", 2).publish(&from, "team/a", Some("1.0"));
        for tag in ["1.1", "latest"] {
            app("amd64", 3).publish(&from, "team/a", Some(tag));
        }
        app("amd64", 4).publish(&from, "team/b", Some("1.0"));
        Self { from, to, cli: Cli::new() }
    }

    /// Writes the file; `FROM` and `TO` in it stand for the registries.
    fn write(&self, text: &str) {
        let (from, to) = (self.from.server.host(), self.to.server.host());
        let text = text.replace("FROM", &from).replace("TO", &to);
        std::fs::write(self.cli.dir().join("m.yaml"), text).unwrap();
    }

    /// Mirrors both repositories.
    fn write_usual(&self) {
        self.write(
            "defaults: { to: 'TO/m/{{name}}' }
mirror:
- from: FROM/team/a
- from: FROM/team/b
",
        );
    }

    async fn run(&self, options: &[&str]) -> Output {
        self.forget();
        self.cli.run(&[&["mirror", "m.yaml"], options].concat()).await
    }

    fn forget(&self) {
        self.from.server.forget();
        self.to.server.forget();
    }

    /// The sorted requests at the source.
    fn asked(&self) -> Vec<String> {
        sorted(self.from.server.lines())
    }

    /// The sorted requests at the target.
    fn sent(&self) -> Vec<String> {
        sorted(self.to.server.lines())
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// The names in the output, without digests, sorted.
fn names(output: &Output) -> Vec<String> {
    let names = output.stdout.lines().map(|line| line.split('@').next().unwrap());
    sorted(names.map(|name| name.split_once('/').unwrap().1.to_owned()).collect())
}
