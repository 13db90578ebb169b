//! Mirrors between registries, with exact requests.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Fleet, app, names};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};

const ALL: [&str; 4] = ["m/a:1.0", "m/a:1.1", "m/a:latest", "m/b:1.0"];

#[tokio::test]
async fn mirror_reads_each_blob_once_and_mounts_it_in_other_repository() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 4 images (0 unchanged); transferred");
    assert_eq!(names(&output), ALL);
    // One base, and a layer and a config of each of the three images.
    let blobs = fleet.from.server.count("GET /v2/team/a/blobs/")
        + fleet.from.server.count("GET /v2/team/b/blobs/");
    assert_eq!(blobs, 7, "{:?}", fleet.asked());
    assert_eq!(fleet.from.server.count("/tags/list"), 2);
    // Others are offered with a mount from their own repository.
    let sent = fleet.sent();
    let mounted =
        sent.iter().filter(|line| line.starts_with("POST /v2/m/b/") && line.contains("from=m%2Fa"));
    assert_eq!(mounted.count(), 1, "{sent:?}");
    assert_eq!(fleet.to.server.count("HEAD /v2/m/a/manifests/1.0"), 1, "{:?}", fleet.sent());
    for (repository, tag) in [("a", "1.0"), ("a", "1.1"), ("a", "latest"), ("b", "1.0")] {
        let expected = fleet.from.tagged(&format!("team/{repository}"), tag);
        assert_eq!(fleet.to.tagged(&format!("m/{repository}"), tag), expected);
    }
}

#[tokio::test]
async fn unchanged_images_cost_one_head_at_each_end() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    fleet.run(&[]).await.expect(0, "");
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 4 images (4 unchanged)").expect(0, "10 requests");
    assert_eq!(names(&output), ALL);
    let heads = |prefix: &str| {
        ["a/manifests/1.0", "a/manifests/1.1", "a/manifests/latest", "b/manifests/1.0"]
            .map(|name| format!("HEAD /v2/{prefix}/{name}"))
            .to_vec()
    };
    assert_eq!(fleet.sent(), heads("m"));
    let asked = fleet.asked();
    assert_eq!(asked.iter().filter(|line| line.contains("/tags/list")).count(), 2);
    assert_eq!(asked.iter().filter(|line| line.starts_with("HEAD")).count(), 4);
    assert_eq!(asked.len(), 6);
}

#[tokio::test]
async fn moved_tag_is_mirrored_by_its_change_alone() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    fleet.run(&[]).await.expect(0, "");
    app("amd64", 9).publish(&fleet.from, "team/a", Some("latest"));
    fleet.run(&[]).await.expect(0, "mirrored 4 images (3 unchanged)");
    assert_eq!(fleet.from.server.count("/blobs/"), 2, "{:?}", fleet.asked());
    assert_eq!(fleet.to.tagged("m/a", "latest"), fleet.from.tagged("team/a", "latest"));
    fleet.run(&[]).await.expect(0, "(4 unchanged)");
}

#[tokio::test]
async fn several_targets_are_written_from_one_read() {
    let fleet = Fleet::start().await;
    let second = FakeRegistry::start().await;
    fleet.write(&format!(
        "mirror:
- from: FROM/team/a
  to: ['TO/m/a', '{}/n/a:v{{{{tag}}}}', 'oci:layout']
  tags: [latest]
",
        second.server.host()
    ));
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 3 images");
    assert_eq!(fleet.from.server.count("/tags/list"), 0, "the only tag is named");
    assert_eq!(fleet.from.server.count("GET /v2/team/a/blobs/"), 3, "{:?}", fleet.asked());
    let digest = fleet.from.tagged("team/a", "latest").unwrap();
    assert_eq!(fleet.to.tagged("m/a", "latest").as_ref(), Some(&digest));
    assert_eq!(second.tagged("n/a", "vlatest").as_ref(), Some(&digest));
    let blob = Path::new("layout/blobs/sha256").join(digest.trim_start_matches("sha256:"));
    assert!(fleet.cli.dir().join(blob).is_file());
}

#[tokio::test]
async fn image_keeps_its_tag_in_untagged_local_target() {
    let fleet = Fleet::start().await;
    fleet.write(
        "mirror: [{from: FROM/team/a, to: ['store:x/{{name}}', 'oci:layout:x/{{name}}',
  'docker-archive:a.tar:x/{{name}}'], tags: ['1.0', '1.1']}]",
    );
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 6 images");
    for target in ["store:", "oci:layout:", "docker-archive:a.tar:"] {
        for tag in ["1.0", "1.1"] {
            let image = format!("{target}x/a:{tag}");
            fleet.cli.run(&["history", &image]).await.expect(0, "");
        }
    }
    let list = fleet.cli.run(&["ls", "--json"]).await;
    assert!(!list.stdout.contains("latest"), "{}", list.stdout);
}

#[tokio::test]
async fn plan_moves_nothing_and_has_numbers_of_run() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let output = fleet.run(&["--plan"]).await;
    let summary = "would mirror 4 images (0 unchanged); would transfer ";
    assert!(output.expect(0, "").stdout.contains(summary), "{}", output.stdout);
    let bytes = |text: &str, start: &str, end: &str| {
        let text = text.split_once(start).unwrap().1;
        text.split_once(end).unwrap().0.to_owned()
    };
    let planned = bytes(&output.stdout, "; would transfer ", " request");
    assert_eq!(fleet.from.server.count("/blobs/"), 0);
    assert!(fleet.sent().iter().all(|line| line.starts_with("HEAD ")), "{:?}", fleet.sent());
    assert!(!fleet.cli.home().join(".local/state").exists());
    let run = fleet.run(&[]).await;
    let done = bytes(&run.expect(0, "").stderr, "; transferred ", " request");
    let without_requests = |text: &str| text.rsplit_once(", ").unwrap().0.to_owned();
    assert_eq!(without_requests(&planned), without_requests(&done));
    let output = fleet.run(&["--plan", "--json"]).await;
    let lines = json_lines(&output.expect(0, "").stdout);
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line["outcome"] == "unchanged"), "{lines:?}");
}

#[tokio::test]
async fn plan_names_new_and_changed_images() {
    let fleet = Fleet::start().await;
    fleet.write(
        "mirror: [{from: FROM/team/a, to: ['TO/m/a', 'oci:layout'], tags: ['1.0', latest]}]",
    );
    let states = |output: &str| {
        let rows = output.lines().skip(1).filter(|line| !line.starts_with("would"));
        rows.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let output = fleet.run(&["--plan"]).await;
    assert_eq!(states(&output.stdout), ["new"; 4], "{}", output.stdout);
    fleet.run(&[]).await.expect(0, "");
    app("amd64", 9).publish(&fleet.from, "team/a", Some("latest"));
    let output = fleet.run(&["--plan"]).await;
    let expected = ["unchanged", "unchanged", "changed", "changed"];
    assert_eq!(states(&output.stdout), expected, "{}", output.stdout);
}

#[tokio::test]
async fn json_line_is_printed_when_its_image_is_finished() {
    let fleet = Fleet::start().await;
    fleet.write("mirror: [{from: FROM/team/a, to: 'TO/m/a', tags: ['1.0', '1.1']}]");
    let silent = Reply::new(201, "").fault(Fault::Silence);
    fleet.to.fail_requests("PUT /v2/m/a/manifests/1.1", 0..9, silent);
    let mut running = fleet.cli.spawn(&["mirror", "--json", "m.yaml"]);
    let line: Value = serde_json::from_str(&running.line().await).unwrap();
    assert_eq!(line["outcome"], "copied");
    assert!(line["reference"].as_str().unwrap().ends_with("m/a:1.0"), "{line}");
    let output = running.stop(Signal::INT).await;
    let error = output.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert_eq!(error.matches("m/a:1.1").count(), 1, "{error}");
    let lines = json_lines(&output.stdout);
    assert_eq!((lines.len(), &lines[0]["outcome"]), (1, &"failed".into()), "{lines:?}");
}

#[tokio::test]
async fn tags_of_layout_are_mirrored() {
    let fleet = Fleet::start().await;
    fleet.write(
        "mirror: [{from: FROM/team/a, to: 'oci:plain:{{tag}}'}, {from: FROM/team/b, to: 'oci:full'}]",
    );
    fleet.run(&[]).await.expect(0, "mirrored 4 images");
    for (rules, code, expected) in [
        ("{}", 0, vec!["m/a:1.0", "m/a:1.1", "m/a:latest"]),
        ("{semver: '>=1.1'}", 0, vec!["m/a:1.1"]),
        ("[latest, gone]", 3, vec!["m/a:latest"]),
    ] {
        fleet.write(&format!("mirror: [{{from: 'oci:plain', to: 'TO/m/a', tags: {rules}}}]"));
        let output = fleet.run(&[]).await;
        output.expect(code, "");
        assert_eq!(names(&output), expected, "{rules}");
    }
    assert_eq!(fleet.to.tagged("m/a", "1.1"), fleet.from.tagged("team/a", "1.1"));
    fleet.write("mirror: [{from: 'oci:full', to: 'TO/n/{{repository}}'}]");
    assert_eq!(names(fleet.run(&[]).await.expect(0, "")), ["n/team/b:1.0"]);
}

#[tokio::test]
async fn name_of_several_platforms_in_layout_is_mirrored_once() {
    let fleet = Fleet::start().await;
    for (tag, architecture, seed) in [("1", "amd64", 5), ("2", "amd64", 6), ("3", "arm64", 7)] {
        app(architecture, seed).publish(&fleet.from, "team/p", Some(tag));
    }
    fleet.write("mirror: [{from: FROM/team/p, to: 'oci:p:{{tag}}', tags: ['1', '2', '3']}]");
    fleet.run(&["--all-platforms"]).await.expect(0, "mirrored 3 images");
    // As a build writes it that goes platform by platform: the entries of a name are not neighbors.
    let path = fleet.cli.dir().join("p/index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (at, (name, architecture)) in
        [("1", "amd64"), ("2", "amd64"), ("1", "arm64")].into_iter().enumerate()
    {
        let entry = &mut index["manifests"][at];
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
    }
    std::fs::write(&path, index.to_string()).unwrap();
    fleet.write("mirror: [{from: 'oci:p', to: 'TO/m/p'}]");
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 2 images");
    assert_eq!(names(&output), ["m/p:1", "m/p:2"]);
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn json_is_one_object_per_image() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let output = fleet.run(&["--json"]).await;
    let lines = json_lines(&output.expect(0, "").stdout);
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(line["outcome"], "copied");
        assert!(line["bytes"]["total"].as_u64() > Some(40_000), "{line}");
    }
    let transferred: Option<u64> =
        lines.iter().map(|line| line["bytes"]["transferred"].as_u64()).sum();
    let read: u64 = transferred.unwrap();
    assert!(read < 2 * 40_000, "the base is transferred once: {read}");
}

#[tokio::test]
async fn shards_are_disjoint_and_complete() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let mut all = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        all.extend(names(&fleet.run(&["--shard", shard]).await));
    }
    all.sort();
    assert_eq!(all, ALL);
    fleet.run(&["--shard", "4/3"]).await.expect(2, "expected K/N");
}

#[tokio::test]
async fn entry_without_selected_image_is_named() {
    let fleet = Fleet::start().await;
    let repositories = r#"{"repositories": ["team/a", "team/b"]}"#;
    fleet.from.fail_requests("GET /v2/_catalog", 0..9, Reply::new(200, repositories));
    fleet.write(
        "mirror:
- {from: FROM/team/a, to: 'TO/m/a', tags: ['9.*']}
- {from: 'FROM/other/*', to: 'TO/m/{{name}}'}
- {from: 'FROM/team/*', to: 'TO/m/{{name}}', tags: {semver: '>=7'}}
- {from: FROM/team/b, to: 'TO/m/b', tags: ['1.*']}
",
    );
    for plan in [&["--plan"][..], &[]] {
        let output = fleet.run(plan).await;
        let errors = &output.expect(0, "").stderr;
        for reason in [
            ":2: selects no image: 0 of 3 tags of ",
            ":3: selects no image: no repository of ",
            ":4: selects no image: 0 of ",
        ] {
            assert!(errors.contains(reason), "{errors}");
        }
        assert_eq!(errors.matches("selects no image").count(), 3, "{errors}");
    }
}
