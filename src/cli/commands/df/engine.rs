//! `df LOCATION`: where the disk of a container engine went.

use std::process::ExitCode;

use serde::Serialize;

use crate::blocking::run_blocking;
use crate::cli::image::unpacked::shown_directory;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::digest::Digest;
use crate::engine_store::containerd::{ContainerdLayerUsage, ContainerdUsage};
use crate::engine_store::docker::{DiskShare, DockerLayerUsage, DockerUsage};
use crate::engine_store::{ContainerdRoot, DockerRoot};
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Engine, Location};
use crate::name::ImageName;

pub(super) async fn run(text: &str, settings: &Settings) -> Result<ExitCode> {
    let location = Location::parse(text, DefaultLocation::Store)?;
    match location {
        Location::Engine { engine: Engine::DockerRoot, path, name: ImageName::Only } => {
            print(settings, move || DockerRoot::open(&path)?.usage(), of_docker).await
        }
        Location::Engine { engine: Engine::ContainerdRoot, path, name: ImageName::Only } => {
            print(settings, move || ContainerdRoot::open(&path)?.usage(), of_containerd).await
        }
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("location `{text}`"))
            .with_reason("expected docker-root:DIR or containerd-root:DIR, without an image")),
    }
}

async fn print<U: Serialize + Send + 'static>(
    settings: &Settings,
    look: impl FnOnce() -> Result<U> + Send + 'static,
    text: impl FnOnce(&U) -> String,
) -> Result<ExitCode> {
    let usage = run_blocking("read the engine's store", look).await?;
    if settings.json {
        output::json(&usage)?;
    } else {
        output::text(&text(&usage))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn of_containerd(usage: &ContainerdUsage) -> String {
    let images = usage.images.iter().flat_map(|image| {
        let sizes = [image.size, image.shared, image.unique];
        image_rows(&image.reference, &image.names, &image.digest, sizes)
    });
    let images: Vec<_> = images.collect();
    let layers: Vec<_> = usage.layers.iter().map(containerd_layer).collect();
    let shares: Vec<_> = usage.shares.iter().map(share).collect();
    let columns = [
        Column::whole("LAYER"),
        Column::whole("BLOB").optional(3),
        Column::whole("SIZE"),
        Column::whole("UNPACKED").optional(1),
        Column::cut_start("DIRECTORY", 16).optional(2),
        Column::cut_start("NEEDED BY", 16),
    ];
    format!(
        "{}\n{}\n{}\n{} in {}, {} unreferenced\n",
        table(image_columns("DIGEST"), &images, terminal_width()),
        table(columns, &layers, terminal_width()),
        table(share_columns(), &shares, terminal_width()),
        size(usage.bytes),
        plural(usage.blobs, "blob"),
        size(usage.unreferenced),
    )
}

fn containerd_layer(layer: &ContainerdLayerUsage) -> [String; 6] {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
    let directory = layer.directory.as_ref();
    [
        layer.chain_id.short().to_owned(),
        layer.digest.short().to_owned(),
        bytes(layer.size),
        bytes(layer.unpacked_size),
        directory.map_or_else(|| "-".to_owned(), |path| shown_directory(path.as_ref(), false)),
        layer.images.join(", "),
    ]
}

fn of_docker(usage: &DockerUsage) -> String {
    let images = usage.images.iter().flat_map(|image| {
        let sizes = [image.size, image.shared, image.unique];
        image_rows(&image.reference, &image.names, &image.digest, sizes)
    });
    let images: Vec<_> = images.collect();
    let layers: Vec<_> = usage.layers.iter().map(layer).collect();
    let shares: Vec<_> = usage.shares.iter().map(share).collect();
    let columns = [
        Column::whole("LAYER"),
        Column::whole("SIZE"),
        Column::cut_start("DIRECTORY", 16).optional(1),
        Column::cut_start("NEEDED BY", 16),
    ];
    format!(
        "{}\n{}\n{}{} in {}, {} unreferenced\n",
        table(image_columns("ID"), &images, terminal_width()),
        table(columns, &layers, terminal_width()),
        table(share_columns(), &shares, terminal_width()),
        size(usage.bytes),
        plural(usage.layers.len() as u64, "layer"),
        size(usage.unreferenced),
    )
}

/// The row of an image, and one for each further name. Names by digest add nothing.
fn image_rows(
    reference: &str,
    names: &[String],
    digest: &Digest,
    sizes: [u64; 3],
) -> Vec<[String; 5]> {
    let row = |name: &str, [all, shared, unique]: [String; 3]| {
        [name.to_owned(), digest.short().to_owned(), all, shared, unique]
    };
    let others = names.iter().filter(|name| *name != reference && !name.contains('@'));
    let mut rows = vec![row(reference, sizes.map(size))];
    rows.extend(others.map(|name| row(name, <[String; 3]>::default())));
    rows
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

fn image_columns(id: &str) -> [Column<'_>; 5] {
    [
        Column::cut_start("IMAGE", 30),
        Column::whole(id).optional(2),
        Column::whole("SIZE"),
        Column::whole("SHARED").optional(1),
        Column::whole("UNIQUE"),
    ]
}

fn share_columns() -> [Column<'static>; 4] {
    [
        Column::whole("SIZE"),
        Column::whole("COUNT").optional(1),
        Column::cut_start("DIRECTORY", 16),
        Column::cut("HOLDS", 16),
    ]
}
