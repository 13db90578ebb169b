//! The state file saves requests; without it nothing else changes.

use super::{Fleet, app};
use crate::support::images::{Family, image, index, layer};

fn publish_index(fleet: &Fleet) {
    let images = ["amd64", "arm64", "s390x"]
        .map(|name| (name, image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])])));
    index(Family::Oci, &images).publish(&fleet.from, "team/multi", "1");
}

#[tokio::test]
async fn images_with_some_platforms_cost_one_head_at_each_end() {
    let fleet = Fleet::start().await;
    publish_index(&fleet);
    fleet.write(
        "defaults: { to: 'TO/m/{{name}}', tags: ['1'] }
mirror:
- from: FROM/team/multi
  platforms: [linux/amd64, linux/arm64]
- from: FROM/team/multi
  to: TO/m/one
  platforms: linux/s390x
",
    );
    fleet.run(&[]).await.expect(0, "mirrored 2 images (0 unchanged)");
    fleet.run(&[]).await.expect(0, "(2 unchanged)");
    assert_eq!(fleet.asked(), ["HEAD /v2/team/multi/manifests/1"]);
    assert_eq!(fleet.sent(), ["HEAD /v2/m/multi/manifests/1", "HEAD /v2/m/one/manifests/1"]);
    let before = fleet.to.tagged("m/multi", "1");

    std::fs::remove_dir_all(fleet.cli.home().join(".local/state")).unwrap();
    fleet.run(&[]).await.expect(0, "transferred 0 B");
    assert!(fleet.asked().len() > 1, "the documents are read again");
    assert_eq!(fleet.to.tagged("m/multi", "1"), before);
    fleet.run(&[]).await.expect(0, "(2 unchanged)");
}

#[tokio::test]
async fn immutable_tag_costs_no_request_once_it_is_copied() {
    let fleet = Fleet::start().await;
    fleet.write(
        "mirror: [{from: FROM/team/a, to: 'TO/m/a', tags: ['1.0', latest], immutable: '1.*'}]",
    );
    fleet.run(&["--state", "state.json"]).await.expect(0, "mirrored 2 images");
    fleet.run(&["--state", "state.json"]).await.expect(0, "(2 unchanged)");
    assert_eq!(fleet.asked(), ["HEAD /v2/team/a/manifests/latest"]);
    assert_eq!(fleet.sent(), ["HEAD /v2/m/a/manifests/latest"]);
    fleet.run(&["--state", "other.json"]).await.expect(0, "(2 unchanged)");
    assert_eq!(fleet.asked().len(), 2);
}

#[tokio::test]
async fn unusable_state_file_is_only_a_warning() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let path = fleet.cli.dir().join("state.json");
    for (text, warning) in
        [("damaged", "ignoring the state"), ("{\"version\":9,\"images\":{}}", "9, not 1")]
    {
        std::fs::write(&path, text).unwrap();
        fleet.run(&["--state", "state.json"]).await.expect(0, warning);
        fleet.run(&["--state", "state.json"]).await.expect(0, "(4 unchanged)");
    }
    // A file is no directory, for any user.
    let output = fleet.run(&["--state", "m.yaml/state.json"]).await;
    output.expect(0, "(4 unchanged)").expect(0, "the state is not saved: m.yaml/state.json");
}

#[tokio::test]
async fn state_does_not_replace_mirror_file() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let before = std::fs::read(fleet.cli.dir().join("m.yaml")).unwrap();
    let output = fleet.run(&["--state", "./m.yaml"]).await;
    output.expect(2, "is the mirror file, which the state would replace");
    assert_eq!(std::fs::read(fleet.cli.dir().join("m.yaml")).unwrap(), before);
}

/// Parts that ran at the same time replaced each other's state.
#[tokio::test]
async fn parts_have_states_of_their_own() {
    let fleet = Fleet::start().await;
    fleet.write("mirror: [{from: FROM/team/b, to: [TO/m/a, TO/m/b, TO/m/c, TO/m/d], tags: ['1.0'], immutable: '*'}]");
    for is_first in [true, false] {
        let mut sent = Vec::new();
        for part in ["1/2", "2/2"] {
            fleet.run(&["--shard", part]).await.expect(0, "");
            sent.extend(fleet.sent());
        }
        assert_eq!(!sent.is_empty(), is_first, "{sent:?}");
    }
}

#[tokio::test]
async fn unchanged_image_in_local_target_costs_one_head_at_source() {
    let fleet = Fleet::start().await;
    publish_index(&fleet);
    fleet.write(
        "defaults: { tags: ['1'] }
mirror:
- { from: FROM/team/multi, to: ['oci:layout', 'store:x/multi'] }
- { from: FROM/team/multi, to: 'oci:some', platforms: [linux/amd64, linux/arm64] }
- { from: FROM/team/multi, to: 'oci:one', platforms: linux/s390x }
- { from: 'oci:from', to: 'TO/m/multi' }
",
    );
    let image = format!("{}/team/multi:1", fleet.from.server.host());
    fleet.cli.run(&["copy", &image, "oci:from:1"]).await.expect(0, "");
    fleet.run(&[]).await.expect(0, "mirrored 5 images (0 unchanged)");
    fleet.run(&[]).await.expect(0, "(5 unchanged)");
    assert_eq!(fleet.asked(), ["HEAD /v2/team/multi/manifests/1"]);
    assert_eq!(fleet.sent(), ["HEAD /v2/m/multi/manifests/1"]);
    let plan = fleet.run(&["--plan"]).await;
    assert_eq!(plan.expect(0, "").stdout.matches(" unchanged\n").count(), 5, "{}", plan.stdout);
}

#[tokio::test]
async fn incomplete_layout_is_mirrored_again() {
    let fleet = Fleet::start().await;
    fleet.write("mirror: [{ from: FROM/team/b, to: 'oci:layout', immutable: '*' }]");
    fleet.run(&[]).await.expect(0, "");
    fleet.run(&[]).await.expect(0, "(1 unchanged)");
    assert_eq!(fleet.asked().len(), 1, "only the list of tags: {:?}", fleet.asked());
    let layer = app("amd64", 4).layers[1].digest().to_string();
    let blob = fleet.cli.dir().join("layout/blobs").join(layer.replace(':', "/"));
    std::fs::remove_file(&blob).unwrap();
    fleet.run(&[]).await.expect(0, "(0 unchanged)");
    assert!(blob.is_file());
    fleet.run(&[]).await.expect(0, "(1 unchanged)");
}
