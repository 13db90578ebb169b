//! `referrers`: what is printed in each form, and the referrers of one platform.

use rpull::media::MediaType;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, index, layer};

const SBOM: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.example.signature";

/// An index with an SBOM of its arm64 image, and a signature of the SBOM.
async fn attached(cli: &Cli) -> (FakeRegistry, String, [String; 2]) {
    let registry = FakeRegistry::start().await;
    let of = |name: &str| image(Family::Oci, name, &[layer(&[(name, b"x")])]);
    let all = [("amd64", of("amd64")), ("arm64", of("arm64"))];
    index(Family::Oci, &all).publish(&registry, "app", "1");
    std::fs::write(cli.dir().join("f"), "f").unwrap();
    let name = registry.repository("app:1");
    let attach = async |to: &str, kind: &str, more: &[&str]| {
        let args = [&["artifact", "attach", "--json", "--artifact-type", kind, to, "f"], more];
        cli.json(&args.concat()).await["digest"].as_str().unwrap().to_owned()
    };
    let sbom = attach(&name, SBOM, &["--platform", "linux/arm64"]).await;
    let of_sbom = format!("{}@{sbom}", registry.repository("app"));
    let signature = attach(&of_sbom, SIGNATURE, &[]).await;
    (registry, name, [sbom, signature])
}

#[tokio::test]
async fn referrers_of_platform_are_listed_in_every_form() {
    let cli = Cli::new();
    let (_registry, name, [sbom, signature]) = attached(&cli).await;
    cli.run(&["referrers", &name]).await.expect(0, "no referrers of ");
    for place in ["oci:l:app", "store:app:1"] {
        cli.run(&["copy", "--referrers", &name, place]).await.expect(0, "");
    }
    for place in [name.as_str(), "oci:l:app", "store:app:1"] {
        let list = async |more: &[&str]| {
            let args = [&["referrers", "--platform", "linux/arm64", place], more].concat();
            cli.run(&args).await.expect(0, "").stdout.clone()
        };
        assert_eq!(list(&["-q"]).await, format!("{sbom}\n{signature}\n"), "{place}");
        let template = ["--format", "{{artifact_type}} {{digest}}"];
        let expected = format!("{SBOM} {sbom}\n{SIGNATURE} {signature}\n");
        assert_eq!(list(&template).await, expected);
        let document: serde_json::Value = serde_json::from_str(&list(&["--json"]).await).unwrap();
        assert_eq!(document["referrers"][0]["referrers"][0]["digest"], json!(signature));
        assert!(list(&[]).await.contains(&format!("└── {SBOM} {sbom}")));
    }
    let other = ["referrers", "--platform", "linux/amd64", "-q", &name];
    let none = cli.run(&other).await;
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", ""));
    let absent = cli.run(&["referrers", "--platform", "linux/s390x", &name]).await;
    absent.expect(3, "hint: select one with `--platform`");
}

#[tokio::test]
async fn referrers_without_one_of_the_type_name_it() {
    let cli = Cli::new();
    let (_registry, name, _) = attached(&cli).await;
    let kind = MediaType::OCI_LAYER;
    let list = ["referrers", "--artifact-type", kind.as_str(), &name];
    cli.run(&list).await.expect(0, &format!("no referrers of type {kind} of {name}"));
}
