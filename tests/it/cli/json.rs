//! The JSON report of a pull for every outcome: the keys and types of the contract, and the sum of its bytes.

use bytes::Bytes;
use proptest::prelude::*;
use rpull::descriptor::Descriptor;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, image, index, layer, random_blob};
use crate::support::samples::published;

const HEAD: &[&str] =
    &["source", "target", "reference", "digest", "manifest", "media_type", "platforms"];

const BYTES: &[&str] = &["total", "transferred", "resumed", "mounted", "shared", "resent"];

const REQUESTS: &[&str] = &["total", "manifest", "blob", "upload", "token", "other"];

const BLOB: &[&str] =
    &["digest", "media_type", "size", "outcome", "transferred", "resumed", "resent", "from"];

#[track_caller]
fn assert_keys(value: &Value, keys: &[&str]) {
    let found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, keys, "{value}");
}

#[track_caller]
fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// The sum of a key over all blobs.
fn over(blobs: &[Value], key: &str) -> u64 {
    blobs.iter().map(|blob| number(blob, key)).sum()
}

/// Checks a report against the whole contract; `requests` is the number that the registry counted.
#[track_caller]
fn assert_contract(report: &Value, requests: usize) {
    let finished = report.get("error").is_none();
    let error: &[&str] = if finished { &[] } else { &["error"] };
    assert_keys(report, &[HEAD, &["bytes", "requests", "elapsed_ms", "blobs"], error].concat());
    if !finished {
        assert_keys(&report["error"], &["kind", "message"]);
    }
    let (bytes, blobs) = (&report["bytes"], report["blobs"].as_array().unwrap());
    let missing = number_or_none(bytes, "missing");
    assert!(missing == 0 || !finished, "only a failed run misses something: {report}");
    let more: &[&str] = if missing > 0 { &["missing"] } else { &[] };
    assert_keys(bytes, &[BYTES, more].concat());
    let parts = ["transferred", "resumed", "mounted", "shared"].map(|part| number(bytes, part));
    assert_eq!(number(bytes, "total"), parts.iter().sum::<u64>() + missing, "the law: {report}");
    for key in ["transferred", "resumed", "resent"] {
        assert_eq!(number(bytes, key), over(blobs, key), "{key}: {report}");
    }
    let counted: Vec<Value> =
        blobs.iter().filter(|blob| blob["outcome"] != "skipped").cloned().collect();
    assert_eq!(number(bytes, "total"), over(&counted, "size"));
    for blob in blobs {
        assert_blob(blob);
    }
    assert_keys(&report["requests"], REQUESTS);
    let endpoints = REQUESTS[1..].iter().map(|key| number(&report["requests"], key));
    assert_eq!(number(&report["requests"], "total"), endpoints.sum::<u64>());
    // A request that was sent when a run ended may not have arrived.
    let sent = number(&report["requests"], "total");
    let seen = requests as u64;
    assert!(if finished { sent == seen } else { sent >= seen }, "{seen} seen: {report}");
    number(report, "elapsed_ms");
}

fn number_or_none(value: &Value, key: &str) -> u64 {
    value.get(key).map_or(0, |found| found.as_u64().unwrap())
}

#[track_caller]
fn assert_blob(blob: &Value) {
    assert_keys(blob, BLOB);
    let [size, transferred, resumed] =
        ["size", "transferred", "resumed"].map(|key| number(blob, key));
    let whole = transferred + resumed == size;
    assert!(
        match blob["outcome"].as_str().unwrap() {
            "transferred" => whole && resumed == 0,
            "resumed" => whole && resumed > 0,
            "shared" | "skipped" => transferred + resumed == 0,
            "missing" => transferred + resumed < size,
            _ => false,
        },
        "{blob}"
    );
    assert!(blob["from"].is_null() || blob["from"] == "inline", "{blob}");
}

/// Pulls with `--json`, and checks the report of success or failure.
async fn pull(registry: &FakeRegistry, cli: &Cli, words: &[&str]) -> Value {
    registry.server.forget_ended_runs().await;
    let output = cli.run(&[&["pull", "--json"], words].concat()).await;
    let mut report: Value = serde_json::from_str(&output.stdout).unwrap();
    if let [one] = report.as_array().unwrap().as_slice() {
        report = one.clone();
        assert_contract(&report, registry.server.requests().len());
        assert_eq!(output.code() == Some(0), report.get("error").is_none(), "{}", output.stderr);
    }
    report
}

fn outcomes(report: &Value) -> Vec<&str> {
    report["blobs"].as_array().unwrap().iter().map(|b| b["outcome"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn report_json_of_every_outcome_keeps_contract() {
    let (registry, [first, second], name) = published().await;
    let (cli, v1, v2) = (Cli::new(), format!("{name}:1"), format!("{name}:2"));
    let base = &first.layers[0];
    // A run that fails in the middle of a blob.
    registry
        .override_response(base.digest().as_str(), 0..3, |reply| reply.fault(Fault::Cut(7_000)));
    let failed = pull(&registry, &cli, &["--retries", "0", &v1]).await;
    assert_eq!((&failed["error"]["kind"], outcomes(&failed)[1]), (&json!("transport"), "missing"));
    // The next run resumes there, is cut once more, and completes.
    let healed = pull(&registry, &cli, &[&v1]).await;
    assert_eq!(healed["blobs"][1]["outcome"], "resumed");
    assert_eq!(number(&healed["blobs"][1], "resumed"), 7_000);
    assert_eq!(outcomes(&pull(&registry, &cli, &[&v1]).await), ["shared"; 3]);
    assert_eq!(
        outcomes(&pull(&registry, &cli, &[&v2]).await),
        ["transferred", "shared", "transferred"]
    );

    // A registry that ignores ranges sends the prefix again.
    let (cli, whole) = (Cli::new(), second.layers[0].bytes.clone());
    registry
        .override_response(base.digest().as_str(), 0..1, |reply| reply.fault(Fault::Cut(7_000)));
    registry
        .override_response(base.digest().as_str(), 1..2, move |_| Reply::new(200, whole.clone()));
    let resent = pull(&registry, &cli, &[&v2]).await;
    assert_eq!((number(&resent["bytes"], "resent"), outcomes(&resent)[1]), (7_000, "transferred"));

    let wrong: Bytes = random_blob(base.bytes.len(), 77).into();
    registry
        .override_response(base.digest().as_str(), 0..9, move |_| Reply::new(200, wrong.clone()));
    let wrong = pull(&registry, &Cli::new(), &[&v1]).await;
    assert_eq!(wrong["error"]["kind"], "mismatch");
    assert_eq!(number(&wrong["blobs"][1], "resent"), base.descriptor.size);
    let missing = pull(&registry, &Cli::new(), &[&format!("{name}:none")]).await;
    assert_eq!(
        (&missing["error"]["kind"], &missing["digest"]),
        (&json!("not_found"), &Value::Null)
    );
}

#[tokio::test]
async fn plan_json_has_same_head_as_report() {
    let (registry, _, name) = published().await;
    let (cli, known, unknown) = (Cli::new(), format!("{name}:1"), format!("{name}:none"));
    let heads = async |words: &[&str], names: &[&str]| {
        let output = cli.run(&[words, names].concat()).await;
        let values: Value = serde_json::from_str(&output.stdout).unwrap();
        let head = |value: &Value| {
            let head = HEAD.iter().map(|key| (*key, value[key].clone())).collect::<Vec<_>>();
            (head, value.get("error").cloned())
        };
        values.as_array().unwrap().iter().map(head).collect::<Vec<_>>()
    };
    let names = [known.as_str(), &unknown];
    let cold = heads(&["--json", "--plan"], &names).await;
    let pulled = heads(&["--json"], &names).await;
    assert_eq!(pulled, heads(&["--json", "--plan"], &names).await);
    assert_eq!(pulled[0].0[6].1, json!(["linux/amd64"]));
    assert_eq!(
        pulled[1].0[3..],
        [
            ("digest", Value::Null),
            ("manifest", Value::Null),
            ("media_type", Value::Null),
            ("platforms", json!([]))
        ]
    );
    assert_eq!(cold[1], pulled[1]);
    assert_eq!(cold[0].0[6].1, json!([]), "for the config nothing is asked");
    assert_eq!(cold[0].0[..6], pulled[0].0[..6]);
    assert_eq!(registry.server.count("/blobs/"), 3);
}

/// An image whose manifest is changed before it is published.
fn published_with(registry: &FakeRegistry, image: &Image, change: impl Fn(&mut Value)) {
    image.publish(registry, "odd", None);
    let mut manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    change(&mut manifest);
    let media_type = image.manifest.descriptor.media_type.as_str();
    registry.document("odd", Some("1"), media_type, manifest.to_string());
}

#[tokio::test]
async fn report_json_of_unusual_blobs_keeps_contract() {
    let registry = FakeRegistry::start().await;
    let layers = [1, 2, 3].map(|seed| layer(&[("a", &random_blob(2_000, seed))]));
    let held = image(Family::Docker, "amd64", &layers);
    let empty =
        json!(Descriptor::for_bytes("application/vnd.docker.image.rootfs.diff.tar".into(), b""));
    registry.blob("odd", "");
    published_with(&registry, &held, |manifest| {
        let config = base64_of(&held.config.bytes);
        manifest["config"]["data"] = json!(config);
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        manifest["layers"][1]["mediaType"] = json!(foreign);
        manifest["layers"][1]["urls"] = json!(["http://127.0.0.1:1/layer"]);
        let again = manifest["layers"][0].clone();
        manifest["layers"].as_array_mut().unwrap().extend([again, empty.clone()]);
    });
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("odd")));
    let report = pull(&registry, &cli, &[&name]).await;
    let expected = ["shared", "transferred", "skipped", "transferred", "transferred"];
    assert_eq!(outcomes(&report), expected, "{report}");
    assert_eq!(report["blobs"][0]["from"], "inline");
    assert_eq!(registry.server.count("/blobs/"), 2, "nothing is asked for an empty blob");
    let again = pull(&registry, &cli, &[&name]).await;
    assert_eq!(outcomes(&again), ["shared", "shared", "skipped", "shared", "shared"]);
    let told = cli.run(&[&name]).await;
    told.expect(
        0,
        "1 foreign layer was skipped\nhint: include foreign layers with `--foreign-layers`",
    );
    registry.blob("odd", held.layers[1].bytes.clone());
    let words = ["copy", "--foreign-layers", &name, "oci:x"];
    assert!(!cli.run(&words).await.expect(0, "").stderr.contains("skipped"));
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn plan_json_predicts_report() {
    let (registry, [first, _], name) = published().await;
    let (cli, v1) = (Cli::new(), format!("{name}:1"));
    let digest = first.layers[0].digest().to_string();
    registry.override_response(&digest, 0..1, |reply| reply.fault(Fault::Cut(7_000)));
    pull(&registry, &cli, &["--retries", "0", &v1]).await;
    let plan = cli.report(&["--plan", "--json", &v1]).await;
    assert_keys(&plan, &[HEAD, &["bytes", "blobs"]].concat());
    assert_keys(&plan["bytes"], &["total", "shared", "mountable", "partial", "missing"]);
    let bytes = |key| number(&plan["bytes"], key);
    assert_eq!((bytes("partial"), bytes("total")), (7_000, first.size()));
    let parts = ["shared", "mountable", "partial", "missing"].map(bytes);
    assert_eq!(parts.iter().sum::<u64>(), first.size());
    for blob in plan["blobs"].as_array().unwrap() {
        assert_keys(blob, &["digest", "media_type", "size", "state"]);
    }
    assert_eq!(plan["blobs"][1]["state"], "partial");
    let report = pull(&registry, &cli, &[&v1]).await;
    for (said, did) in [("partial", "resumed"), ("missing", "transferred"), ("shared", "shared")] {
        assert_eq!(bytes(said), number(&report["bytes"], did), "what the plan said: {report}");
    }
}

#[tokio::test]
async fn pull_tag_with_digest_fetches_digest_keeps_tag() {
    let (registry, [first, _], name) = published().await;
    let (cli, digest) = (Cli::new(), first.manifest.digest());
    // The tag names another manifest by now; the digest decides.
    let pinned = format!("{name}:2@{digest}");
    let output = cli.run(&[&pinned]).await;
    assert_eq!(output.expect(0, "").stdout, format!("{pinned}\n"));
    assert_eq!(registry.server.lines()[0], format!("GET /v2/team/app/manifests/{digest}"));
    let listed = cli.json(&["images", "--json"]).await;
    assert_eq!(listed[0]["reference"], format!("{name}:2"));
    registry.server.forget();
    let warm = pull(&registry, &cli, &[&pinned]).await;
    assert_eq!(number(&warm["requests"], "total"), 0);
}

#[tokio::test]
async fn pull_several_images_failed_one_keeps_others() {
    let registry = FakeRegistry::start().await;
    let shared = layer(&[("base", &random_blob(9_000, 1))]);
    let of = |seed| {
        image(Family::Oci, "amd64", &[shared.clone(), layer(&[("a", &random_blob(900, seed))])])
    };
    let (bad, good, odd) = (of(2), of(3), of(4));
    good.publish(&registry, "good", Some("1"));
    // This registry has the manifest and none of the layers.
    let media_type = bad.manifest.descriptor.media_type.as_str();
    registry.blob("bad", bad.config.bytes.clone());
    registry.document("bad", Some("1"), media_type, bad.manifest.bytes.clone());
    // This manifest has a wrong size for a layer that all images share.
    odd.publish(&registry, "liar", None);
    let mut manifest: Value = serde_json::from_slice(&odd.manifest.bytes).unwrap();
    manifest["layers"][0]["size"] = json!(odd.layers[0].descriptor.size - 1);
    registry.document("liar", Some("1"), media_type, manifest.to_string());
    let [bad, liar, good_name] =
        ["bad", "liar", "good"].map(|name| registry.repository(name) + ":1");
    for order in [[&bad, &liar, &good_name], [&good_name, &liar, &bad]] {
        let cli = Cli::new();
        let reports = pull(&registry, &cli, &order.map(String::as_str)).await;
        for report in reports.as_array().unwrap() {
            let failed = report["error"]["kind"].as_str();
            let name = report["reference"].as_str().unwrap();
            let expected = match name {
                name if name == bad => Some("not_found"),
                name if name == liar => Some("mismatch"),
                _ => None,
            };
            assert_eq!(failed, expected, "{name} of {order:?}: {reports}");
            let sum = ["transferred", "resumed", "shared"].map(|key| number(&report["bytes"], key));
            let missing = number_or_none(&report["bytes"], "missing");
            assert_eq!(number(&report["bytes"], "total"), sum.iter().sum::<u64>() + missing);
        }
        assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
        let listed = cli.json(&["images", "--json"]).await;
        assert_eq!(listed.as_array().unwrap().len(), 1);
        cli.run(&["--offline", "-q", &good_name]).await.expect(0, "");
    }
}

#[tokio::test]
async fn pull_same_image_twice_counts_once() {
    let registry = FakeRegistry::start().await;
    let of = |name: &str| image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])]);
    let both = index(Family::Oci, &[("amd64", of("amd64")), ("arm64", of("arm64"))]);
    both.publish(&registry, "a", "1");
    let name = registry.repository("a") + ":1";
    let pinned = format!("{}@{}", registry.repository("a"), both.document.digest());
    let reports =
        pull(&registry, &Cli::new(), &["--platform", "linux/arm64", &name, &pinned]).await;
    let [first, second] = reports.as_array().unwrap().as_slice() else { panic!("{reports}") };
    assert_eq!(outcomes(first), ["transferred"; 2]);
    assert_eq!(outcomes(second), ["shared"; 2]);
    assert_eq!(first["digest"], second["digest"]);
    let cold = pull(&registry, &Cli::new(), &["--platform", "linux/amd64", &name]).await;
    assert_eq!(number(&cold["requests"], "total"), 2 + 2, "index, manifest and each blob");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// For any cuts and any earlier content the bytes add up, and the second run completes.
    #[test]
    fn report_json_bytes_add_up_for_any_cut(
        sizes in proptest::collection::vec(0_usize..40_000, 1..4),
        cuts in proptest::collection::vec((0_usize..4, 0_usize..40_000), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let registry = FakeRegistry::start().await;
            let layers: Vec<_> = (1..).zip(&sizes).map(|(seed, size)| layer(&[("a", &random_blob(*size, seed))])).collect();
            let held = image(Family::Oci, "amd64", &layers);
            held.publish(&registry, "a", Some("1"));
            for (number, (blob, at)) in cuts.iter().enumerate() {
                let digest = held.blobs().nth(blob % (layers.len() + 1)).unwrap().digest().to_string();
                let at = *at;
                registry.override_response(&digest, number..number + 1, move |reply| {
                    // At least one byte is missing: after a complete response the client may send its next
                    // request into the closing connection; it counts it, and the server never receives it.
                    let at = at.min(reply.body.len().saturating_sub(1));
                    reply.fault(Fault::Cut(at))
                });
            }
            let (cli, name) = (Cli::new(), registry.repository("a") + ":1");
            pull(&registry, &cli, &["--retries", "1", &name]).await;
            let report = pull(&registry, &cli, &["--retries", "9", &name]).await;
            assert!(report.get("error").is_none(), "{report}");
            assert_eq!(number(&report["bytes"], "total"), held.size());
            assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
        });
    }
}
