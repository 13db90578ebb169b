//! Caches and leftovers of package managers in the flattened image.

use std::collections::BTreeMap;

use super::finding::{Finding, Rule};
use super::image::ImageSteps;
use super::paths::runs_through;
use super::top_paths::{TopPaths, files};
use crate::insight::files::FileTree;
use crate::layer::{EntryKind, is_below};

/// Where a program leaves files that no container needs.
struct CacheKind {
    program: &'static str,
    /// Directories, from the root.
    roots: &'static [&'static str],
    /// Directories in any home directory.
    anywhere: &'static [&'static str],
    tip: &'static str,
}

const CACHES: [CacheKind; 9] = [
    CacheKind {
        program: "apt",
        roots: &["var/lib/apt/lists", "var/cache/apt", "var/cache/debconf", "var/log/apt"],
        anywhere: &[],
        tip: "end the RUN with `rm -rf /var/lib/apt/lists/* /var/cache/apt/*`, or mount caches with RUN --mount=type=cache",
    },
    CacheKind {
        program: "apk",
        roots: &["var/cache/apk", "etc/apk/cache"],
        anywhere: &[],
        tip: "install with `apk add --no-cache`",
    },
    CacheKind {
        program: "dnf",
        roots: &[
            "var/cache/dnf",
            "var/cache/yum",
            "var/cache/libdnf5",
            "var/lib/dnf/history.sqlite",
        ],
        anywhere: &[],
        tip: "end the RUN with `dnf clean all`",
    },
    CacheKind {
        program: "pip",
        roots: &[],
        anywhere: &[".cache/pip"],
        tip: "install with `pip install --no-cache-dir`, or set PIP_NO_CACHE_DIR=1",
    },
    CacheKind {
        program: "npm",
        roots: &["usr/local/share/.cache/yarn"],
        anywhere: &[".npm/_cacache", ".npm/_logs", ".cache/yarn"],
        tip: "end the RUN with `npm cache clean --force`, or mount it with RUN --mount=type=cache,target=/root/.npm",
    },
    CacheKind {
        program: "cargo",
        roots: &["usr/local/cargo/registry", "usr/local/cargo/git"],
        anywhere: &[".cargo/registry", ".cargo/git"],
        tip: "build in a stage of its own and copy the program, or mount the registry with RUN --mount=type=cache",
    },
    CacheKind {
        program: "go",
        roots: &["go/pkg/mod"],
        anywhere: &[".cache/go-build", "go/pkg/mod"],
        tip: "build in a stage of its own and copy the program, or mount the caches with RUN --mount=type=cache",
    },
    CacheKind {
        program: "package manager",
        roots: &[
            "var/log/dpkg.log",
            "var/log/dnf.log",
            "var/log/yum.log",
            "var/log/alternatives.log",
        ],
        anywhere: &[],
        tip: "end the RUN with `rm -f` of its logs",
    },
    CacheKind {
        program: "temporary file",
        roots: &["tmp", "var/tmp"],
        anywhere: &[],
        tip: "delete temporary files in the RUN that creates them, or use RUN --mount=type=tmpfs,target=/tmp",
    },
];

impl CacheKind {
    fn has(&self, path: &[u8]) -> bool {
        self.roots.iter().any(|root| is_below(path, root.as_bytes()))
            || self.anywhere.iter().any(|part| runs_through(path, part.as_bytes()))
    }
}

/// Returns the visible files of caches, by program and layer. Hidden ones are among what later layers delete.
pub(super) fn caches(tree: &FileTree, image: &ImageSteps) -> Vec<Finding> {
    let mut found: BTreeMap<(usize, usize), TopPaths> = BTreeMap::new();
    tree.for_each(|path, file| {
        if file.kind == EntryKind::File
            && file.size > 0
            && let Some(cache) = CACHES.iter().position(|cache| cache.has(path))
        {
            found.entry((file.layer, cache)).or_default().add_file(path, file.size, None);
        }
    });
    let finding = |((layer, cache), paths): ((usize, usize), TopPaths)| {
        let CacheKind { program, tip, .. } = CACHES.get(cache)?;
        let files = files(paths.files);
        let message = match *program {
            "temporary file" => format!("leaves {files} in temporary directories"),
            "package manager" => format!("leaves {files} of logs"),
            program => format!("leaves {files} of {program}'s cache"),
        };
        Some(image.finding(Rule::PackageCache, Some(layer), message, tip).with_paths(paths))
    };
    found.into_iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_is_recognized_by_path() {
        for (path, program) in [
            ("var/lib/apt/lists/deb.debian.org_InRelease", Some("apt")),
            ("var/cache/apk/APKINDEX.1.tar.gz", Some("apk")),
            ("var/cache/yum/x86_64/a.rpm", Some("dnf")),
            ("root/.cache/pip/http/a", Some("pip")),
            ("home/ann/.npm/_cacache/index", Some("npm")),
            ("root/.cargo/registry/cache/a.crate", Some("cargo")),
            ("home/ann/go/pkg/mod/cache/download/a.zip", Some("go")),
            ("root/.cache/go-build/00/a", Some("go")),
            ("tmp/build.log", Some("temporary file")),
            ("var/lib/apt/listsx/a", None),
            ("srv/tmp/a", None),
            ("usr/share/pip/a", None),
            ("usr/lib/x.npm/_cacache/a", None),
        ] {
            let found = CACHES.iter().find(|cache| cache.has(path.as_bytes()));
            assert_eq!(found.map(|cache| cache.program), program, "{path}");
        }
    }
}
