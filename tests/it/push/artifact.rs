//! Bytes pushed as an artifact, by the example.

use rpull::content::Source as _;
use rpull::digest::Digest;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions};
use serde_json::{Value, json};

use crate::support::fake_registry::FakeRegistry;
use crate::support::live::{Access, Live, needs};

#[path = "../../../examples/push_artifact.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod push_artifact;

const EMPTY_DIGEST: &str =
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// Pushes, and reads the manifest there.
async fn pushed(host: &str) -> Value {
    let text = format!("{host}/team/notes:1");
    let reference: Reference = text.parse().unwrap();
    push_artifact::push(&text, b"some notes".to_vec()).await.unwrap();
    let repository = Client::new(RegistryOptions::default()).repository(&reference).unwrap();
    let document = repository.resolve(&reference.name()).await.unwrap();
    serde_json::from_slice(document.bytes()).unwrap()
}

#[tokio::test]
async fn artifact_of_bytes_has_empty_config_and_titled_layer() {
    let registry = FakeRegistry::start().await;
    let manifest = pushed(&registry.server.host()).await;
    let layer = Digest::sha256(b"some notes");
    let expected = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.notes.v1",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY_DIGEST, "size": 2},
        "layers": [{
            "mediaType": "text/plain",
            "digest": layer,
            "size": 10,
            "annotations": {"org.opencontainers.image.title": "notes.txt"},
        }],
    });
    assert_eq!(manifest, expected);
    assert_eq!(&registry.blob_bytes("team/notes", &layer).unwrap()[..], b"some notes");
    let empty = EMPTY_DIGEST.parse().unwrap();
    assert_eq!(&registry.blob_bytes("team/notes", &empty).unwrap()[..], b"{}");
}

#[tokio::test]
async fn artifact_is_taken_by_docker_registry() {
    if !needs("artifact_is_taken_by_docker_registry", &["docker-registry"]) {
        return;
    }
    let registry = Live::start(&Access::Open);
    assert_eq!(pushed(registry.host()).await["artifactType"], "application/vnd.example.notes.v1");
}
