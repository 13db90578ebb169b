//! What must hold after every fault.

use std::path::Path;

use rpull::digest::Digest;
use serde_json::Value;

use super::cli::Cli;

/// No image has a name, and whatever stands under a digest has it.
pub(crate) fn assert_nothing_visible(store: &Path) {
    let Ok(index) = std::fs::read(store.join("index.json")) else { return };
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 0, "{index}");
    assert_digests_are_right(store);
}

/// Every file under `blobs/` has the digest that it is called by.
pub(crate) fn assert_digests_are_right(store: &Path) {
    for file in std::fs::read_dir(store.join("blobs/sha256")).unwrap().map(Result::unwrap) {
        let found = Digest::sha256(&std::fs::read(file.path()).unwrap());
        assert_eq!(found.encoded(), file.file_name().to_str().unwrap());
    }
}

/// Without the fault the same command succeeds, and what it moved adds up to the whole.
pub(crate) async fn assert_second_run_completes(cli: &Cli, name: &str, size: u64) {
    let report = cli.json(&["--json", name]).await;
    let parts =
        ["transferred", "resumed", "shared"].map(|part| report["bytes"][part].as_u64().unwrap());
    assert_eq!(parts.iter().sum::<u64>(), size, "{report}");
    assert_digests_are_right(&cli.store());
    cli.run(&["verify", name]).await.expect(0, "");
}
