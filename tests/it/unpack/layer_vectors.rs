//! `tests/layers/apply.tsv`: test layers of other projects, applied next to a canary and flattened to a tar.

use std::fs;
use std::io::BufReader;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use rpull::error::Result;
use rpull::layer::{Entries, EntryLimits};
use rpull::unpack::{RootDir, UnpackOptions, Unpacker};
use rustix::fs::{Mode, OFlags, ResolveFlags, Stat, fstat, openat2};

use crate::support::entries::{TarItem, tar};
use crate::support::layer_cases::{Case, cases, item};
use crate::support::outside_guard::OutsideGuard;
use crate::support::{flat, tree};

fn before(root: &Path, words: &[&str]) {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let make_parent = |path: &str| fs::create_dir_all(at(path).parent().unwrap()).unwrap();
    match words {
        ["dir", path] => fs::create_dir_all(at(path)).unwrap(),
        ["file", path, content] => {
            make_parent(path);
            fs::write(at(path), content).unwrap();
        }
        ["dir_with_content", path] => {
            fs::create_dir_all(at(path).join("below")).unwrap();
            fs::write(at(path).join("below/file"), "x").unwrap();
        }
        ["symlink", path, target] => symlink(target, at(path)).unwrap(),
        ["hardlink", path, target] => fs::hard_link(at(target), at(path)).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The file that a path resolves to in a chroot of the root.
fn look(root: &Path, path: &str) -> rustix::io::Result<Stat> {
    let root = fs::File::open(root).unwrap();
    let opened =
        openat2(&root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT);
    fstat(opened?)
}

fn read(root: &Path, path: &str) -> String {
    let root = fs::File::open(root).unwrap();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).unwrap();
    std::io::read_to_string(fs::File::from(opened)).unwrap()
}

fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn check(case: &str, root: &Path, before: &[(PathBuf, i64, i64)], words: &[&str]) {
    let inode = |path: &str| look(root, path).unwrap().st_ino;
    let there = |path: &str| inside(root, path).symlink_metadata().is_ok();
    let right = match words {
        ["is", path, content] => read(root, path) == *content,
        ["is", path] => read(root, path).is_empty(),
        ["absent", path] => !there(path),
        ["exists", path] => there(path),
        ["directory", path] => inside(root, path).symlink_metadata().unwrap().is_dir(),
        ["same", a, b] => inode(a) == inode(b),
        ["other", a, b] => inode(a) != inode(b),
        ["text", a, b] => {
            let text = |path: &str| fs::read_link(inside(root, path)).unwrap();
            text(a) == text(b)
        }
        ["times-kept", path] => {
            let path = root.join(path.trim_start_matches('.'));
            let found = path.symlink_metadata().unwrap();
            before.contains(&(path, found.mtime(), found.mtime_nsec()))
        }
        ["owner-kept", paths @ ..] => {
            let owner = |path: &&&str| inside(root, path).symlink_metadata().unwrap().uid();
            paths.iter().all(|path| owner(&path) == rustix::process::geteuid().as_raw())
        }
        ["tree", names @ ..] => {
            let found = tree::names(root);
            let found: Vec<_> = found.iter().map(String::as_str).collect();
            assert_eq!(found, names, "{case}");
            true
        }
        other => panic!("{other:?}"),
    };
    assert!(right, "{case}: {words:?} in {:?}", tree::names(root));
}

/// The existing files of a case, as the entries of a base layer.
fn base(words: &[&str]) -> Vec<TarItem> {
    match words {
        ["dir", path] => vec![TarItem::dir(path)],
        ["file", path, content] => vec![TarItem::file(path, content)],
        ["dir_with_content", path] => vec![TarItem::file(format!("{path}/below/file"), "x")],
        ["symlink", path, target] => vec![TarItem::symlink(path, target)],
        ["hardlink", path, target] => vec![TarItem::hardlink(path, target)],
        other => panic!("{other:?}"),
    }
}

/// Applies the layers to a root that may have files.
fn on_disk(root: &Path, layers: &[Vec<TarItem>]) -> Result<()> {
    let mut unpacker = Unpacker::new(RootDir::open(root)?, UnpackOptions::default())?;
    for layer in layers {
        let tar = tar(layer);
        unpacker
            .apply("layer", &mut Entries::new(BufReader::new(&tar[..]), EntryLimits::default()))?;
    }
    unpacker.finish().map(drop)
}

/// Flattens the layers to one tar and applies that.
fn flattened(root: &Path, layers: &[Vec<TarItem>]) -> Result<()> {
    let layers: Vec<_> = layers.iter().map(Vec::as_slice).collect();
    let (_, tar) = flat::flattened(&flat::tars(&layers))?;
    flat::apply(root, &[tar]).map(drop)
}

/// Applies the layers of a case and checks the result.
fn run(case: &Case<'_>, canary: &OutsideGuard, is_flat: bool) -> Result<()> {
    let root = canary.root();
    let apply = if is_flat { flattened } else { on_disk };
    let (preparations, rest): (Vec<_>, Vec<_>) =
        case.lines.iter().partition(|words| words[0] == "before");
    let mut layers: Vec<Vec<TarItem>> = Vec::new();
    let prepare = |root: &Path| {
        preparations.iter().filter(|_| !is_flat).for_each(|words| before(root, &words[1..]));
    };
    prepare(root);
    let mut before = tree::times(root);
    if is_flat && !preparations.is_empty() {
        layers.push(preparations.iter().flat_map(|words| base(&words[1..])).collect());
        let dir = tempfile::tempdir().unwrap();
        flattened(dir.path(), &layers)?;
        let moved = |path: PathBuf| root.join(path.strip_prefix(dir.path()).unwrap());
        before =
            tree::times(dir.path()).into_iter().map(|(path, s, n)| (moved(path), s, n)).collect();
    }
    let mut checks = Vec::new();
    for words in rest {
        match words[0] {
            "layer" => layers.push(Vec::new()),
            "refused" => {}
            "tree" => {
                let dir = tempfile::tempdir().unwrap();
                prepare(dir.path());
                apply(dir.path(), &layers)?;
                check(case.id, dir.path(), &before, words);
            }
            _ => match item(words) {
                Some(item) => layers.last_mut().unwrap().push(item),
                None => checks.push(words),
            },
        }
    }
    apply(root, &layers)?;
    for words in checks {
        check(case.id, root, &before, words);
    }
    Ok(())
}

#[test]
fn layer_vectors_of_other_clients_match() {
    let table = include_str!("../../layers/apply.tsv");
    let cases = cases(table);
    assert_eq!(cases.len(), 46);
    for (case, is_flat) in cases.iter().flat_map(|case| [(case, false), (case, true)]) {
        let is_check =
            |words: &&Vec<&str>| !["before", "layer"].contains(&words[0]) && item(words).is_none();
        assert!(case.lines.iter().any(|words| is_check(&words)), "{} can only pass", case.id);
        let canary = OutsideGuard::new();
        let is_refused = case.lines.iter().any(|words| words[0] == "refused");
        match run(case, &canary, is_flat) {
            Ok(()) => assert!(!is_refused, "{} is not refused", case.id),
            Err(error) => assert!(is_refused, "{}: {error:?}", case.id),
        }
        canary.assert_unharmed(case.id);
    }
}
