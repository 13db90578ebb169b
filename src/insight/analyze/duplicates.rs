//! Files whose content several layers have.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::finding::{Finding, Rule};
use super::image::ImageSteps;
use super::top_paths::TopPaths;
use crate::insight::files::{ContentId, FileInfo, FileTree};

/// Smallest file that is reported, in bytes.
const MIN_BYTES: u64 = 512;

/// Returns the files of the flattened image whose content a lower layer has too, by their layers.
pub(super) fn duplicates(tree: &FileTree, image: &ImageSteps) -> Vec<Finding> {
    let repeated = repeated(tree);
    let mut firsts: HashMap<ContentId, (usize, u32, Vec<u8>)> = HashMap::new();
    visit(tree, |path, file, content| {
        if repeated.contains(&content) {
            let first =
                firsts.entry(content).or_insert_with(|| (file.layer, file.inode, path.to_vec()));
            if file.layer < first.0 {
                *first = (file.layer, file.inode, path.to_vec());
            }
        }
    });
    let mut by_layer: BTreeMap<usize, TopPaths> = BTreeMap::new();
    let mut counted = HashSet::new();
    visit(tree, |path, file, content| {
        let Some((layer, inode, first)) = firsts.get(&content) else { return };
        if file.layer > *layer && file.inode != *inode && counted.insert(file.inode) {
            let note = format!("as {}", String::from_utf8_lossy(first));
            by_layer.entry(file.layer).or_default().add_file(path, file.size, Some(note));
        }
    });
    let finding = |(layer, paths): (usize, TopPaths)| {
        let files = paths.files;
        let message = match files {
            1 => "contains a file that a lower layer has under another name".to_owned(),
            _ => format!("contains {files} files that lower layers have under other names"),
        };
        let tip = "link to the file that is there, or copy it only once";
        image.finding(Rule::DuplicateContent, Some(layer), message, tip).with_paths(paths)
    };
    by_layer.into_iter().map(finding).collect()
}

fn visit(tree: &FileTree, mut visit: impl FnMut(&[u8], &FileInfo<'_>, ContentId)) {
    tree.for_each(|path, file| {
        if let Some(content) = file.content.filter(|_| file.size >= MIN_BYTES) {
            visit(path, file, content);
        }
    });
}

/// Returns the contents that files of several layers have.
fn repeated(tree: &FileTree) -> HashSet<ContentId> {
    let mut all: Vec<(ContentId, u32)> = Vec::new();
    visit(tree, |_, file, content| {
        all.push((content, u32::try_from(file.layer).unwrap_or(u32::MAX)));
    });
    all.sort_unstable();
    all.dedup();
    let several = all.windows(2).filter_map(|pair| match pair {
        [(one, _), (two, _)] if one == two => Some(*one),
        _ => None,
    });
    several.collect()
}
