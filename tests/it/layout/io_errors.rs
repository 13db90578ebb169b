//! System calls that fail during a pull: the error is reported with its path, and the next run completes.

use std::collections::BTreeSet;

use super::assert_recovers;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::live::needs;
use crate::support::samples::published;
use crate::support::strace::{distinct, inject, trace};

const PROGRAMS: &[&str] = &["strace", "setpriv"];

/// Errors that the kernel really returns for this call, and their text.
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

/// Fails each call of a pull of the last name in turn. Returns the calls that made the pull fail.
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
                // Calls that only look or clean up may fail without harm.
                Some(0) => {}
                Some(7) => {
                    fatal.insert(format!("{call} {path}"));
                    assert!(output.stderr.contains(words), "{point}: {}", output.stderr);
                    assert!(
                        output.stderr.contains("/store"),
                        "no path, {point}: {}",
                        output.stderr
                    );
                    let hint = output.stderr.contains("hint: free disk space");
                    assert_eq!(
                        hint,
                        matches!(*error, "ENOSPC" | "EDQUOT"),
                        "{point}: {}",
                        output.stderr
                    );
                }
                other => panic!("{other:?} after {point}: {}", output.stderr),
            }
            // The earlier images too: a blob that cannot be synced is deleted even if they need it.
            assert_recovers(&cli, names, &point).await;
        }
    }
    fatal
}

#[tokio::test]
async fn io_error_of_any_call_is_reported_and_recovers() {
    if !needs("io_error_of_any_call_is_reported_and_recovers", PROGRAMS) {
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
async fn fsync_error_with_sync_fails_the_pull() {
    if !needs("fsync_error_with_sync_fails_the_pull", PROGRAMS) {
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
async fn fsync_error_discards_partial() {
    if !needs("fsync_error_discards_partial", PROGRAMS) {
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
async fn pull_many_layers_needs_few_open_files() {
    let registry = FakeRegistry::start().await;
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
