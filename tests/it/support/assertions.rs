//! Invariants that hold after every fault.

use std::path::Path;

use rpull::digest::Digest;
use serde_json::Value;

use super::cli::Cli;

/// Asserts that no image is named and every blob has its digest.
pub(crate) fn assert_nothing_visible(store: &Path) {
    let Ok(index) = std::fs::read(store.join("index.json")) else { return };
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 0, "{index}");
    assert_digests_are_right(store);
}

/// Asserts that every file under `blobs/` has the digest of its name.
pub(crate) fn assert_digests_are_right(store: &Path) {
    for file in std::fs::read_dir(store.join("blobs/sha256")).unwrap().map(Result::unwrap) {
        let found = Digest::sha256(&std::fs::read(file.path()).unwrap());
        assert_eq!(found.encoded(), file.file_name().to_str().unwrap());
    }
}

/// Asserts that the same command succeeds without the fault and its bytes add up.
pub(crate) async fn assert_second_run_completes(cli: &Cli, name: &str, size: u64) {
    let report = cli.report(&["--json", name]).await;
    let parts =
        ["transferred", "resumed", "shared"].map(|part| report["bytes"][part].as_u64().unwrap());
    assert_eq!(parts.iter().sum::<u64>(), size, "{report}");
    assert_digests_are_right(&cli.store());
    cli.run(&["verify", name]).await.expect(0, "");
}

/// Bytes of partials that the store keeps for the next run; a partial may have gaps.
pub(crate) async fn kept_bytes(cli: &Cli) -> u64 {
    let plan = cli.json(&["prune", "--partials", "--plan", "--json"]).await;
    plan["partial_bytes"].as_u64().unwrap()
}
