//! Number of system calls of unpacking.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::images::{Family, image};
use crate::support::live::{is_root, needs};
use crate::support::tars;

const FILES: usize = 300;

/// Returns the number of calls on files below the root, by name.
async fn calls(items: &[TarItem]) -> BTreeMap<String, usize> {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[layer_of(items)]));
    let log = cli.dir().join("log");
    let strace = ["strace", "-f", "-y", "-s", "0", "-o", log.to_str().unwrap()];
    cli.spawn_under(&strace, &["unpack", &archive, "root"]).wait().await.expect(0, "");
    let mut calls = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
        let Some((name, rest)) = call.split_once('(') else { continue };
        // Only debug builds check descriptors before closing them.
        if rest.contains("/.rpull-unpack-") && name != "fcntl" {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

#[tokio::test]
async fn small_file_takes_four_system_calls() {
    let test = "small_file_takes_four_system_calls";
    if !is_root(test) || !needs(test, &["strace"]) {
        return;
    }
    let files = |change: fn(TarItem) -> TarItem| -> Vec<TarItem> {
        let mut items = vec![TarItem::dir("a"), TarItem::dir("a/b")];
        let names = (0..FILES).map(|n| format!("{}/{n}", if n % 2 == 0 { "a" } else { "a/b" }));
        items.extend(names.map(|name| change(TarItem::file(name, "small").mode(0o664))));
        items
    };
    let none = calls(&files(|item| item)[..2]).await;
    for (change, more) in [
        ((|item| item) as fn(TarItem) -> TarItem, &[][..]),
        (|item| item.owner(7, 0), &["fchown"]),
        (|item| item.mode(0o4755), &["fchmod"]),
        (|item| item.xattr("user.a", "1").xattr("user.b", "2"), &["fsetxattr", "fsetxattr"]),
        (|item| item.mode(0o1644).owner(0, 9), &["fchmod", "fchown"]),
    ] {
        let found = calls(&files(change)).await;
        let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
        for call in ["openat2", "write", "utimensat", "close"].iter().chain(more) {
            *wanted.entry(call).or_default() += FILES;
        }
        let names: BTreeSet<&str> =
            found.keys().map(String::as_str).chain(wanted.keys().copied()).collect();
        for call in names {
            let count = |calls: &BTreeMap<String, usize>| calls.get(call).copied().unwrap_or(0);
            let for_files = count(&found).saturating_sub(count(&none));
            let right = wanted.get(call).copied().unwrap_or(0);
            // The two directories are opened additionally.
            assert!(
                (right..=right + 6).contains(&for_files),
                "{call}: {for_files}, not {right}: {found:?}"
            );
        }
    }
}
