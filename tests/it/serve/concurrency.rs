//! Concurrent clients of `rpull serve` and other processes at its store lose nothing.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;

use futures_util::future::join_all;
use rpull::digest::Digest;
use rpull::layout::{Layout, LayoutOptions, PruneOptions};
use rpull::serve::ServeOptions;
use serde_json::{Value, json};

use crate::support::samples::versions;
use crate::support::served_store::ServedStore;

/// Returns a registry with an image, and its manifest as a template.
async fn served() -> (ServedStore, Value) {
    let (served, [held, _]) = (ServedStore::start().await, versions());
    served.push("a", Some("base"), &held).await;
    (served, serde_json::from_slice(&held.manifest.bytes).unwrap())
}

/// Returns a manifest unique to this client and turn.
fn variant(base: &Value, client: usize, turn: usize) -> (Digest, Vec<u8>) {
    let mut own = base.clone();
    own["annotations"] = json!({"own": format!("{client}-{turn}")});
    let bytes = own.to_string().into_bytes();
    (Digest::sha256(&bytes), bytes)
}

async fn put(served: &ServedStore, name: &str, bytes: &[u8]) {
    let headers = [("Content-Type", "application/vnd.oci.image.manifest.v1+json")];
    let line = format!("PUT /v2/a/manifests/{name}");
    served.ask(&line, &headers, bytes).await.expect(201, "");
}

async fn missing(served: &ServedStore, digests: &HashSet<Digest>) -> Vec<String> {
    let mut missing = Vec::new();
    for digest in digests {
        let target = format!("/v2/a/manifests/{digest}");
        if served.get(&target).await.status != 200 {
            missing.push(digest.to_string());
        }
    }
    missing
}

/// Stops the server, prunes its store, and starts another one over it.
async fn prune_between(served: ServedStore) -> ServedStore {
    let folder = served.stop().await;
    let options = LayoutOptions::default().private();
    let layout = Layout::create(&folder.path().join("store"), options).unwrap();
    layout.prune(PruneOptions::default().partials()).unwrap();
    drop(layout);
    ServedStore::over(folder, &ServeOptions::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_puts_to_one_tag_keep_all_manifests() {
    let (served, base) = served().await;
    let taken: Mutex<HashSet<Digest>> = Mutex::default();
    let client = async |client: usize| {
        for turn in 0..8 {
            let (digest, bytes) = variant(&base, client, turn);
            put(&served, "race", &bytes).await;
            taken.lock().unwrap().insert(digest);
        }
    };
    join_all((0..8).map(client)).await;
    let taken = taken.into_inner().unwrap();
    assert_eq!(taken.len(), 64);
    assert_eq!(missing(&served, &taken).await, [""; 0]);
    let served = prune_between(served).await;
    assert_eq!(missing(&served, &taken).await, [""; 0]);
}

/// Adds and removes tags, as `rpull tag` and `rpull rm` in another process do.
fn rename_beside(root: &Path) {
    let layout = Layout::open(root).unwrap();
    for turn in 0..40 {
        let own = format!("localhost/a:beside-{}", turn % 3);
        layout.tag("localhost/a:base", &own).unwrap();
        if turn % 2 == 0 {
            layout.remove(&own).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_tag_delete_and_prune_lose_nothing() {
    let (mut served, base) = served().await;
    let mut expected = HashSet::new();
    for round in 0..3 {
        let taken: Mutex<HashSet<Digest>> = Mutex::default();
        let deleted: Mutex<HashSet<Digest>> = Mutex::default();
        let client = async |client: usize| {
            for turn in 0..9 {
                let (digest, bytes) = variant(&base, 100 * round + client, turn);
                let name = match (client + turn) % 4 {
                    0 => digest.to_string(),
                    tag => format!("tag-{tag}"),
                };
                put(&served, &name, &bytes).await;
                taken.lock().unwrap().insert(digest.clone());
                if turn % 3 == 2 {
                    let line = format!("DELETE /v2/a/manifests/{digest}");
                    served.ask(&line, &[], b"").await.expect(202, "");
                    deleted.lock().unwrap().insert(digest);
                }
            }
        };
        let root = served.root();
        let beside = tokio::task::spawn_blocking(move || rename_beside(&root));
        join_all((0..6).map(client)).await;
        beside.await.unwrap();
        expected.extend(taken.into_inner().unwrap());
        let deleted = deleted.into_inner().unwrap();
        expected.retain(|digest| !deleted.contains(digest));
        for digest in &deleted {
            assert_eq!(served.get(&format!("/v2/a/manifests/{digest}")).await.status, 404);
        }
        served = prune_between(served).await;
        assert_eq!(missing(&served, &expected).await, [""; 0], "round {round}");
    }
    assert_eq!(expected.len(), 3 * 6 * 6);
    served.get("/v2/a/manifests/base").await.expect(200, "");
    served.get("/v2/a/manifests/beside-0").await.expect(200, "");
}
