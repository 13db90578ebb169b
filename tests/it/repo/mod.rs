//! Rules of this repository: dependencies of modules and crates, public types, names of tests, documents.

mod architecture;
mod dependencies;
mod docs;
mod faults;
mod fixture_support;
mod imports;
mod public_types;
mod server_support;
mod test_names;

use std::path::{Path, PathBuf};

/// The Rust files below a directory.
fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}
