//! `df LOCATION`: where the disk of a container engine went.

use std::process::ExitCode;

use crate::blocking::run_blocking;
use crate::cli::image::unpacked::shown_directory;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::cli::table::table;
use crate::engine_store::DockerRoot;
use crate::engine_store::docker::{DiskShare, DockerLayerUsage, DockerUsage};
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Engine, Location};
use crate::name::ImageName;

pub(super) async fn run(text: &str, settings: &Settings) -> Result<ExitCode> {
    let location = Location::parse(text, DefaultLocation::Store)?;
    let Location::Engine { engine: Engine::DockerRoot, path, name: ImageName::Only } = location
    else {
        return Err(Error::new(ErrorKind::InvalidInput, format!("location `{text}`"))
            .with_reason("expected docker-root:DIR, without an image"));
    };
    let look = move || DockerRoot::open(&path)?.usage();
    let usage = run_blocking("read the engine's store", look).await?;
    if settings.json {
        output::json(&usage)?;
    } else {
        output::text(&of_docker(&usage))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn of_docker(usage: &DockerUsage) -> String {
    let images = usage.images.iter().map(|image| {
        let [all, shared, unique] = [image.size, image.shared, image.unique].map(size);
        [image.reference.clone(), image.digest.short().to_owned(), all, shared, unique]
    });
    let images: Vec<_> = images.collect();
    let layers: Vec<_> = usage.layers.iter().map(layer).collect();
    let shares: Vec<_> = usage.shares.iter().map(share).collect();
    format!(
        "{}\n{}\n{}{} in {}, {} unreferenced\n",
        table(["IMAGE", "ID", "SIZE", "SHARED", "UNIQUE"], &images),
        table(["LAYER", "SIZE", "DIRECTORY", "NEEDED BY"], &layers),
        table(["SIZE", "COUNT", "DIRECTORY", "HOLDS"], &shares),
        size(usage.bytes),
        plural(usage.layers.len() as u64, "layer"),
        size(usage.unreferenced),
    )
}

fn layer(layer: &DockerLayerUsage) -> [String; 4] {
    let mut needed = layer.images.clone();
    if layer.containers > 0 {
        needed.push(plural(layer.containers, "container"));
    }
    [
        layer.chain_id.short().to_owned(),
        size(layer.size),
        shown_directory(layer.directory.as_ref(), false),
        if needed.is_empty() { "-".to_owned() } else { needed.join(", ") },
    ]
}

fn share(share: &DiskShare) -> [String; 4] {
    [size(share.bytes), share.count.to_string(), share.directory.clone(), share.holds.clone()]
}
