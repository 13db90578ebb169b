//! Files of `skopeo sync` and regsync.

use super::{Fleet, names};

#[tokio::test]
async fn skopeo_file_is_mirrored_below_place() {
    let fleet = Fleet::start().await;
    fleet.write(
        "FROM:\n  images:\n    team/a: [latest, '1.0']\n  images-by-tag-regex:\n    team/b: ^1\n",
    );
    let to = fleet.to.repository("x/y/");
    let output = fleet.run(&["--to", &to]).await;
    output.expect(0, "mirrored 3 images");
    assert_eq!(names(&output), ["x/y/a:1.0", "x/y/a:latest", "x/y/b:1.0"]);
    assert_eq!(fleet.to.tagged("x/y/b", "1.0"), fleet.from.tagged("team/b", "1.0"));
    let output = fleet.run(&["--to", "oci:out", "--from", "skopeo"]).await;
    output.expect(0, "mirrored 3 images");
    assert!(fleet.cli.dir().join("out/a/index.json").is_file());
}

#[tokio::test]
async fn skopeo_file_without_place_sends_no_request() {
    let fleet = Fleet::start().await;
    fleet.write("FROM:\n  images:\n    team/a: [latest]\n");
    fleet.run(&[]).await.expect(2, "hint: pass `--to LOCATION`");
    fleet.run(&["--to", "docker-root:x"]).await.expect(2, "`--to docker-root:x`: ");
    fleet.run(&["--scoped"]).await.expect(2, "--to <LOCATION>");
    fleet.write_usual();
    fleet.run(&["--to", "r.io/x"]).await.expect(2, "`--to`: applies to files for `skopeo sync`");
    assert!(fleet.asked().is_empty() && fleet.sent().is_empty());
}

#[tokio::test]
async fn regsync_file_is_mirrored_and_names_keys_without_effect() {
    let fleet = Fleet::start().await;
    fleet.write(
        "version: 1
defaults: { parallel: 2 }
sync:
- source: FROM/team/a
  target: TO/hub/{{ index (split .Sync.Source \"/\") 2 }}
  type: repository
  interval: 60m
  tags: { allow: ['1\\.\\d'], deny: ['1\\.0'] }
- source: FROM/team/b:1.0
  target: TO/b:stable
  type: image
",
    );
    let output = fleet.run(&[]).await;
    output.expect(0, "mirrored 2 images").expect(0, "warning: m.yaml:2: `parallel` has no effect");
    output.expect(0, "warning: m.yaml:7: `interval` has no effect: ");
    assert_eq!(names(&output), ["b:stable", "hub/a:1.1"]);
    fleet
        .write("sync:\n- source: FROM/team/a\n  target: TO/a\n  type: repository\n  backup: old\n");
    fleet.run(&[]).await.expect(2, "mirror file: m.yaml:5: `backup` is not supported");
    assert!(fleet.asked().is_empty());
}
