//! Totals of any number of paths, and the largest of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::finding::FindingPath;

/// Returns for example `1 file`, `2 files`.
pub(super) fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// Maximum paths of a finding.
const MAX_PATHS: usize = 100;

/// A path: its bytes, the path, which sorts the smaller first, and a note.
type Ranked = (u64, Reverse<Vec<u8>>, Option<String>);

/// Sums up paths and keeps the largest.
#[derive(Debug, Default)]
pub(super) struct TopPaths {
    pub(super) files: u64,
    pub(super) bytes: u64,
    smallest_first: BinaryHeap<Reverse<Ranked>>,
}

impl TopPaths {
    /// Adds the bytes of files without their paths.
    pub(super) fn count(&mut self, files: u64, bytes: u64) {
        self.files += files;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Adds a file.
    pub(super) fn add_file(&mut self, path: &[u8], bytes: u64, note: Option<String>) {
        self.count(1, bytes);
        self.list(path, bytes, note);
    }

    /// Lists a path whose files are counted already.
    pub(super) fn list(&mut self, path: &[u8], bytes: u64, note: Option<String>) {
        if self.smallest_first.len() == MAX_PATHS
            && let Some(Reverse((smallest, last, _))) = self.smallest_first.peek()
        {
            if (bytes, Reverse(path)) <= (*smallest, Reverse(last.0.as_slice())) {
                return;
            }
            self.smallest_first.pop();
        }
        self.smallest_first.push(Reverse((bytes, Reverse(path.to_vec()), note)));
    }

    /// Returns the largest paths, the largest first.
    pub(super) fn into_paths(self) -> Vec<FindingPath> {
        let sorted = self.smallest_first.into_sorted_vec();
        let path = |Reverse((bytes, Reverse(path), note)): Reverse<Ranked>| FindingPath {
            path: String::from_utf8_lossy(&path).into_owned(),
            bytes,
            note,
        };
        sorted.into_iter().map(path).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_paths_keep_largest_and_count_all() {
        let mut top = TopPaths::default();
        for n in 0..250_u64 {
            top.add_file(format!("f{n:03}").as_bytes(), n / 2, None);
        }
        assert_eq!((top.files, top.bytes), (250, 2 * (0..125).sum::<u64>()));
        let paths = top.into_paths();
        assert_eq!(paths.len(), MAX_PATHS);
        assert_eq!((paths[0].path.as_str(), paths[0].bytes), ("f248", 124), "ties by path");
        assert_eq!((paths[99].path.as_str(), paths[99].bytes), ("f151", 75));
    }
}
