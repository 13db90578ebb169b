//! `diff --files`: paths that two images do not have alike, and what the files of one cost a host that has the other.

use std::collections::HashSet;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::blocking::run_blocking;
use crate::cli::file_lines;
use crate::cli::image::layer_source::{LayerSource, malformed};
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpack_report::run_with_progress;
use crate::cli::output::Lines;
use crate::cli::page::size_tree::{PathBytes, SizeTree};
use crate::cli::path_filter::PathFilter;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::cli::terminal_width::terminal_width;
use crate::cli::wrap::wrap;
use crate::control::Control;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::escape::{escape, escape_json};
use crate::image_layers::LayerBlob;
use crate::insight::diff::files::{
    FileAspect, FileDiff, FileDifference, PathShare, file_diff_of_lists,
};
use crate::insight::files::list::FileList;
use crate::insight::files::{
    ChangeKind, FileInfo, FileTree, ReadOptions, new_tree, read_layers_onto,
};
use crate::layer::EntryKind;

/// Maximum rows of the page's picture.
const MAX_ROWS: usize = 5000;

/// What `diff` says without reading layers.
pub(super) enum DiffHead {
    Json(Value),
    Text(String),
}

/// The files of two images, to be compared.
pub(super) struct ComparedFiles {
    lists: BothLists,
    filter: PathFilter,
    /// Names of both images.
    references: String,
    control: Control,
}

/// Reads the layers, each once.
pub(super) async fn read(
    images: [OpenedImage; 2],
    filter: PathFilter,
    settings: &Settings,
) -> Result<ComparedFiles> {
    let control = settings.control.clone();
    let references = images.each_ref().map(|image| &*image.opened.reference).join(" and ");
    let lists = read_both(images, &control, settings).await.map_err(malformed)?;
    Ok(ComparedFiles { lists, filter, references, control })
}

/// The differences by size.
pub(super) struct DiffFiles {
    pub(super) tree: SizeTree,
    pub(super) totals: FileDiff,
}

impl ComparedFiles {
    /// Prints everything.
    pub(super) async fn print(self, head: DiffHead) -> Result<ExitCode> {
        let printed = run_blocking("compare files", move || self.print_now(head)).await;
        match printed {
            Err(error) if error.detail() == Some(ErrorDetail::BrokenPipe) => Ok(ExitCode::SUCCESS),
            printed => printed.map(|()| ExitCode::SUCCESS),
        }
    }

    fn print_now(&self, head: DiffHead) -> Result<()> {
        let mut lines = Lines::default();
        match head {
            DiffHead::Json(head) => print_json(&mut lines, &head, self)?,
            DiffHead::Text(head) => {
                lines.push_text(&head)?;
                lines.push("FILES")?;
                let totals = self.compare(|found| lines.push(&text_line(found)))?;
                lines.push_text(&totals_text(&totals))?;
            }
        }
        lines.flush()
    }

    /// Sums the differences of directories with many files.
    pub(super) fn by_size(&self) -> Result<DiffFiles> {
        let mut tree = SizeTree::new(MAX_ROWS);
        let (mut of_a, mut of_b) = (HashSet::new(), HashSet::new());
        let totals = self.compare(|found| {
            let (mut bytes, counted) =
                (PathBytes::default(), if found.b.is_some() { &mut of_b } else { &mut of_a });
            let Some(file) = found.b.or(found.a).filter(|file| file.kind != EntryKind::Directory)
            else {
                return Ok(());
            };
            bytes.files = 1;
            if file.names < 2 || counted.insert(file.inode) {
                match (&found.a, &found.b) {
                    (None, _) => bytes.added = file.size,
                    (_, None) => bytes.deleted = file.size,
                    _ => bytes.modified = file.size,
                }
            }
            tree.add(found.path, bytes);
            Ok(())
        })?;
        tree.end();
        Ok(DiffFiles { tree, totals })
    }

    fn compare(
        &self,
        mut visit: impl FnMut(&FileDifference<'_>) -> Result<()>,
    ) -> Result<FileDiff> {
        let BothLists { a, b, shared } = &self.lists;
        let visit = |found: &FileDifference<'_>| {
            self.control.check("diff")?;
            visit(found)
        };
        let totals = file_diff_of_lists(a, b, *shared, |path| self.filter.matches(path), visit)?;
        self.filter.check_found(&self.references, "not found in the images")?;
        Ok(totals)
    }
}

/// The files of both images.
struct BothLists {
    a: FileList,
    b: FileList,
    /// Number of layers that both begin with.
    shared: usize,
}

async fn read_both(
    images: [OpenedImage; 2],
    control: &Control,
    settings: &Settings,
) -> Result<BothLists> {
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
    let mut lower = read_tree(lower, new_tree()?, layers, control, settings).await?;
    let fork = lower.fork();
    // Only one tree is in memory at a time.
    let list_a = list(read_tree(&mut a, lower, own_a, control, settings).await?).await?;
    let list_b = list(read_tree(&mut b, fork, own_b, control, settings).await?).await?;
    source_a.print_receipt(&a, settings);
    source_b.print_receipt(&b, settings);
    Ok(BothLists { a: list_a, b: list_b, shared })
}

async fn list(tree: FileTree) -> Result<FileList> {
    let fail = |error| Error::new(ErrorKind::Store, "temporary file").with_source(error);
    run_blocking("compare files", move || FileList::new(tree).map_err(fail)).await
}

/// Applies layers to the tree of those below.
async fn read_tree(
    image: &mut OpenedImage,
    tree: FileTree,
    layers: Vec<LayerBlob<'static>>,
    control: &Control,
    settings: &Settings,
) -> Result<FileTree> {
    let work = move |control: &Control| {
        let options = ReadOptions::default().contents();
        let read = read_layers_onto(tree, layers, options, control, |_, _| Ok(()), |_, _| Ok(()));
        read.map(|(tree, _)| tree)
    };
    run_with_progress(image, settings, control, work).await
}

/// Prints one object, whose last key is `files`. The changes are printed one by one: there may be a million.
fn print_json(lines: &mut Lines, head: &Value, files: &ComparedFiles) -> Result<()> {
    let head = compact(head)?;
    lines.push(head.strip_suffix("}").unwrap_or(&head))?;
    lines.push(",\"files\":{\"changes\":[")?;
    let mut comma = "";
    let totals = files.compare(|found| {
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
    file_lines::add_path(&mut object, found.path);
    object.insert("differs".into(), json!(found.differs));
    for (key, file) in [("a", &found.a), ("b", &found.b)] {
        let metadata = file.as_ref().map(|file| {
            let mut metadata = Map::new();
            file_lines::add_file(&mut metadata, file);
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
    let was: Vec<_> = match &found.a {
        Some(a) => found.differs.iter().map(|aspect| aspect_text(*aspect, a, &file)).collect(),
        None => Vec::new(),
    };
    let was = if was.is_empty() { String::new() } else { format!("  ({})", was.join(", ")) };
    let start = format!("{}  ", letter(found));
    file_lines::text(&start, &file_lines::shown(found.path), &file, None, &was)
}

fn aspect_text(aspect: FileAspect, a: &FileInfo<'_>, b: &FileInfo<'_>) -> String {
    match aspect {
        FileAspect::Type => format!("was {}", file_lines::kind_name(a.kind)),
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
    let (bytes, files) = (size(pull.bytes), plural(pull.files, "file"));
    let pull = format!("{bytes} in {files} for B on a host with the files of A");
    let pull = wrap("pull      ", &pull, terminal_width().unwrap_or(usize::MAX));
    format!(
        "\n{}{}{}{}",
        share("added", added),
        share("changed", changed),
        share("removed", removed),
        pull.trim_end(),
    )
}
