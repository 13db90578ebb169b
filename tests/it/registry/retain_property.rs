//! After `retain`, images that stay are complete: a random repository each time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{
    Blob, Family, Image, digest_tag_names, image, layer, random_blob, referrer_to,
};

const REPOSITORY: &str = "app";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What a repository has. Numbers refer to earlier manifests, modulo their count.
#[derive(Clone, Debug)]
struct Plan {
    /// Number of images of one platform.
    images: usize,
    /// What each index lists: images and earlier indexes.
    indexes: Vec<Vec<usize>>,
    /// Subjects of referrers: images, indexes and earlier referrers.
    referrers: Vec<usize>,
    /// Signed by digest tags.
    signed: Vec<usize>,
    /// What tags point to, and whether the rule keeps them.
    tags: Vec<(usize, bool)>,
    has_api: bool,
    deletes_tags: bool,
}

fn repository() -> impl Strategy<Value = Plan> {
    let some = |max| proptest::collection::vec(0_usize..99, 0..max);
    (
        1_usize..6,
        proptest::collection::vec(proptest::collection::vec(0_usize..99, 1..4), 0..4),
        some(5),
        some(3),
        proptest::collection::vec((0_usize..99, any::<bool>()), 1..8),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(images, indexes, referrers, signed, tags, has_api, deletes_tags)| Plan {
            images,
            indexes,
            referrers,
            signed,
            tags,
            has_api,
            deletes_tags,
        })
}

fn index_of(listed: &[&Blob], at: usize) -> Blob {
    let entries: Vec<Value> = listed
        .iter()
        .enumerate()
        .map(|(at, blob)| {
            let mut entry = serde_json::to_value(&blob.descriptor).unwrap();
            // Copies of one image need platforms of their own.
            entry["platform"] = json!({"os": "linux", "architecture": format!("arch{at}")});
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries,
                       "annotations": {"at": at.to_string()}});
    Blob::json(INDEX.into(), &index)
}

/// Publishes a plan, the referrers also under the tags of the tag schema. Returns all of its manifests.
async fn publish(plan: &Plan) -> FakeRegistry {
    let registry = FakeRegistry::start().await;
    let put = |blob: &Blob, tag: Option<&str>| blob.publish(&registry, REPOSITORY, tag);
    let mut manifests: Vec<Blob> = Vec::new();
    let publish_image =
        |image: &Image, tag: Option<&str>| image.publish(&registry, REPOSITORY, tag);
    for at in 0..plan.images {
        let one = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(50, at as u64))])]);
        publish_image(&one, None);
        manifests.push(one.manifest);
    }
    for (at, listed) in plan.indexes.iter().enumerate() {
        let listed: Vec<&Blob> = listed.iter().map(|at| &manifests[at % manifests.len()]).collect();
        let index = index_of(&listed, at);
        put(&index, None);
        manifests.push(index);
    }
    let mut lists: BTreeMap<String, Vec<Blob>> = BTreeMap::new();
    for (at, subject) in plan.referrers.iter().enumerate() {
        let subject = &manifests[subject % manifests.len()];
        let referrer = referrer_to(subject, &format!("a/{at}"));
        publish_image(&referrer, None);
        lists.entry(subject.digest().to_string()).or_default().push(referrer.manifest.clone());
        manifests.push(referrer.manifest);
    }
    if plan.has_api {
        registry.list_referrers();
    } else {
        for (subject, referrers) in &lists {
            let [_, tag] = digest_tag_names(subject);
            put(&index_of(&referrers.iter().collect::<Vec<_>>(), 0), Some(&tag));
        }
    }
    for (seed, at) in plan.signed.iter().enumerate() {
        let [tag, _] = digest_tag_names(manifests[at % manifests.len()].digest().as_str());
        let payload = layer(&[("payload", &random_blob(20, 1000 + seed as u64))]);
        publish_image(&image(Family::Oci, "signature", &[payload]), Some(&tag));
    }
    for (at, (manifest, is_kept)) in plan.tags.iter().enumerate() {
        let tag = format!("{}-{at}", if *is_kept { "keep" } else { "go" });
        put(&manifests[manifest % manifests.len()], Some(&tag));
    }
    if !plan.deletes_tags {
        registry.refuse_tag_deletion();
    }
    registry
}

/// The manifests that images with these digests need, by reading all manifests again and again.
fn needed(
    documents: &HashMap<String, Bytes>,
    tags: &BTreeMap<String, String>,
    kept: impl Iterator<Item = String>,
) -> BTreeSet<String> {
    let parsed: BTreeMap<&String, Value> = documents
        .iter()
        .map(|(digest, bytes)| (digest, serde_json::from_slice(bytes).unwrap()))
        .collect();
    let mut needed: BTreeSet<String> = kept.collect();
    loop {
        let before = needed.len();
        for (digest, document) in &parsed {
            let subject = document["subject"]["digest"].as_str().unwrap_or_default();
            if needed.contains(*digest) {
                let listed = document["manifests"].as_array().into_iter().flatten();
                let listed = listed.map(|entry| entry["digest"].as_str().unwrap().to_owned());
                needed.extend(listed);
            } else if needed.contains(subject) {
                needed.insert((*digest).clone());
            }
        }
        for digest in needed.clone() {
            let names = digest_tag_names(&digest);
            needed.extend(names.iter().filter_map(|tag| tags.get(tag).cloned()));
        }
        if needed.len() == before {
            return needed;
        }
    }
}

async fn check(plan: Plan) {
    let registry = publish(&plan).await;
    let (before, tags) = (registry.documents_of(REPOSITORY), registry.tags_of(REPOSITORY));
    let kept: BTreeMap<&String, &String> =
        tags.iter().filter(|(tag, _)| tag.starts_with("keep")).collect();
    let (cli, name) = (Cli::new(), registry.repository(REPOSITORY));
    let limit = tags.len().to_string();
    let options = ["retain", "--keep-tag", "keep*", "--yes", "--max-delete", &limit, &name];
    cli.run(&options).await.expect(0, "");
    let (after, left) = (registry.documents_of(REPOSITORY), registry.tags_of(REPOSITORY));
    for digest in needed(&before, &tags, kept.values().map(|digest| (*digest).clone())) {
        assert_eq!(after.get(&digest), before.get(&digest), "{digest} is needed: {plan:?}");
    }
    for (tag, digest) in &kept {
        assert_eq!(left.get(*tag), Some(*digest), "{tag}: {plan:?}");
        for belonging in digest_tag_names(digest) {
            assert_eq!(left.get(&belonging), tags.get(&belonging), "{belonging}: {plan:?}");
        }
    }
    let gone = left.keys().all(|tag| !tag.starts_with("go"));
    assert!(gone || !plan.deletes_tags, "{left:?}: {plan:?}");
    if !kept.is_empty() {
        let copy = ["copy", "--all-tags", "--referrers", "--digest-tags", &name, "oci:copy"];
        cli.run(&copy).await.expect(0, "");
        cli.run(&["verify", "oci:copy"]).await.expect(0, "");
    }
    // What stays needs nothing more to go.
    let requests = ["retain", "--keep-tag", "keep*", "--plan", "--json", &name];
    let plan_after = cli.json(&requests).await;
    assert_eq!(plan_after["manifests"], 0, "{plan_after}: {plan:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn retained_images_are_complete_and_listed(plan in repository()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(plan));
    }
}
