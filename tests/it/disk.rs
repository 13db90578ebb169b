//! A disk that is full, broken, read-only or without locks, and a process that may open few files.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::support::cli::Cli;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::live::needs;
use crate::support::registry::Registry;
use crate::support::samples::published;
use crate::support::small::Small;
use crate::support::strace::{distinct, inject, trace};

const PROGRAMS: &[&str] = &["strace", "setpriv"];

/// After whatever went wrong, a run without it has everything, and nothing wrong is under a digest.
async fn assert_recovers(cli: &Cli, names: &[&str], point: &str) {
    let output = cli.run(&[&["-q"], names].concat()).await;
    assert_eq!(output.code(), Some(0), "after {point}: {}", output.stderr);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]), "after {point}");
    let listed = cli.json(&["images", "--json"]).await;
    let rows = listed.as_array().unwrap();
    let held = |name: &&str| rows.iter().any(|row| row["reference"] == json!(name));
    assert!(names.iter().all(held), "after {point}: {listed}");
}

/// What the kernel says where such a call fails in earnest.
fn errors(call: &str) -> &'static [(&'static str, &'static str)] {
    match call {
        "pwrite64" => &[
            ("ENOSPC", "No space left"),
            ("EDQUOT", "quota exceeded"),
            ("EIO", "Input/output error"),
        ],
        "write" | "mkdir" | "mkdirat" => &[("ENOSPC", "No space left")],
        "flock" => &[("ENOLCK", "No locks available")],
        _ => &[("EIO", "Input/output error")],
    }
}

/// Lets each call of a pull of the last name fail in turn; tells those that the pull did not survive.
async fn fail_everywhere(
    names: &[&str],
    flags: &[&str],
    prepare: impl AsyncFn() -> Cli,
) -> BTreeSet<String> {
    let args = [flags, &names[names.len() - 1..]].concat();
    let (output, calls) = trace(&prepare().await, &args).await;
    output.expect(0, "");
    let mut fatal = BTreeSet::new();
    for (call, path) in distinct(&calls) {
        for (error, words) in errors(&call) {
            let (cli, point) = (prepare().await, format!("{call} of {path}: {error}"));
            let output = inject(&cli, &call, &path, &format!("error={error}"), &args).await;
            match output.code() {
                // What only looks, or tidies up, may fail without harm.
                Some(0) => {}
                Some(7) => {
                    fatal.insert(format!("{call} {path}"));
                    assert!(output.stderr.contains(words), "{point}: {}", output.stderr);
                    assert!(
                        output.stderr.contains("/store"),
                        "no path, {point}: {}",
                        output.stderr
                    );
                    let hint = output.stderr.contains("hint: free some space");
                    assert_eq!(hint, *error == "ENOSPC", "{point}: {}", output.stderr);
                }
                other => panic!("{other:?} after {point}: {}", output.stderr),
            }
            // The former ones too: what cannot be made durable is dropped, whoever needs it.
            assert_recovers(&cli, names, &point).await;
        }
    }
    fatal
}

#[tokio::test]
async fn a_first_pull_tells_which_call_failed_and_the_next_succeeds() {
    if !needs("a_first_pull_tells_which_call_failed_and_the_next_succeeds", PROGRAMS) {
        return;
    }
    let (_registry, _, name) = published().await;
    let fatal =
        fail_everywhere(&[&format!("{name}:1")], &[], async || Cli::new().without_privileges())
            .await;
    for part in [
        "write /index.json.new",
        "fsync /index.json.new",
        "fsync /unsynced",
        "flock /ingest/sha256-",
        "pwrite64 /ingest/sha256-",
        "rename",
    ] {
        assert!(fatal.iter().any(|call| call.contains(part)), "{part}: {fatal:?}");
    }
}

#[tokio::test]
async fn with_sync_every_failure_to_make_durable_is_told() {
    if !needs("with_sync_every_failure_to_make_durable_is_told", PROGRAMS) {
        return;
    }
    let (_registry, [_, held], name) = published().await;
    let [first, second] = ["1", "2"].map(|tag| format!("{name}:{tag}"));
    let prepare = async || {
        let cli = Cli::new().without_privileges();
        cli.run(&["-q", &first]).await.expect(0, "");
        cli
    };
    let fatal = fail_everywhere(&[&first, &second], &["--sync"], prepare).await;
    for piece in [&held.config, &held.layers[1], &held.manifest] {
        let call = format!("fsync /ingest/sha256-{}", piece.digest().encoded());
        assert!(fatal.contains(&call), "{call}: {fatal:?}");
    }
    assert!(fatal.contains("fsync /blobs/sha256") && fatal.contains("fsync "), "{fatal:?}");
}

#[tokio::test]
async fn what_could_not_be_synced_is_fetched_again_from_its_first_byte() {
    if !needs("what_could_not_be_synced_is_fetched_again_from_its_first_byte", PROGRAMS) {
        return;
    }
    let (registry, [held, _], name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    let base = &held.layers[0];
    let partial = format!("/ingest/sha256-{}", base.digest().encoded());
    let output = inject(&cli, "fsync", &partial, "error=EIO", &["--sync", &name]).await;
    output.expect(7, "Input/output error");
    assert!(!cli.store().join(&partial[1..]).exists(), "a page that was lost may look whole");
    registry.server.forget();
    cli.run(&["--sync", &name]).await.expect(0, "");
    let requests = registry.server.requests();
    let again = requests.iter().find(|request| request.path.ends_with(base.digest().as_str()));
    assert_eq!(again.unwrap().header("range"), None);
}

#[tokio::test]
async fn on_a_full_disk_what_arrived_is_kept_until_there_is_space() {
    let test = "on_a_full_disk_what_arrived_is_kept_until_there_is_space";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let registry = Registry::start().await;
    let layers = [1, 2].map(|seed| layer(&[("data", &random_blob(1_500_000, seed))]));
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    let Some(_small) = Small::mount(test, &cli.store(), "size=8m") else { return };
    // Others take the space once the pull has seen that there is enough.
    let taken = cli.store().join("taken");
    let take = taken.clone();
    registry.twist(held.layers[0].digest().as_str(), 0..1, move |reply| {
        std::fs::write(&take, vec![1; 5_800_000]).unwrap();
        reply
    });
    let ingest = cli.store().join("ingest");
    let output = cli.run(&["--jobs", "1", &name]).await;
    output.expect(7, "No space left on device").expect(7, "hint: free some space");
    assert!(cli.run(&["images"]).await.stdout.lines().count() < 2, "no half image has a name");
    let kept: u64 =
        std::fs::read_dir(&ingest).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(kept > 0, "what arrived is kept");
    std::fs::remove_file(taken).unwrap();
    let report = cli.json(&["--json", &name]).await;
    assert_eq!(report["bytes"]["resumed"], kept);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn a_full_disk_can_be_emptied_with_rpull_alone() {
    let test = "a_full_disk_can_be_emptied_with_rpull_alone";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (registry, [held, _], name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    let Some(_small) = Small::mount(test, &cli.store(), "size=1m") else { return };
    cli.run(&[&name]).await.expect(0, "");
    let ingest = cli.store().join("ingest");
    // A partial fills the disk to its last page.
    let partial = ingest.join(format!("sha256-{}", "0".repeat(64)));
    let fill = |path: &Path| std::fs::write(path, vec![1; 2 << 20]).unwrap_err();
    assert_eq!(fill(&partial).kind(), std::io::ErrorKind::StorageFull);
    cli.run(&["tag", &name, "b"]).await.expect(7, "prune --partials");
    assert!(!cli.store().join("index.json.new").exists(), "what could not be written is no use");
    assert_eq!(cli.json(&["prune", "--json"]).await["partials"], 0, "it may be continued");
    let plan = cli.json(&["prune", "--partials", "--plan", "--json"]).await;
    assert_eq!(plan["partials"], 1);
    assert_eq!(cli.json(&["prune", "--partials", "--json"]).await, plan);
    assert!(!partial.exists());

    // Now something that is none of rpull's.
    fill(&cli.store().join("strange"));
    cli.run(&["rm", &name]).await.expect(0, "");
    assert_eq!(cli.json(&["images", "--json"]).await, json!([]));
    let left = std::fs::read_dir(cli.store().join("blobs/sha256")).unwrap().count();
    assert_eq!(left, held.layers.len() + 1, "one blob made enough room");
    std::fs::remove_file(cli.store().join("strange")).unwrap();
    registry.server.forget();
    cli.run(&[&name]).await.expect(0, "");
    assert_eq!(registry.server.count("/blobs/"), 1);
}

#[tokio::test]
async fn rm_on_a_full_disk_takes_nothing_from_other_images() {
    let test = "rm_on_a_full_disk_takes_nothing_from_other_images";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (_registry, _, name) = published().await;
    let (cli, names) = (Cli::new(), [1, 2].map(|tag| format!("{name}:{tag}")));
    let Some(_small) = Small::mount(test, &cli.store(), "size=1m") else { return };
    cli.run(&names).await.expect(0, "");
    cli.run(&["tag", &names[0], "b"]).await.expect(0, "");
    std::fs::write(cli.store().join("strange"), vec![1; 2 << 20]).unwrap_err();
    cli.run(&["rm", &names[0]]).await.expect(7, "No space left on device");
    cli.run(&["rm", &names[1]]).await.expect(0, "");
    cli.run(&["rm", &names[0]]).await.expect(0, "");
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn a_full_disk_leaves_no_archive_and_is_told_by_its_place() {
    let test = "a_full_disk_leaves_no_archive_and_is_told_by_its_place";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let registry = Registry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(900_000, 1))])]);
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new().env("TMPDIR", "small"), registry.repository("a") + ":1");
    let Some(_small) = Small::mount(test, &cli.dir().join("small"), "size=500k") else { return };
    cli.run(&[&name]).await.expect(0, "");
    let store = format!("store:{name}");
    for args in [
        ["save", &name, "-o", "small/a.tar"],
        ["copy", &store, "oci-archive:small/a.tar", "-q"],
        ["copy", &store, "docker-archive:small/a.tar", "-q"],
        ["pull", &name, "-o", "oci-archive:small/a.tar"],
    ] {
        let output = cli.run(&args).await;
        output
            .expect(7, "small/a.tar: No space left on device")
            .expect(7, "hint: free some space there");
        assert_eq!(std::fs::read_dir(cli.dir().join("small")).unwrap().count(), 0, "{args:?}");
    }
    cli.run(&["save", &name, "-o", "a.tar"]).await.expect(0, "");
    let piped = cli.spawn_in_shell("cat a.tar | \"$@\"", &["load", "-"]).wait().await;
    piped
        .expect(7, "spool the archive: small: No space left on device")
        .expect(7, "TMPDIR names another");
    cli.run(&["load", "a.tar"]).await.expect(0, "(100 %)");
}

#[tokio::test]
async fn an_archive_is_also_written_where_every_file_must_have_a_name() {
    if !needs("an_archive_is_also_written_where_every_file_must_have_a_name", PROGRAMS) {
        return;
    }
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&[&name]).await.expect(0, "");
    let folder = cli.store().with_file_name("store-out");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("a.tar");
    let save = ["save", &name, "-o", path.to_str().unwrap()];
    let files = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    for form in ["oci-archive", "docker-archive"] {
        let place = format!("{form}:{}", path.display());
        let copy = ["copy", &format!("store:{name}"), &place];
        let failed =
            inject(&cli, "?rename,?renameat,renameat2", "-out/a.tar", "error=EIO", &copy).await;
        failed.expect(7, "Input/output error");
        assert_eq!(files().count(), 0, "{form}");
        inject(&cli, "openat", "-out", "error=EOPNOTSUPP", &copy).await.expect(0, "");
        assert_eq!(files().collect::<Vec<_>>(), ["a.tar"], "{form}");
        std::fs::remove_file(&path).unwrap();
    }
    cli.run(&save).await.expect(0, "");
    cli.run(&["load", path.to_str().unwrap()]).await.expect(0, "(100 %)");
}

#[tokio::test]
async fn without_inodes_the_message_is_the_same() {
    let test = "without_inodes_the_message_is_the_same";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    // Enough for the store, not for all of its blobs.
    let Some(small) = Small::mount(test, &cli.store(), "nr_inodes=10") else { return };
    cli.run(&[&name]).await.expect(7, "No space left on device");
    small.remount("nr_inodes=100");
    assert_recovers(&cli, &[&name], "no inodes").await;
}

#[tokio::test]
async fn a_read_only_store_is_told_at_the_start_and_can_still_be_read() {
    let test = "a_read_only_store_is_told_at_the_start_and_can_still_be_read";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let (registry, [held, _], name) = published().await;
    let cli = Cli::new();
    let Some(small) = Small::mount(test, &cli.store(), "size=1m") else { return };
    cli.run(&[&format!("{name}:1")]).await.expect(0, "");
    small.remount("ro");
    registry.server.forget();
    let output = cli.run(&[&format!("{name}:2")]).await;
    output.expect(7, "Read-only file system").expect(7, cli.store().to_str().unwrap());
    assert!(registry.server.requests().is_empty(), "found out before anything is fetched");
    let held_name = format!("{name}:1");
    for args in [&["rm", &held_name][..], &["tag", &held_name, "b"]] {
        cli.run(args).await.expect(7, "Read-only file system");
    }
    cli.run(&["prune"]).await.expect(0, "");
    let manifest = cli.run(&["manifest", &format!("store:{name}:1")]).await;
    assert_eq!(manifest.expect(0, "").stdout.as_bytes(), held.manifest.bytes);
    cli.run(&["images"]).await.expect(0, "");
    cli.run(&["verify"]).await.expect(0, "");
    cli.run(&["-o", "oci:elsewhere", &format!("{name}:2")]).await.expect(0, "");
}

#[tokio::test]
async fn twenty_layers_need_few_open_files() {
    let registry = Registry::start().await;
    let layers: Vec<_> = (0..20).map(|seed| layer(&[("a", &random_blob(5_000, seed))])).collect();
    image(Family::Oci, "amd64", &layers).publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    let limited = |most: u32| format!("ulimit -n {most}; exec \"$@\"");
    let output = cli.spawn_in_shell(&limited(64), &["--jobs", "64", &name]).wait().await;
    output.expect(0, "");
    let other = Cli::new();
    let output = other.spawn_in_shell(&limited(16), &["--jobs", "64", &name]).wait().await;
    assert!(matches!(output.code(), Some(0 | 6 | 7)), "{output:?}");
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    assert_recovers(&other, &[&name], "16 files").await;
}
