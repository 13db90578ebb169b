//! Tags at targets that the file no longer selects.

use serde_json::Value;

use super::{Fleet, app, names};
use crate::support::http::Reply;
use crate::support::images::{digest_tag_names, referrer_to};

/// Mirrors all tags, and then selects only 1.1 and latest. The target has other tags and repositories, too.
async fn fleet_with_less() -> Fleet {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    fleet.run(&[]).await.expect(0, "");
    for (repository, tag) in [("m/a", "own"), ("m/a", "own-too"), ("m/other", "own")] {
        app("arm64", 8).publish(&fleet.to, repository, Some(tag));
    }
    fleet.write("mirror: [{from: FROM/team/a, to: 'TO/m/a', tags: ['1.1', latest]}]");
    fleet
}

#[tokio::test]
async fn delete_removes_unselected_tags() {
    for deletes_tags in [true, false] {
        let fleet = fleet_with_less().await;
        if !deletes_tags {
            fleet.to.refuse_tag_deletion();
        }
        let output = fleet.run(&["--delete", "--max-delete", "3"]).await;
        output.expect(0, "mirrored 2 images (2 unchanged), deleted 3 tags; ");
        assert_eq!(names(&output), ["m/a:1.1", "m/a:latest"]);
        assert!(output.stderr.contains("/m/a:own-too\n"), "{}", output.stderr);
        for tag in ["1.0", "own", "own-too"] {
            assert_eq!(fleet.to.tagged("m/a", tag), None, "{tag}");
        }
        for (repository, tag) in
            [("m/a", "1.1"), ("m/a", "latest"), ("m/b", "1.0"), ("m/other", "own")]
        {
            assert!(fleet.to.tagged(repository, tag).is_some(), "{repository}:{tag}");
        }
        fleet
            .run(&["--delete"])
            .await
            .expect(0, "mirrored 2 images (2 unchanged); nothing to transfer, ");
    }
}

#[tokio::test]
async fn delete_of_more_tags_than_allowed_deletes_none() {
    let fleet = fleet_with_less().await;
    app("amd64", 9).publish(&fleet.from, "team/a", Some("latest"));
    for options in [&["--delete"][..], &["--delete", "--max-delete", "2"]] {
        let output = fleet.run(options).await;
        output.expect(1, "error: nothing was deleted: 3 tags to delete, more than `--max-delete");
        output.expect(1, "allow them with `--max-delete 3`");
        assert_eq!(fleet.to.server.count("DELETE "), 0);
    }
    assert_eq!(fleet.to.tagged("m/a", "latest"), fleet.from.tagged("team/a", "latest"));
    fleet.run(&["--max-delete", "2"]).await.expect(2, "--delete");
}

#[tokio::test]
async fn delete_is_shown_in_plan() {
    let fleet = fleet_with_less().await;
    let output = fleet.run(&["--plan", "--delete"]).await;
    output.expect(0, "warning: nothing would be deleted: 3 tags to delete");
    output.expect(0, "hint: look at them with `--plan`, and allow them with `--max-delete 3`");
    assert!(output.stdout.contains("(2 unchanged), delete nothing; "), "{}", output.stdout);
    assert_eq!(output.stdout.lines().filter(|line| line.ends_with(" not selected")).count(), 3);
    let output = fleet.run(&["--plan", "--delete", "--max-delete", "3"]).await;
    assert!(
        output.stdout.contains("(2 unchanged), delete 3 tags; nothing to transfer, "),
        "{}",
        output.stdout
    );
    assert_eq!(output.stdout.lines().filter(|line| line.ends_with(" delete")).count(), 3);
    let output = fleet.run(&["--plan", "--delete", "--max-delete", "3", "--json"]).await;
    let deleted = output.expect(0, "").stdout.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["outcome"] == "delete").then(|| line["reference"].as_str().unwrap().to_owned())
    });
    assert_eq!(deleted.count(), 3, "{}", output.stdout);
    assert!(fleet.sent().iter().all(|line| !line.starts_with("DELETE")), "{:?}", fleet.sent());
}

#[tokio::test]
async fn immutable_and_digest_tags_are_not_deleted() {
    let fleet = fleet_with_less().await;
    let digest = fleet.to.tagged("m/a", "1.0").unwrap();
    for tag in digest_tag_names(&digest) {
        app("arm64", 8).publish(&fleet.to, "m/a", Some(&tag));
    }
    fleet.write(
        "mirror: [{from: FROM/team/a, to: 'TO/m/a', tags: [latest], immutable: ['1.*', own]}]",
    );
    fleet.run(&["--delete", "--max-delete", "1"]).await.expect(0, "deleted 1 tag; ");
    assert_eq!(fleet.to.tagged("m/a", "own-too"), None);
    for tag in ["1.0", "1.1", "own"] {
        assert!(fleet.to.tagged("m/a", tag).is_some(), "{tag}");
    }
    fleet.write(
        "mirror: [{from: FROM/team/a, to: 'TO/m/a:o{{tag}}', tags: [latest], immutable: ['wn']}]",
    );
    fleet.run(&["--delete", "--max-delete", "9"]).await.expect(0, "deleted 3 tags; ");
    assert!(fleet.to.tagged("m/a", "own").is_some(), "renamed");
    for tag in digest_tag_names(&digest) {
        assert!(fleet.to.tagged("m/a", &tag).is_some(), "{tag}");
    }
}

#[tokio::test]
async fn nothing_is_deleted_if_source_cannot_be_listed() {
    let fleet = fleet_with_less().await;
    fleet.write("mirror: [{from: FROM/team/a, to: 'TO/m/a'}, {from: FROM/team/b, to: 'TO/m/b'}]");
    let denied = Reply::error(403, "DENIED", "no");
    fleet.from.fail_requests("GET /v2/team/b/tags/list", 0..9, denied);
    let output = fleet.run(&["--delete", "--max-delete", "9", "--retries", "0"]).await;
    output.expect(4, "warning: nothing is deleted, because not all images of the file are known");
    assert_eq!(fleet.to.server.count("DELETE "), 0);
}

#[tokio::test]
async fn repository_without_selected_tag_is_emptied() {
    let fleet = fleet_with_less().await;
    fleet.write("mirror: [{from: FROM/team/a, to: 'TO/m/a', tags: {semver: '>=7'}}]");
    fleet.run(&["--delete"]).await.expect(1, "5 tags to delete");
    fleet.run(&["--delete", "--max-delete", "5"]).await.expect(0, "deleted 5 tags");
    assert!(fleet.to.tagged("m/b", "1.0").is_some());
}

#[tokio::test]
async fn delete_removes_unselected_names_of_layouts() {
    let fleet = fleet_with_less().await;
    fleet.write("mirror: [{from: FROM/team/a, to: 'oci:full'}, {from: FROM/team/a, to: 'oci:short:v{{tag}}'}]");
    fleet.run(&["--delete"]).await.expect(0, "mirrored 6 images (0 unchanged); ");
    fleet.write(
        "defaults: {tags: ['1.1'], immutable: ['1.0']}
mirror:
- {from: FROM/team/a, to: 'oci:full', immutable: []}
- {from: FROM/team/b, to: 'oci:./full', tags: ['1.0'], immutable: []}
- {from: FROM/team/a, to: 'oci:short:v{{tag}}'}
- {from: FROM/team/b, to: 'oci:missing', tags: {semver: '>=7'}}
",
    );
    let plan = fleet.run(&["--delete", "--plan"]).await;
    plan.expect(0, "nothing would be deleted: 3 tags to delete");
    assert!(plan.stdout.contains("oci:short:vlatest"), "{}", plan.stdout);
    // The new image is mirrored nevertheless.
    fleet.run(&["--delete"]).await.expect(1, "allow them with `--max-delete 3`");
    let output = fleet.run(&["--delete", "--max-delete", "3", "--json"]).await;
    output.expect(0, "mirrored 3 images (3 unchanged), deleted 3 tags; ");
    assert_eq!(names_in(&fleet, "full"), ["team/a:1.1", "team/b:1.0"]);
    assert_eq!(names_in(&fleet, "short"), ["v1.0", "v1.1"]);
    fleet.run(&["--delete"]).await.expect(0, "mirrored 3 images (3 unchanged); ");
    let verify = ["verify", "oci:full", "oci:short"];
    fleet.cli.run(&verify).await.expect(0, "");
}

/// The sorted names of a layout, without the registry.
fn names_in(fleet: &Fleet, layout: &str) -> Vec<String> {
    let index = std::fs::read(fleet.cli.dir().join(layout).join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter();
    let name = |entry: &Value| {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str();
        let name = name.unwrap();
        name.split_once('/').map_or(name, |(_, name)| name).to_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// Referrers have names in a layout, which no entry selects, so `--delete` deleted the signatures of images that stay.
#[tokio::test]
async fn referrers_in_layout_stay_with_their_images() {
    let fleet = Fleet::start().await;
    fleet.from.list_referrers();
    for seed in [2, 3] {
        let signature = referrer_to(&app("amd64", seed).manifest, "a/signature");
        signature.publish(&fleet.from, "team/a", None);
    }
    let file = "mirror: [{from: FROM/team/a, to: 'oci:l', referrers: true, tags: [TAGS]}]";
    fleet.write(&file.replace("TAGS", "'1.0', '1.1'"));
    fleet.run(&["--delete"]).await.expect(0, "mirrored 2 images");
    fleet.run(&["--delete"]).await.expect(0, "mirrored 2 images");
    assert_eq!(names_in(&fleet, "l").len(), 4);
    fleet.write(&file.replace("TAGS", "'1.1'"));
    fleet.run(&["--delete", "--max-delete", "1"]).await.expect(0, "deleted 1 tag; ");
    fleet.cli.run(&["prune", "--store", "l"]).await.expect(0, "");
    let [image, signature] = &names_in(&fleet, "l")[..] else {
        panic!("one image with one referrer")
    };
    let kept = referrer_to(&app("amd64", 3).manifest, "a/signature").manifest.digest().to_string();
    assert_eq!((image.as_str(), signature.ends_with(&kept)), ("team/a:1.1", true), "{signature}");
}

#[tokio::test]
async fn nothing_is_deleted_where_an_image_failed() {
    let fleet = fleet_with_less().await;
    fleet.write(
        "mirror:
- {from: FROM/team/a, to: ['TO/m/a', 'oci:l'], tags: ['1.1', latest]}
- {from: FROM/team/b, to: 'TO/m/b', tags: ['1.0']}
",
    );
    app("arm64", 8).publish(&fleet.to, "m/b", Some("old"));
    fleet.run(&[]).await.expect(0, "mirrored 5 images");
    fleet.write(
        "mirror:
- {from: FROM/team/a, to: ['TO/m/a', 'oci:./l'], tags: [gone]}
- {from: FROM/team/b, to: 'TO/m/b', tags: ['1.0']}
",
    );
    let output = fleet.run(&["--delete", "--max-delete", "9"]).await;
    output.expect(3, "mirrored 1 of 3 images (1 unchanged), deleted 1 tag; ");
    for target in [format!("{}/m/a", fleet.to.server.host()), "oci:./l".to_owned()] {
        let warning = format!("nothing is deleted from {target}, because an image for it failed");
        output.expect(3, &warning);
    }
    assert!(fleet.to.tagged("m/a", "1.1").is_some() && fleet.to.tagged("m/b", "old").is_none());
    assert_eq!(names_in(&fleet, "l"), ["team/a:1.1", "team/a:latest"]);
}

/// The specification does not say that the manifest stays: then `--delete` deleted the images of other tags.
#[tokio::test]
async fn manifest_deleted_with_tag_is_put_back_for_other_tags() {
    let fleet = fleet_with_less().await;
    let shared = fleet.to.tagged("m/a", "1.0").unwrap();
    app("amd64", 2).publish(&fleet.to, "m/a", Some("2.0"));
    app("amd64", 2).publish(&fleet.to, "m/a", Some("3.0"));
    assert_eq!(fleet.to.tagged("m/a", "2.0"), Some(shared.clone()));
    fleet.to.delete_manifests_with_tags("m/a");
    fleet.write(
        "mirror: [{from: FROM/team/a, to: 'TO/m/a', tags: ['1.1', latest], immutable: ['2.0']}]",
    );
    let output = fleet.run(&["--delete", "--max-delete", "9"]).await;
    output.expect(0, "this registry deletes the manifest with a tag; ");
    output.expect(0, "deleted 4 tags; ");
    let left: Vec<String> = fleet.to.tags_of("m/a").into_keys().collect();
    assert_eq!(left, ["1.1", "2.0", "latest"]);
    assert!(fleet.to.documents_of("m/a").contains_key(&shared));
}
