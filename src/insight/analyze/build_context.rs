//! Files that came along with a build context and that no container needs.

use std::collections::BTreeMap;

use super::finding::{Finding, Rule};
use super::image::ImageSteps;
use super::paths::directory_through;
use super::top_paths::{TopPaths, files};
use crate::insight::files::{Change, ChangeKind};
use crate::layer::{EntryKind, split};

/// Directories, and whether they are unwanted only if they were copied: a command may create them on purpose.
const DIRECTORIES: [(&str, bool); 12] = [
    (".git", false),
    (".hg", false),
    (".svn", false),
    ("node_modules", true),
    ("target/debug", true),
    ("target/release", true),
    ("__pycache__", true),
    (".venv", true),
    (".tox", false),
    (".idea", true),
    (".vscode", true),
    (".terraform", true),
];

/// Files that are unwanted if they were copied.
const FILES: [&str; 7] = [
    ".env",
    ".DS_Store",
    "Dockerfile",
    "Containerfile",
    "docker-compose.yml",
    "docker-compose.yaml",
    ".dockerignore",
];

#[derive(Debug, Default)]
struct Found {
    paths: TopPaths,
    /// Files and bytes by directory.
    directories: BTreeMap<Vec<u8>, (u64, u64)>,
}

/// Maximum directories of a layer that are told apart: an image may have one for each package.
const MAX_DIRECTORIES: usize = 1000;

/// Collects what layers add.
#[derive(Debug, Default)]
pub(super) struct BuildContext {
    by_layer: BTreeMap<usize, Found>,
}

impl BuildContext {
    pub(super) fn change(&mut self, layer: usize, is_copied: bool, change: &Change<'_>) {
        let Some(file) = change.after.filter(|file| file.kind == EntryKind::File) else { return };
        if change.kind == ChangeKind::Deleted || file.layer != layer || change.hardlink.is_some() {
            return;
        }
        let unwanted = DIRECTORIES.iter().filter(|(_, if_copied)| is_copied || !if_copied);
        let directory = unwanted
            .filter_map(|(name, _)| directory_through(change.path, name.as_bytes()))
            .filter(|directory| directory.len() < change.path.len())
            .min_by_key(|directory| directory.len());
        if let Some(directory) = directory {
            let found = self.by_layer.entry(layer).or_default();
            found.paths.count(1, file.size);
            let is_full = found.directories.len() >= MAX_DIRECTORIES;
            if let Some((files, bytes)) = found.directories.get_mut(directory) {
                (*files, *bytes) = (*files + 1, *bytes + file.size);
            } else if !is_full {
                found.directories.insert(directory.to_vec(), (1, file.size));
            }
        } else if is_copied && FILES.iter().any(|name| name.as_bytes() == split(change.path).1) {
            self.by_layer.entry(layer).or_default().paths.add_file(change.path, file.size, None);
        }
    }

    pub(super) fn findings(self, image: &ImageSteps) -> Vec<Finding> {
        let finding = |(layer, Found { mut paths, directories }): (usize, Found)| {
            for (path, (count, bytes)) in directories {
                paths.list(&path, bytes, Some(files(count)));
            }
            let files = files(paths.files);
            let message = format!("contains {files} of a build context");
            let tip = "list them in .dockerignore, or copy only what the image needs";
            image.finding(Rule::BuildContext, Some(layer), message, tip).with_paths(paths)
        };
        self.by_layer.into_iter().map(finding).collect()
    }
}
