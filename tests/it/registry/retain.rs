//! `retain`: what is deleted from a repository, and what is kept.

use serde_json::{Value, json};

use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{
    Blob, Family, Image, Index, digest_tag_names, image, index, layer, random_blob, referrer_to,
    with_config,
};
use crate::support::terminal::Terminal;

const REPOSITORY: &str = "team/app";

fn app(architecture: &str, seed: u64) -> Image {
    image(Family::Oci, architecture, &[layer(&[("app", &random_blob(900, seed))])])
}

fn platforms(seed: u64) -> Index {
    index(Family::Oci, &[("amd64", app("amd64", seed)), ("arm64", app("arm64", seed))])
}

/// The tags 1.0, 1.1, 2.0 and latest, which is 2.0; and edge.
async fn repository() -> FakeRegistry {
    let registry = FakeRegistry::start().await;
    for (seed, tags) in [(1, &["1.0"][..]), (2, &["1.1"]), (3, &["2.0", "latest"]), (4, &["edge"])]
    {
        for tag in tags {
            app("amd64", seed).publish(&registry, REPOSITORY, Some(tag));
        }
    }
    registry
}

async fn retain(registry: &FakeRegistry, options: &[&str]) -> Output {
    let name = registry.repository(REPOSITORY);
    Cli::new().run(&[&["retain", &name], options].concat()).await
}

fn tags(registry: &FakeRegistry) -> Vec<String> {
    registry.tags_of(REPOSITORY).into_keys().collect()
}

fn printed(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap()
}

#[tokio::test]
async fn retain_keeps_highest_versions_and_patterns() {
    for deletes_tags in [true, false] {
        let registry = repository().await;
        if !deletes_tags {
            registry.refuse_tag_deletion();
        }
        let rules = ["--keep", "semver:2", "--keep-tag", "e*"];
        let plan = retain(&registry, &[&rules[..], &["--plan"]].concat()).await;
        plan.expect(0, "");
        let summary = "would delete 2 tags and 1 manifest, keep 3 tags; ";
        assert!(plan.stdout.contains(summary), "{}", plan.stdout);
        assert_eq!(registry.server.count("DELETE "), 0);

        let output = retain(&registry, &[&rules[..], &["--yes"]].concat()).await;
        let (name, shared) = (registry.repository(REPOSITORY), ["edge", "latest"]);
        if deletes_tags {
            output.expect(0, "deleted 2 tags and 1 manifest, kept 3 tags; ");
            assert_eq!(output.stdout, format!("{name}:1.0\n{name}:latest\n"));
            assert_eq!(tags(&registry), ["1.1", "2.0", "edge"]);
        } else {
            output.expect(
                0,
                "cannot delete a tag alone; kept, because their manifests are needed: latest",
            );
            assert_eq!(output.stdout, format!("{name}:1.0\n"));
            assert_eq!(tags(&registry), ["1.1", "2.0", shared[0], shared[1]]);
        }
        assert_eq!(registry.documents_of(REPOSITORY).len(), 3);
    }
}

#[tokio::test]
async fn retain_deletes_all_of_an_image_and_nothing_shared() {
    let registry = FakeRegistry::start().await;
    registry.list_referrers();
    let (old, new) = (platforms(1), platforms(2));
    // The old index shares a platform with the one that stays.
    let shared = [("amd64", new.images[0].clone()), ("arm64", app("arm64", 9))];
    let mixed = index(Family::Oci, &shared);
    for (one, tag) in [(&old, "1"), (&new, "2"), (&mixed, "1-mixed")] {
        one.publish(&registry, REPOSITORY, tag);
        let signature = referrer_to(&one.document, "a/signature");
        signature.publish(&registry, REPOSITORY, None);
        referrer_to(&signature.manifest, "a/timestamp").publish(&registry, REPOSITORY, None);
        referrer_to(&one.images[1].manifest, "a/sbom").publish(&registry, REPOSITORY, None);
        let [cosign, _] = digest_tag_names(one.document.digest().as_str());
        app("cosign", 7).publish(&registry, REPOSITORY, Some(&cosign));
    }
    let before = registry.documents_of(REPOSITORY).len();
    let output = retain(&registry, &["--keep-tag", "2", "--yes"]).await;
    // Of the old index: itself, two platforms, two attestations, three referrers; of the mixed one half of that.
    output.expect(0, "deleted 4 tags and 14 manifests, kept 2 tags; ");
    assert_eq!(before, 14 + 9);
    let [cosign, _] = digest_tag_names(new.document.digest().as_str());
    assert_eq!(tags(&registry), ["2", &cosign]);
    assert_eq!(registry.documents_of(REPOSITORY).len(), 9);
    // What is attached goes first, the children of an index last.
    let lines = registry.server.lines();
    let at = |blob: &Blob| {
        lines
            .iter()
            .rposition(|line| line.starts_with("DELETE") && line.contains(blob.digest().as_str()))
    };
    let signature = referrer_to(&old.document, "a/signature").manifest;
    assert!(at(&signature) < at(&old.document) && at(&old.document) < at(&old.images[0].manifest));
    retain(&registry, &["--keep-tag", "2", "--yes"]).await.expect(0, "deleted 0 tags");
}

#[tokio::test]
async fn tag_of_untagged_image_is_kept() {
    let registry = FakeRegistry::start().await;
    app("amd64", 1).publish(&registry, REPOSITORY, Some("1"));
    let untagged = app("amd64", 2);
    untagged.publish(&registry, REPOSITORY, None);
    for tag in digest_tag_names(untagged.manifest.digest().as_str()) {
        app("cosign", 3).publish(&registry, REPOSITORY, Some(&tag));
    }
    let output = retain(&registry, &["--keep-tag", "none", "--plan", "--json"]).await;
    let plan = printed(output.expect(0, ""));
    assert_eq!(plan["tags"].as_array().unwrap().len(), 3);
    assert_eq!((&plan["manifests"], &plan["tags"][0]["outcome"]), (&json!(1), &json!("delete")));
    for at in [1, 2] {
        assert_eq!(plan["tags"][at]["why"], "digest-tag", "{plan}");
    }
    let all = ["--keep-tag", "none", "--yes", "--max-delete", "1"];
    retain(&registry, &all).await.expect(0, "deleted 1 tag and");
    assert_eq!(tags(&registry).len(), 2);
}

#[tokio::test]
async fn image_of_unknown_age_is_retained() {
    let registry = FakeRegistry::start().await;
    let ago = |days: i64| (jiff::Timestamp::now() - jiff::Span::new().hours(24 * days)).to_string();
    for (seed, (tag, created)) in [
        ("new", Some(ago(10))),
        ("old", Some(ago(100))),
        ("old-index", Some(ago(200))),
        ("epoch", Some("1970-01-01T00:00:00Z".to_owned())),
        ("last-century", Some("1999-12-31T23:59:59Z".to_owned())),
        ("undated", None),
        ("old-release", Some(ago(300))),
    ]
    .into_iter()
    .enumerate()
    {
        let image = app("amd64", seed as u64);
        let mut config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        config["created"] = json!(created);
        let image = with_config(&image, &config);
        if tag == "old-index" {
            index(Family::Oci, &[("amd64", image)]).publish(&registry, REPOSITORY, tag);
        } else {
            image.publish(&registry, REPOSITORY, Some(tag));
        }
    }
    // An artifact has its age in an annotation.
    for (tag, created) in [("old-artifact", ago(100)), ("new-artifact", ago(1))] {
        let artifact = referrer_to(&app("amd64", 1).manifest, tag);
        let mut manifest: Value = serde_json::from_slice(&artifact.manifest.bytes).unwrap();
        manifest["annotations"] = json!({"org.opencontainers.image.created": created});
        manifest["subject"].take();
        let media_type = artifact.manifest.descriptor.media_type.clone();
        Blob::json(media_type, &manifest).publish(&registry, REPOSITORY, Some(tag));
    }
    let rules = ["--keep-age", "90d", "--keep-tag", "*-release", "--yes", "--json"];
    let output = retain(&registry, &rules).await;
    let report = printed(output.expect(0, ""));
    let why = report["tags"].as_array().unwrap().iter();
    let why: Vec<String> = why.map(|tag| format!("{} {}", tag["tag"], tag["why"])).collect();
    assert_eq!(
        why.join("\n").replace('"', ""),
        "epoch unknown-age\nlast-century unknown-age\nnew age\nnew-artifact age\nold null\n\
         old-artifact null\nold-index null\nold-release pattern\nundated unknown-age"
    );
    assert_eq!(
        tags(&registry),
        ["epoch", "last-century", "new", "new-artifact", "old-release", "undated"]
    );
}

#[tokio::test]
async fn retain_of_more_tags_than_allowed_deletes_none() {
    let registry = repository().await;
    let rules = ["--keep-tag", "edge", "--max-delete", "3"];
    let plan = retain(&registry, &[&rules[..], &["--plan"]].concat()).await;
    plan.expect(0, "nothing would be deleted: 4 tags to delete, more than `--max-delete 3`");
    let output = retain(&registry, &[&rules[..], &["--yes", "--json"]].concat()).await;
    output.expect(1, "allow them with `--max-delete 4`");
    assert_eq!(printed(&output)["stopped"], "max-delete");
    assert_eq!(registry.server.count("DELETE "), 0);
    retain(&registry, &["--keep-tag", "edge", "--max-delete", "4", "--yes"])
        .await
        .expect(0, "deleted 4 tags and 3 manifests, kept 1 tag");
}

#[tokio::test]
async fn retain_without_rule_or_confirmation_is_usage_error() {
    let registry = repository().await;
    retain(&registry, &["--yes"]).await.expect(2, "missing rule for what to keep");
    retain(&registry, &["--keep", "semver:1"]).await.expect(2, "pass `--yes`");
    for wrong in [["--keep", "5"], ["--keep-age", "90"], ["--keep-tag", "a b"]] {
        retain(&registry, &[&wrong[..], &["--yes"]].concat()).await.expect(2, wrong[1]);
    }
    let tagged = format!("{}:1.0", registry.repository(REPOSITORY));
    let cli = Cli::new();
    cli.run(&["retain", "--keep-tag", "1.0", "--yes", &tagged]).await.expect(2, "");
    assert!(registry.server.requests().is_empty());
    let missing = registry.repository("missing");
    cli.run(&["retain", "--keep-tag", "1.0", "--yes", &missing]).await.expect(3, "");
}

#[tokio::test]
async fn retain_on_terminal_asks_and_looks_again() {
    let (cli, terminal) = (Cli::new(), Terminal::open());
    for (answer, is_changed, code, message) in [
        ("\n", false, 1, "nothing was deleted"),
        ("y\n", true, 1, "the repository has changed meanwhile; nothing was deleted"),
        ("y\n", false, 0, "deleted 2 tags and 2 manifests, kept 3 tags"),
    ] {
        let registry = repository().await;
        if is_changed {
            // The second look finds another image under the tag.
            registry.override_response("GET /v2/team/app/manifests/1.0", 1..2, |_| {
                let Blob { descriptor, bytes } = app("amd64", 8).manifest;
                Reply::new(200, bytes).header("Content-Type", descriptor.media_type.as_str())
            });
        }
        let name = registry.repository(REPOSITORY);
        terminal.type_in(answer);
        let words = ["retain", "--keep", "semver:1", "--keep-tag", "[el]*", &name];
        let output = cli.spawn_on(terminal.screen(), &words).wait().await;
        output.expect(code, &format!("delete 2 tags and 2 manifests from {name}? [y/N]"));
        output.expect(code, message);
        output.expect(code, "keep: highest version");
        assert_eq!(registry.server.count("DELETE ") > 0, code == 0, "{answer:?}");
    }
}

#[tokio::test]
async fn retain_with_deletion_switched_off_says_how_to_allow_it() {
    let registry = repository().await;
    let refused = Reply::error(405, "UNSUPPORTED", "The operation is unsupported.");
    registry.fail_requests("DELETE ", 0..99, refused);
    let output = retain(&registry, &["--keep-tag", "edge", "--yes"]).await;
    output.expect(1, "this registry does not support deletion");
    output.expect(1, "REGISTRY_STORAGE_DELETE_ENABLED=true");
    output.expect(1, "deleted 0 tags and 0 manifests, kept 5 tags");
    assert_eq!(registry.server.count("DELETE "), 2, "a tag and a manifest");
}

#[tokio::test]
async fn retain_with_unreadable_tag_deletes_nothing() {
    for (reply, code) in [
        (
            Reply::new(200, "{}").header("Content-Type", "application/vnd.oci.image.index.v1+json"),
            5,
        ),
        (Reply::error(403, "DENIED", "no"), 4),
    ] {
        let registry = repository().await;
        registry.fail_requests("GET /v2/team/app/manifests/1.1", 0..99, reply);
        let output = retain(&registry, &["--keep-tag", "edge", "--yes", "--retries", "0"]).await;
        output.expect(code, "app:1.1");
        assert_eq!(registry.server.count("DELETE "), 0);
    }
    // A tag without a manifest needs nothing, and stays.
    let registry = repository().await;
    let missing = Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    registry.fail_requests("GET /v2/team/app/manifests/1.1", 0..99, missing);
    retain(&registry, &["--keep-tag", "edge", "--yes"]).await.expect(0, "deleted 3 tags and 2");
    assert_eq!(tags(&registry), ["1.1", "edge"]);
}

#[tokio::test]
async fn retain_with_failed_deletion_goes_on_and_next_run_completes() {
    let registry = repository().await;
    registry.fail_requests(
        "DELETE /v2/team/app/manifests/1.0",
        0..1,
        Reply::error(403, "DENIED", "no"),
    );
    let output = retain(&registry, &["--keep-tag", "edge", "--yes", "--json"]).await;
    let report = printed(output.expect(4, "error: 1.0: "));
    assert_eq!(
        (&report["tags"][0]["outcome"], &report["manifests"]),
        (&json!("failed"), &json!(2))
    );
    assert_eq!(report["error"]["kind"], "denied");
    assert_eq!(tags(&registry), ["1.0", "edge"]);
    retain(&registry, &["--keep-tag", "edge", "--yes"]).await.expect(0, "deleted 1 tag");
    assert_eq!(tags(&registry), ["edge"]);
}

#[tokio::test]
async fn retain_without_kept_tag_deletes_nothing() {
    let registry = repository().await;
    let misspelled = &["--keep-tag", "lates"][..];
    let output = retain(&registry, &[misspelled, &["--yes"]].concat()).await;
    output
        .expect(1, "the rules keep none of the tags")
        .expect(1, "`--max-delete 5` deletes the tags");
    let output = retain(&registry, &[misspelled, &["--plan"]].concat()).await;
    output.expect(0, "nothing would be deleted: retain: ");
    assert_eq!(registry.server.count("DELETE "), 0);
    let allowed = ["--yes", "--max-delete", "5"];
    retain(&registry, &[misspelled, &allowed].concat()).await.expect(0, "deleted 5 tags");
}

/// The specification does not say that the manifest stays: then `retain` deleted what it should keep.
#[tokio::test]
async fn retain_puts_back_manifest_deleted_with_tag() {
    let registry = repository().await;
    app("amd64", 3).publish(&registry, REPOSITORY, Some("old"));
    registry.delete_manifests_with_tags(REPOSITORY);
    let output = retain(&registry, &["--keep-tag", "2.0", "--yes"]).await;
    output.expect(0, "this registry deletes the manifest with a tag");
    output.expect(0, "kept, because their manifests are needed: old");
    assert_eq!(tags(&registry), ["2.0", "old"]);
    assert_eq!(registry.documents_of(REPOSITORY).len(), 1);
    retain(&registry, &["--keep-tag", "2.0", "--plan"]).await.expect(0, "");
}
