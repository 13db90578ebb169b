//! Images by the time of their creation.

use serde_json::json;

use super::{Fleet, app, names};
use crate::support::images::{Family, index, with_config};

/// Publishes tags of `team/old` whose configs have these creation times.
fn publish(fleet: &Fleet) {
    let now = jiff::Timestamp::now();
    for (seed, (tag, created)) in [
        ("new", Some((now - jiff::Span::new().hours(30)).to_string())),
        ("old", Some((now - jiff::Span::new().hours(24 * 40)).to_string())),
        ("epoch", Some("1970-01-01T00:00:00Z".to_owned())),
        ("undated", None),
        ("named", Some("2001-01-01T00:00:00Z".to_owned())),
    ]
    .into_iter()
    .enumerate()
    {
        let image = app("amd64", seed as u64);
        let mut config: serde_json::Value = serde_json::from_slice(&image.config.bytes).unwrap();
        config["created"] = json!(created);
        let image = with_config(&image, &config);
        image.publish(&fleet.from, "team/old", Some(tag));
        index(Family::Oci, &[("amd64", image)]).publish(&fleet.from, "team/index", tag);
    }
}

#[tokio::test]
async fn images_created_within_time_are_mirrored() {
    let fleet = Fleet::start().await;
    publish(&fleet);
    for (repository, within) in [("old", "30d"), ("index", "within 4 weeks")] {
        fleet.write(&format!(
            "mirror: [{{from: FROM/team/{repository}, to: 'TO/m/a', tags: {{include: [named], created: {within}}}}}]"
        ));
        let output = fleet.run(&[]).await;
        output.expect(0, "mirrored 4 images");
        assert_eq!(names(&output), ["m/a:epoch", "m/a:named", "m/a:new", "m/a:undated"]);
    }
}

#[tokio::test]
async fn age_of_unchanged_images_costs_one_head() {
    let fleet = Fleet::start().await;
    publish(&fleet);
    fleet.write("mirror: [{from: FROM/team/index, to: 'TO/m/a', tags: {created: 30d}}]");
    fleet.run(&[]).await.expect(0, "mirrored 3 images (0 unchanged)");
    fleet.run(&[]).await.expect(0, "mirrored 3 images (3 unchanged)");
    let asked = fleet.asked();
    assert_eq!(asked.iter().filter(|line| line.starts_with("HEAD")).count(), 5, "{asked:?}");
    assert_eq!(asked.len(), 6, "one list of tags: {asked:?}");
}

#[tokio::test]
async fn entry_with_old_images_only_selects_nothing() {
    let fleet = Fleet::start().await;
    publish(&fleet);
    fleet.write(
        "mirror: [{from: FROM/team/old, to: 'TO/m/a', tags: {include: ['ol*'], created: 30d}}]",
    );
    let reason = "selects no image: `created` excludes 1 image";
    fleet.run(&[]).await.expect(0, reason);
}
