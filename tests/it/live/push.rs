//! Pushes to and copies between docker-registry and `rpull serve`; skopeo reads the result.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::certs::Certs;
use crate::support::cli::Cli;
use crate::support::http::Server;
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;
use crate::support::recorder;
use crate::support::serve_process::ServeProcess;
use crate::support::tokens::{Policy, TokenServer};

const REGISTRY: &[&str] = &["docker-registry", "skopeo", "dpkg"];

/// The location of an image in the layout of the real image.
fn layout(name: &str) -> String {
    format!("oci:{}:{name}", RealImage::get().layout().display())
}

/// The digest that skopeo resolves a name to.
fn digest_at(host: &str, name: &str) -> Value {
    let image = format!("docker://{host}/{name}");
    let output =
        Command::new("skopeo").args(["inspect", "--tls-verify=false", &image]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["Digest"].clone()
}

/// One of the two registries.
enum Kind {
    Debian(Live),
    /// And its store.
    ServedStore(Box<(ServeProcess, Cli)>),
}

impl Kind {
    fn host(&self) -> &str {
        match self {
            Self::Debian(registry) => registry.host(),
            Self::ServedStore(registry) => registry.0.host(),
        }
    }
}

/// Puts a recording proxy in front of a registry.
async fn in_front_of(registry: Kind) -> (Kind, Server) {
    let front = recorder::in_front_of(registry.host()).await;
    (registry, front)
}

async fn debian() -> (Kind, Server) {
    in_front_of(Kind::Debian(Live::start(&Access::Open))).await
}

async fn served() -> (Kind, Server) {
    let store = Cli::new();
    in_front_of(Kind::ServedStore(Box::new((ServeProcess::start(&store).await, store)))).await
}

type Registry = (Kind, Server);

/// Pairs of source and target registries.
async fn pairs() -> [(Registry, Registry); 3] {
    [
        (debian().await, debian().await),
        (debian().await, served().await),
        (served().await, debian().await),
    ]
}

/// Requests of a run, by method.
fn by_method(front: &Server) -> Value {
    let count =
        |method: &str| front.requests().iter().filter(|request| request.method == method).count();
    json!({"HEAD": count("HEAD"), "GET": count("GET"), "POST": count("POST"), "PUT": count("PUT")})
}

#[tokio::test]
async fn push_sends_fewest_requests() {
    if !needs("push_sends_fewest_requests", REGISTRY) {
        return;
    }
    check_requests(debian().await).await;
    check_requests(served().await).await;
}

async fn check_requests((registry, front): Registry) {
    let (image, cli) = (RealImage::get(), Cli::new());
    let host = front.host();
    for tag in ["v1", "v2"] {
        cli.run(&["copy", &layout(tag), &format!("store:app:{tag}")]).await.expect(0, "");
    }

    let push = async |cli: &Cli, tag: &str, name: &str| {
        front.forget();
        cli.report(&["push", "--json", &format!("app:{tag}"), &format!("{host}/{name}")]).await
    };
    let first = push(&cli, "v1", "team/app:1").await;
    assert_eq!(by_method(&front), json!({"HEAD": 1, "GET": 0, "POST": 4, "PUT": 5}));
    assert_eq!(first["requests"]["upload"], 8, "two for each blob");
    assert_eq!(first["bytes"]["transferred"], image.v1.size());
    assert_eq!(first["platforms"], json!(["linux/amd64"]));
    assert_eq!(digest_at(registry.host(), "team/app:1"), json!(image.v1.manifest.digest()));

    let again = push(&cli, "v1", "team/app:1").await;
    assert_eq!(front.lines(), ["HEAD /v2/team/app/manifests/1"], "the same digest");
    assert_eq!(again["bytes"]["shared"], image.v1.size());

    push(&cli, "v1", "team/app:also").await;
    assert_eq!(by_method(&front), json!({"HEAD": 1, "GET": 0, "POST": 0, "PUT": 1}));

    let next = push(&cli, "v2", "team/app:1").await;
    assert_eq!(
        by_method(&front),
        json!({"HEAD": 1, "GET": 0, "POST": 2, "PUT": 3}),
        "config and last layer are new, the former manifest is at hand"
    );
    let new = image.v2.config.descriptor.size + image.v2.layers[2].descriptor.size;
    assert_eq!(next["bytes"]["transferred"], new);

    push(&cli, "v1", "team/other:1").await;
    assert_eq!(
        by_method(&front),
        json!({"HEAD": 1, "GET": 0, "POST": 4, "PUT": 1}),
        "all are mounted"
    );
    let mounted = push(&cli, "v2", "more/other:1").await;
    assert_eq!(mounted["bytes"]["mounted"], image.v2.size());
    assert_eq!(mounted["blobs"][0]["from"], "team/app");

    let stranger = Cli::new();
    stranger.run(&["copy", &layout("v2"), "store:app:v2"]).await.expect(0, "");
    push(&stranger, "v2", "team/other:2").await;
    assert_eq!(
        by_method(&front),
        json!({"HEAD": 1, "GET": 0, "POST": 4, "PUT": 3}),
        "a new tag: two layers answer to a mount of their own repository, two blobs are sent"
    );
    assert_eq!(digest_at(registry.host(), "team/other:2"), json!(image.v2.manifest.digest()));
}

#[tokio::test]
async fn copy_between_all_locations_keeps_digest() {
    if !needs("copy_between_all_locations_keeps_digest", REGISTRY) {
        return;
    }
    for (from, to) in pairs().await {
        check_digest(from, to).await;
    }
}

async fn check_digest((one, _): Registry, (two, front): Registry) {
    let (image, cli) = (RealImage::get(), Cli::new());
    image.push("multi", &format!("{}/real:multi", one.host()), &["--dest-tls-verify=false"]);
    let (source, there) = (format!("{}/real:multi", one.host()), format!("{}/a/b:1", front.host()));
    let report = cli.json(&["copy", "--json", &source, &there]).await;
    let digest = json!(image.multi.document.digest());
    assert_eq!(report["digest"], digest);
    assert_eq!(report["bytes"]["transferred"], report["bytes"]["total"]);
    assert_eq!(report["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert!(!cli.store().exists(), "from registry to registry nothing touches the disk");
    front.forget();
    // The sizes come from the index and the four manifests that it lists.
    cli.run(&["copy", &source, &there]).await.expect(0, "(100 %), 6 requests");
    assert_eq!(front.lines().len(), 5, "the source, which may count them, is asked for the index");
    assert_eq!(front.lines()[0], "HEAD /v2/a/b/manifests/1");

    let mounted = cli.json(&["cp", "--json", &there, &format!("{}/c:1", front.host())]).await;
    assert_eq!(mounted["bytes"]["mounted"], mounted["bytes"]["total"]);
    for (from, to) in [(there.as_str(), "oci:out:x"), ("oci:out:x", "store:app:1")] {
        assert_eq!(cli.json(&["copy", "--json", from, to]).await["digest"], digest);
    }
    let back = format!("{}/back:1", one.host());
    assert_eq!(cli.report(&["push", "--json", "app:1", &back]).await["digest"], digest);
    let raw = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{}/a/b:1", two.host())])
        .output()
        .unwrap();
    assert_eq!(raw.stdout, image.multi.document.bytes);
}

#[tokio::test]
async fn push_platform_subset_makes_new_index() {
    if !needs("push_platform_subset_makes_new_index", REGISTRY) {
        return;
    }
    for (registry, _front) in [debian().await, served().await] {
        check_platforms(&registry).await;
    }
}

async fn check_platforms(registry: &Kind) {
    let (image, cli) = (RealImage::get(), Cli::new());
    let name = |tag: &str| format!("{}/real:{tag}", registry.host());
    let multi = layout("multi");
    let one = ["push", "--json", "--platform", "linux/arm64", &multi, &name("one")];
    let one = cli.report(&one).await;
    assert_eq!(one["manifest"], json!(image.multi.images[1].manifest.digest()));
    assert_eq!(digest_at(registry.host(), "real:one"), one["manifest"]);
    let both = ["--platform", "linux/arm64", "--platform", "linux/amd64"];
    let all = cli.report(&[&["push", "--json"], &both[..], &[&multi, &name("all")]].concat()).await;
    assert_eq!(all["manifest"], json!(image.multi.document.digest()), "nothing was left out");

    // The index of a pull names what was left out of it.
    let arm = ["--platform", "linux/arm64", "--platform", "linux/arm64/v8"];
    cli.run(&[&["pull"], &arm[..], &[&name("all")]].concat()).await.expect(0, "");
    cli.run(&["push", &name("all")])
        .await
        .expect(3, "manifests listed by its index are missing: linux/amd64, 2 attestations")
        .expect(3, "--platform");
    let few = name("few");
    let only = [&["push", "--json"], &arm[..], &[&multi, &few]].concat();
    let only = cli.report(&only).await;
    assert_ne!(only["manifest"], all["manifest"], "another index");
    assert_eq!(only["platforms"], json!(["linux/arm64"]));
    assert_eq!(cli.json(&["digest", "--json", &few]).await["digest"], only["manifest"]);
}

#[tokio::test]
async fn push_with_password_token_or_ca_succeeds() {
    let test = "push_with_password_token_or_ca_succeeds";
    if !needs(test, &[REGISTRY, &["htpasswd"]].concat()) {
        return;
    }
    let (image, certs, cli) = (RealImage::get(), Certs::new(), Cli::new());
    let registry = Live::start(&Access::Htpasswd(&certs));
    let target = format!("{}/team/real:v1", registry.host());
    let ca = certs.cert(Certs::CA).to_str().unwrap().to_owned();
    let (source, login) = (layout("v1"), ["--ca-file", &ca, "--creds", "user:pass"]);
    cli.run(&["push", "--ca-file", &ca, &source, &target]).await.expect(4, "no credentials found");
    let sent = cli.report(&[&["push", "--json"], &login[..], &[&source, &target]].concat()).await;
    assert_eq!(sent["digest"], json!(image.v1.manifest.digest()));
    assert_eq!(sent["requests"]["total"], 11, "Basic costs one refused request");

    let tokens = TokenServer::start(Policy { anonymous_pull: true, ..Policy::default() }).await;
    let registry = Live::start(&Access::Token(&tokens));
    let target = format!("{}/team/real:v1", registry.host());
    cli.run(&["push", &source, &target]).await.expect(4, "401 unauthorized");
    assert!(tokens.server.requests().iter().all(|request| request.query.contains("push")));
    tokens.server.forget();
    let login = ["--creds", "user:pass"];
    let sent = cli.report(&[&["push", "--json"], &login[..], &[&source, &target]].concat()).await;
    assert_eq!(sent["requests"]["total"], 12, "the 401 and the token");
    assert_eq!(tokens.server.requests().len(), 1, "one token for everything");
    let other = format!("{}/else/real:v1", registry.host());
    let copied = cli.json(&[&["copy", "--json"], &login[..], &[&target, &other]].concat()).await;
    assert_eq!(copied["bytes"]["mounted"], image.v1.size());
}

#[tokio::test]
async fn copy_all_tags_transfers_shared_base_once() {
    if !needs("copy_all_tags_transfers_shared_base_once", REGISTRY) {
        return;
    }
    for (from, to) in pairs().await {
        check_shared_base(from, to).await;
    }
}

async fn check_shared_base((one, from): Registry, (_two, to): Registry) {
    let (image, cli) = (RealImage::get(), Cli::new());
    for tag in ["v1", "v2"] {
        image.push(tag, &format!("{}/real:{tag}", one.host()), &["--dest-tls-verify=false"]);
    }
    let (source, target) = (format!("{}/real", from.host()), format!("{}/mirror/real", to.host()));
    // One request per blob, however slow this machine is.
    let copy = ["copy", "--json", "--all-tags", "--window", "0", &source, &target];
    let reports = cli.json(&copy).await;
    let names: Vec<&str> =
        reports.as_array().unwrap().iter().map(|one| one["reference"].as_str().unwrap()).collect();
    assert_eq!(names, [format!("{target}:v1"), format!("{target}:v2")]);
    // Three layers and a config, and of the second version the config and the last layer.
    assert_eq!(from.count("GET /v2/real/blobs/"), 4 + 2);
    assert_eq!(to.count("PUT /v2/mirror/real/blobs/"), 4 + 2);
    let new = image.v2.config.descriptor.size + image.v2.layers[2].descriptor.size;
    assert_eq!(reports[1]["bytes"]["transferred"], new);
    to.forget();
    let again = ["copy", "--all-tags", &source, &target];
    cli.run(&again).await.expect(0, "(100 %)");
    assert_eq!(to.lines().len(), 2, "a HEAD for each tag");
    let one_tag = ["copy", "--all-tags", &format!("{source}:v1"), &target];
    cli.run(&one_tag).await.expect(2, "");
    let one_tag = ["copy", "--all-tags", &source, &format!("{target}:v1")];
    cli.run(&one_tag).await.expect(2, "");
    cli.run(&["copy", "--all-tags", &source, "store:there"]).await.expect(0, "");
    assert_eq!(cli.run(&["images", "--json"]).await.stdout.matches("there:v").count(), 2);
}
