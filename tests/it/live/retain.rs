//! `retain` at docker-registry, beside its garbage collection.

use crate::support::cli::Cli;
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;

const NEEDED: &[&str] = &["docker-registry", "skopeo", "dpkg"];

/// Pushes 1.0, and 2.0 with two platforms, which is also latest; both with a referrer.
async fn push(registry: &Live, cli: &Cli) -> String {
    let name = format!("{}/app", registry.host());
    let image = RealImage::get();
    for (from, tag) in [("v1", "1.0"), ("multi", "2.0"), ("multi", "latest")] {
        image.push(from, &format!("{name}:{tag}"), &["--dest-tls-verify=false"]);
    }
    std::fs::write(cli.dir().join("sbom.json"), "{}").unwrap();
    for tag in ["1.0", "2.0"] {
        let (to, kind) = (format!("{name}:{tag}"), "application/spdx+json");
        let attach = ["artifact", "attach", "--artifact-type", kind, &to, "sbom.json"];
        cli.run(&attach).await.expect(0, "");
    }
    name
}

#[tokio::test]
async fn retain_at_docker_registry_leaves_complete_images() {
    if !needs("retain_at_docker_registry_leaves_complete_images", NEEDED) {
        return;
    }
    let allowed = [("REGISTRY_STORAGE_DELETE_ENABLED", "true")];
    let (registry, cli) = (Live::start_with(&Access::Open, &allowed), Cli::new());
    let name = push(&registry, &cli).await;
    // 1.0 is the amd64 manifest of 2.0.
    let retain = ["retain", "--keep-tag", "2.*", "--yes", &name];
    let output = cli.run(&retain).await;
    output.expect(0, "kept, because their manifests are needed: 1.0, latest");
    output.expect(0, "deleted 0 tags and 0 manifests, kept ");
    cli.run(&["tag", &format!("docker://{name}:2.0"), &format!("docker://{name}:keep")])
        .await
        .expect(0, "");
    RealImage::get().push("v2", &format!("{name}:3.0"), &["--dest-tls-verify=false"]);

    let retain = ["retain", "--keep-tag", "keep", "--yes", &name];
    cli.run(&retain).await.expect(0, "deleted 1 tag and 1 manifest, kept ");
    registry.collect_garbage();
    let kept = format!("{name}:keep");
    cli.run(&["copy", "--referrers", &kept, "oci:copy"]).await.expect(0, "included 2 referrers");
    cli.run(&["verify", "oci:copy"]).await.expect(0, "");
    let tree = cli.json(&["referrers", "--json", &kept]).await;
    assert_eq!(tree["referrers"].as_array().unwrap().len(), 1, "{tree}");
    cli.run(&["digest", &format!("{name}:3.0")]).await.expect(3, "");
}

#[tokio::test]
async fn retain_at_docker_registry_without_deletion_says_how_to_allow_it() {
    if !needs("retain_at_docker_registry_without_deletion_says_how_to_allow_it", NEEDED) {
        return;
    }
    let refused = [("REGISTRY_STORAGE_DELETE_ENABLED", "false")];
    let (registry, cli) = (Live::start_with(&Access::Open, &refused), Cli::new());
    let name = push(&registry, &cli).await;
    let retain = ["retain", "--keep-tag", "1.0", "--yes", &name];
    let output = cli.run(&retain).await;
    output.expect(1, "this registry does not support deletion");
    output.expect(1, "REGISTRY_STORAGE_DELETE_ENABLED=true");
    cli.run(&["digest", &format!("{name}:2.0")]).await.expect(0, "");
}
