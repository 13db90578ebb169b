//! The main job on a machine without a registry and without a network: a small registry on loopback, two versions of an
//! image, two pulls, two receipts.
//!
//! `cargo run --release --example first-pull`

#[path = "../tests/it/support/http.rs"]
#[expect(dead_code, unused_imports, clippy::unwrap_used, reason = "the tests use more of it")]
mod http;
#[path = "../tests/it/support/images.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the tests use more of it"
)]
mod images;
#[path = "../tests/it/support/registry.rs"]
#[expect(dead_code, unused_imports, clippy::unwrap_used, reason = "the tests use more of it")]
mod registry;

use std::error::Error;
use std::io::{Write as _, stdout};

use images::{Family, Layer, image, layer, random_blob};
use rpull::registry::RegistryOptions;
use rpull::transfer::Report;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let registry = registry::Registry::start().await;
    let base: Vec<Layer> =
        (1..=4).map(|seed| layer(&[("usr/lib/base", &random_blob(1_500_000, seed))])).collect();
    for (version, seed) in [("1.0", 10), ("1.1", 11)] {
        let mut layers = base.clone();
        layers.push(layer(&[("usr/bin/app", &random_blob(400_000, seed))]));
        image(Family::Oci, "amd64", &layers).publish(&registry, "demo/app", Some(version));
    }
    let store = tempfile::tempdir()?;
    for version in ["1.0", "1.1"] {
        let reference = registry.repository("demo/app") + ":" + version;
        let report = rpull::pull(&reference, store.path(), RegistryOptions::default()).await?;
        writeln!(stdout(), "{}\n  {}", report.head.reference, receipt(&report))?;
    }
    Ok(())
}

fn receipt(report: &Report) -> String {
    let bytes = &report.bytes;
    format!(
        "transferred {} of {} bytes, {} shared, in {} requests",
        bytes.transferred,
        bytes.total,
        bytes.shared,
        report.requests.total()
    )
}
