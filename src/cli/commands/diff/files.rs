//! `diff --files`: paths that two images do not have alike, and what the files of one cost a host that has the other.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::cli::commands::files::{PathFilter, lines};
use crate::cli::image::layer_source::{LayerSource, malformed};
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpack_report::run_with_progress;
use crate::cli::output::Lines;
use crate::cli::settings::Settings;
use crate::cli::signals;
use crate::cli::size::{plural, size};
use crate::control::Control;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::escape::{escape, escape_json};
use crate::image_layers::LayerBlob;
use crate::insight::diff::files::{FileAspect, FileDiff, FileDifference, PathShare, file_diff};
use crate::insight::files::{
    ChangeKind, FileInfo, FileTree, ReadOptions, new_tree, read_layers_onto,
};

/// What `diff` says without reading layers.
pub(super) enum DiffHead {
    Json(Value),
    Text(String),
}

/// Reads the layers, each once, and prints everything.
pub(super) async fn run(
    images: [OpenedImage; 2],
    head: DiffHead,
    filter: PathFilter,
    settings: &Settings,
) -> Result<ExitCode> {
    let trees = read_both(images, settings).await.map_err(malformed)?;
    let print = move || print_result(head, &trees, &filter);
    let printed = crate::blocking::run_blocking("compare files", print).await;
    match printed {
        Err(error) if error.detail() == Some(ErrorDetail::BrokenPipe) => Ok(ExitCode::SUCCESS),
        printed => printed.map(|()| ExitCode::SUCCESS),
    }
}

/// The files of both images.
struct BothTrees {
    a: FileTree,
    b: FileTree,
    /// Number of layers that both begin with.
    shared: usize,
}

async fn read_both(images: [OpenedImage; 2], settings: &Settings) -> Result<BothTrees> {
    let [mut a, mut b] = images;
    let [source_a, source_b] = [&a, &b].map(|image| LayerSource::new(image, settings));
    let mut layers_a = source_a.layers(&a, settings)?;
    let mut layers_b = source_b.layers(&b, settings)?;
    let shared = layers_a.iter().zip(&layers_b).take_while(|(a, b)| a.diff_id == b.diff_id);
    let shared = shared.count();
    let (own_a, own_b) = (layers_a.split_off(shared), layers_b.split_off(shared));
    // Both have the same content there. A local image costs no transfer.
    let is_local = |image: &OpenedImage| image.opened.source.endpoint().kind.is_local();
    let (lower, layers) =
        if is_local(&b) && !is_local(&a) { (&mut b, layers_b) } else { (&mut a, layers_a) };
    let mut lower = read(lower, new_tree()?, layers, settings).await?;
    let fork = lower.fork();
    let tree_a = read(&mut a, lower, own_a, settings).await?;
    let tree_b = read(&mut b, fork, own_b, settings).await?;
    source_a.print_receipt(&a, settings);
    source_b.print_receipt(&b, settings);
    Ok(BothTrees { a: tree_a, b: tree_b, shared })
}

/// Applies layers to the tree of those below.
async fn read(
    image: &mut OpenedImage,
    tree: FileTree,
    layers: Vec<LayerBlob<'static>>,
    settings: &Settings,
) -> Result<FileTree> {
    let control = Control { cancel: signals::cancelled_by_signals(), ..Control::default() };
    let own = control.clone();
    let work = move || {
        let options = ReadOptions::default().contents();
        let read = read_layers_onto(tree, layers, options, &own, |_, _| Ok(()), |_, _| Ok(()));
        read.map(|(tree, _)| tree)
    };
    run_with_progress(image, settings, &control.cancel, work).await
}

fn print_result(head: DiffHead, trees: &BothTrees, filter: &PathFilter) -> Result<()> {
    let mut lines = Lines::default();
    match head {
        DiffHead::Json(head) => print_json(&mut lines, &head, trees, filter)?,
        DiffHead::Text(head) => {
            lines.push(&head)?;
            lines.push("FILES")?;
            let totals = compare(trees, filter, |found| lines.push(&text_line(found)))?;
            lines.push(&totals_text(&totals))?;
        }
    }
    lines.flush()
}

fn compare(
    trees: &BothTrees,
    filter: &PathFilter,
    visit: impl FnMut(&FileDifference<'_>) -> Result<()>,
) -> Result<FileDiff> {
    file_diff(&trees.a, &trees.b, trees.shared, |path| filter.matches(path), visit)
}

/// Prints one object, whose last key is `files`. The changes are printed one by one: there may be a million.
fn print_json(
    lines: &mut Lines,
    head: &Value,
    trees: &BothTrees,
    filter: &PathFilter,
) -> Result<()> {
    let head = compact(head)?;
    lines.push(head.strip_suffix("}").unwrap_or(&head))?;
    lines.push(",\"files\":{\"changes\":[")?;
    let mut comma = "";
    let totals = compare(trees, filter, |found| {
        lines.push(&format!("{comma}{}", compact(&json_of(found))?))?;
        comma = ",";
        Ok(())
    })?;
    let totals = compact(&json!(totals))?;
    lines.push(&format!("],{}", totals.strip_prefix("{").unwrap_or(&totals)))?;
    lines.push("}")
}

fn compact(value: &Value) -> Result<String> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Unsupported, "print JSON").with_source(error))?;
    Ok(escape_json(&text).into_owned())
}

fn json_of(found: &FileDifference<'_>) -> Value {
    let mut object = Map::new();
    object.insert("change".into(), letter(found).to_string().into());
    lines::add_path(&mut object, found.path);
    object.insert("differs".into(), json!(found.differs));
    for (key, file) in [("a", &found.a), ("b", &found.b)] {
        let metadata = file.as_ref().map(|file| {
            let mut metadata = Map::new();
            lines::add_file(&mut metadata, file);
            Value::Object(metadata)
        });
        object.insert(key.into(), metadata.into());
    }
    Value::Object(object)
}

fn letter(found: &FileDifference<'_>) -> char {
    let kind = match (&found.a, &found.b) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Deleted,
        _ => ChangeKind::Modified,
    };
    kind.letter()
}

/// The line that `files` prints, and what a changed file was before.
fn text_line(found: &FileDifference<'_>) -> String {
    let Some(file) = found.b.or(found.a) else { return String::new() };
    let line = lines::text(&lines::shown(found.path), &file, None);
    let was: Vec<_> = match &found.a {
        Some(a) => found.differs.iter().map(|aspect| aspect_text(*aspect, a, &file)).collect(),
        None => Vec::new(),
    };
    let was = if was.is_empty() { String::new() } else { format!("  ({})", was.join(", ")) };
    format!("{}  {line}{was}", letter(found))
}

fn aspect_text(aspect: FileAspect, a: &FileInfo<'_>, b: &FileInfo<'_>) -> String {
    match aspect {
        FileAspect::Type => format!("was {}", lines::kind_name(a.kind)),
        FileAspect::Content if a.size != b.size => format!("was {}", size(a.size)),
        FileAspect::Content => "other content".to_owned(),
        FileAspect::Link => format!("was -> {}", escape(&String::from_utf8_lossy(a.link))),
        FileAspect::Device => format!("was {},{}", a.device.major, a.device.minor),
        FileAspect::Mode => format!("was {:04o}", a.mode),
        FileAspect::Owner => format!("was {}:{}", a.uid, a.gid),
        FileAspect::Xattrs => "other attributes".to_owned(),
    }
}

fn totals_text(totals: &FileDiff) -> String {
    let FileDiff { added, changed, removed, pull, .. } = totals;
    let share = |name: &str, share: &PathShare| {
        format!("{name:<10}{} in {}\n", size(share.bytes), plural(share.paths, "path"))
    };
    format!(
        "\n{}{}{}{:<10}{} in {} for B on a host with the files of A",
        share("added", added),
        share("changed", changed),
        share("removed", removed),
        "pull",
        size(pull.bytes),
        plural(pull.files, "file"),
    )
}
