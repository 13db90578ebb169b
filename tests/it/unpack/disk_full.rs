//! Unpacking while layers are downloaded, without enough disk space: the command fails with the reason and leaves
//! nothing next to the target.

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::live::needs;
use crate::support::small::Small;
use crate::support::strace::inject;
use crate::support::tree::names;
use crate::unpack::faults::{WAYS, args, assert_nothing_beside, sample};

/// Number of disk sizes, from too small to large enough.
const STEPS: u64 = 30;

async fn published() -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    sample().publish(&registry, "team/app", Some("1"));
    let name = format!("{}:1", registry.repository("team/app"));
    (registry, name)
}

/// Returns commands with and without a store.
fn ways() -> impl Iterator<Item = Vec<String>> {
    WAYS.iter()
        .take(3)
        .map(|way| way.iter().map(|word| word.replace("root", "small/root")).collect())
}

#[tokio::test]
async fn disk_full_at_any_size_fails_cleanly() {
    let test = "disk_full_at_any_size_fails_cleanly";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (_registry, name) = published().await;
    for way in ways() {
        let way: Vec<_> = way.iter().map(String::as_str).collect();
        let mut endings = Vec::new();
        for step in 0..STEPS {
            let cli = Cli::new();
            let small = cli.dir().join("small");
            let cli = cli.env("RPULL_STORE", small.join("store").to_str().unwrap());
            let size = format!("size={}k", 20 + 80 * step);
            let Some(_mounted) = Small::mount(test, &small, &size) else { return };
            let output = cli.run(&args(&way, &name)).await;
            assert!(!output.stderr.contains("panicked"), "{way:?}: {size}: {}", output.stderr);
            let left = names(&small).into_iter().filter(|name| !name.starts_with("store"));
            let left: Vec<_> = left.collect();
            if output.code() != Some(0) {
                output.expect(7, "No space left on device").expect(7, "hint: free disk space");
                assert_eq!(left, Vec::<String>::new(), "{way:?}: {size}");
            }
            assert_nothing_beside(cli.dir(), &way, &size);
            endings.push(output.code());
        }
        assert_eq!((endings[0], *endings.last().unwrap()), (Some(7), Some(0)), "{way:?}");
    }
}

#[tokio::test]
async fn file_size_limit_at_any_size_fails_cleanly() {
    if !needs("file_size_limit_at_any_size_fails_cleanly", &["prlimit"]) {
        return;
    }
    let (_registry, name) = published().await;
    for way in WAYS {
        let mut endings = Vec::new();
        for step in 0..STEPS {
            let (cli, limit) = (Cli::new(), format!("--fsize={}", 1000 + 40_000 * step));
            let limited = ["prlimit", &limit];
            let output = cli.spawn_under(&limited, &args(way, &name)).wait().await;
            if output.code() != Some(0) {
                output.expect(7, "File too large");
                assert_nothing_beside(cli.dir(), way, &limit);
            }
            endings.push(output.code());
        }
        assert_eq!((endings[0], *endings.last().unwrap()), (Some(7), Some(0)), "{way:?}");
    }
}

#[tokio::test]
async fn store_write_error_fails_cleanly() {
    if !needs("store_write_error_fails_cleanly", &["strace"]) {
        return;
    }
    let (_registry, name) = published().await;
    let held = sample();
    for (error, words) in [
        ("ENOSPC", "No space left"),
        ("EFBIG", "File too large"),
        ("EIO", "Input/output error"),
        ("EDQUOT", "quota exceeded"),
    ] {
        for (number, layer) in held.layers.iter().enumerate() {
            let way = WAYS[number % 2];
            let path = format!("/ingest/sha256-{}", layer.digest().encoded());
            let (cli, words_of_way) = (Cli::new(), args(way, &name));
            let words_of_way: Vec<_> = words_of_way.iter().map(String::as_str).collect();
            let what = format!("error={error}");
            let output = inject(&cli, "pwrite64", &path, &what, &words_of_way).await;
            output.expect(7, words);
            std::fs::remove_file(cli.dir().join("inject.log")).unwrap();
            assert_nothing_beside(cli.dir(), way, error);
        }
    }
}
