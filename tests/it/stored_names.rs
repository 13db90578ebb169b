//! The name under which a registry keeps what it took: what is printed must exist there.

use rpull::content::{Label, Name, Target as _};
use rpull::digest::{Algorithm, Hasher};
use rpull::document::Document;
use rpull::error::ErrorKind;
use rpull::media::MediaType;
use rpull::registry::{Client, RegistryOptions};

use crate::support::http::Reply;
use crate::support::images::Image;
use crate::support::registry::Registry;
use crate::support::samples::published;

/// The manifest named by sha512.
fn long_named(image: &Image) -> Document {
    let bytes = image.manifest.bytes.clone();
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&bytes);
    Document::received(bytes, &MediaType::OCI_MANIFEST, Some(&hasher.finish())).unwrap()
}

/// Puts the document under the tag `long`, where the registry announces `announced`.
async fn put(
    registry: &Registry,
    document: &Document,
    announced: Option<String>,
) -> rpull::error::Result<()> {
    registry.twist("PUT ", 0..9, move |reply| {
        let reply = reply.without("docker-content-digest");
        match &announced {
            Some(digest) => reply.header("Docker-Content-Digest", digest.as_str()),
            None => reply,
        }
    });
    let client = Client::new(RegistryOptions::default());
    let name = registry.repository("team/app:long").parse().unwrap();
    let label = Label { name: Name::Tag("long".to_owned()), origins: Vec::new(), index: None };
    client.writable(&name).unwrap().put(document, Some(&label)).await
}

#[tokio::test]
async fn put_sha512_manifest_kept_as_sha256_fails_before_it_has_a_tag() {
    for announces in [true, false] {
        let (registry, [image, _], _) = published().await;
        let document = long_named(&image);
        let announced = announces.then(|| image.manifest.digest().to_string());
        registry.refuse(&format!("GET /v2/team/app/manifests/{}", document.digest()), 0..9, {
            Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        });
        let error = put(&registry, &document, announced).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("does not give it as sha512:"), "{error}");
        assert!(registry.tagged("team/app", "long").is_none());
        assert_eq!(registry.server.requests().len(), 2);
    }
}

#[tokio::test]
async fn put_sha512_manifest_that_is_there_by_its_name_has_a_tag() {
    let (registry, [image, _], _) = published().await;
    let document = long_named(&image);
    put(&registry, &document, Some(document.digest().to_string())).await.unwrap();
    assert_eq!(registry.server.count("PUT "), 2);
    assert_eq!(registry.server.count("GET "), 0, "its answer says so");
}

#[tokio::test]
async fn put_sha256_manifest_without_an_answered_digest_is_one_request() {
    let (registry, [image, _], _) = published().await;
    let document =
        Document::received(image.manifest.bytes.clone(), &MediaType::OCI_MANIFEST, None).unwrap();
    put(&registry, &document, None).await.unwrap();
    assert_eq!(registry.server.requests().len(), 1);
    let other = format!("sha256:{}", "0".repeat(64));
    let error = put(&registry, &document, Some(other)).await.unwrap_err();
    assert!(error.to_string().contains("instead of"), "{error}");
}
