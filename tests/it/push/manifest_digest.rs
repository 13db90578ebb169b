//! The digest under which a registry stores a manifest: a printed digest must exist there.

use rpull::digest::{Algorithm, Hasher};
use rpull::document::Document;
use rpull::error::ErrorKind;
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::registry::{Client, RegistryOptions};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::Image;
use crate::support::samples::published;
use crate::support::writing;

/// Returns the manifest with a sha512 digest.
fn long_named(image: &Image) -> Document {
    let bytes = image.manifest.bytes.clone();
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&bytes);
    Document::from_response(bytes, &MediaType::OCI_MANIFEST, Some(&hasher.finish())).unwrap()
}

/// Puts the document under the tag `long`, where the registry announces `announced`.
async fn put(
    registry: &FakeRegistry,
    document: &Document,
    announced: Option<String>,
) -> rpull::error::Result<()> {
    registry.override_response("PUT ", 0..9, move |reply| {
        let reply = reply.without("docker-content-digest");
        match &announced {
            Some(digest) => reply.header("Docker-Content-Digest", digest.as_str()),
            None => reply,
        }
    });
    let client = Client::new(RegistryOptions::default());
    let name = registry.repository("team/app:long").parse().unwrap();
    let writer = writing::begin(&client.repository_for_push(&name).unwrap()).await;
    writing::put(&*writer, document, &ImageName::Tag("long".to_owned())).await
}

#[tokio::test]
async fn put_sha512_manifest_stored_as_sha256_fails_untagged() {
    for announces in [true, false] {
        let (registry, [image, _], _) = published().await;
        let document = long_named(&image);
        let announced = announces.then(|| image.manifest.digest().to_string());
        registry.fail_requests(
            &format!("GET /v2/team/app/manifests/{}", document.digest()),
            0..9,
            Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        );
        let error = put(&registry, &document, announced).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("does not serve it as sha512:"), "{error}");
        assert!(registry.tagged("team/app", "long").is_none());
        assert_eq!(registry.server.requests().len(), 2);
    }
}

#[tokio::test]
async fn put_sha512_manifest_confirmed_by_registry_is_tagged() {
    let (registry, [image, _], _) = published().await;
    let document = long_named(&image);
    put(&registry, &document, Some(document.digest().to_string())).await.unwrap();
    assert_eq!(registry.server.count("PUT "), 2);
    assert_eq!(registry.server.count("GET "), 0, "its answer says so");
}

#[tokio::test]
async fn put_sha256_manifest_takes_one_request() {
    let (registry, [image, _], _) = published().await;
    let document =
        Document::from_response(image.manifest.bytes.clone(), &MediaType::OCI_MANIFEST, None)
            .unwrap();
    put(&registry, &document, None).await.unwrap();
    assert_eq!(registry.server.requests().len(), 1);
    let other = format!("sha256:{}", "0".repeat(64));
    let error = put(&registry, &document, Some(other)).await.unwrap_err();
    assert!(error.to_string().contains("the registry stored sha256:0000"), "{error}");
}

/// Copies three tags of one image and one of another with `--all-tags`; returns the PUT requests of manifests.
async fn copy_all_tags(to: &FakeRegistry) -> Vec<String> {
    let (from, [image, _], name) = published().await;
    for tag in ["a", "b"] {
        image.publish(&from, "team/app", Some(tag));
    }
    let target = to.repository("mine");
    Cli::new().run(&["copy", "--all-tags", &name, &target]).await.expect(0, "");
    for tag in ["1", "a", "b"] {
        assert_eq!(to.tagged("mine", tag).unwrap(), image.manifest.digest().as_str(), "{tag}");
    }
    assert!(to.tagged("mine", "2").is_some());
    let lines = to.server.lines().into_iter();
    lines.filter(|line| line.starts_with("PUT ") && line.contains("/manifests/")).collect()
}

#[tokio::test]
async fn copy_all_tags_puts_each_manifest_once() {
    let (to, plain) = (FakeRegistry::start().await, FakeRegistry::start().await);
    to.take_tags();
    let puts = copy_all_tags(&to).await;
    assert_eq!(puts.len(), 2, "{puts:?}");
    assert!(puts.iter().any(|line| line.contains("?tag=") && line.contains("&tag=")), "{puts:?}");
    // Other registries get the manifest, and each tag by itself.
    let puts = copy_all_tags(&plain).await;
    assert_eq!(puts.len(), 1 + 3 + 1, "{puts:?}");
}
