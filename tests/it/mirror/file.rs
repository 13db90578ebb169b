//! What the file selects, and what is wrong with it.

use super::{Fleet, names};
use crate::support::cli::Cli;

#[tokio::test]
async fn tags_are_selected_by_rules() {
    let fleet = Fleet::start().await;
    for (rules, expected) in [
        ("[latest]", vec!["m/a:latest"]),
        ("{semver: '>=1.0', latest: 1}", vec!["m/a:1.1"]),
        ("{exclude: [latest]}", vec!["m/a:1.0", "m/a:1.1"]),
    ] {
        fleet.write(&format!("mirror: [{{from: FROM/team/a, to: 'TO/m/a', tags: {rules}}}]"));
        let output = fleet.run(&[]).await;
        output.expect(0, "");
        assert_eq!(names(&output), expected, "{rules}");
    }
}

#[tokio::test]
async fn malformed_file_sends_no_request() {
    let fleet = Fleet::start().await;
    for (text, expected) in [
        ("mirror: [{from: FROM/team/a}]", "mirror file: m.yaml:1: missing key `to`"),
        ("mirror:\n- from: FROM/team/a\n  too: x", "mirror file: m.yaml:3: unknown field `too`"),
        ("mirror: [", "mirror file: m.yaml:1: "),
    ] {
        fleet.write(text);
        fleet.run(&[]).await.expect(2, expected);
        assert!(fleet.asked().is_empty() && fleet.sent().is_empty());
    }
    fleet.cli.run(&["mirror", "gone.yaml"]).await.expect(2, "mirror file: gone.yaml: ");
    fleet.cli.run(&["mirror"]).await.expect(2, "<FILE>");
}

#[tokio::test]
async fn two_images_with_one_name_are_rejected() {
    let fleet = Fleet::start().await;
    fleet.write("mirror: [{from: FROM/team/a, to: 'TO/m/a:x'}]");
    let output = fleet.run(&[]).await;
    output.expect(2, "is the target of both").expect(2, "hint: use `{{repository}}` or `{{tag}}`");
    assert!(fleet.sent().is_empty());
}

#[tokio::test]
async fn lines_of_stdin_are_mirrored() {
    let fleet = Fleet::start().await;
    let (from, to) = (fleet.from.repository("team"), fleet.to.repository("x"));
    let lines = format!("{from}/a:1.0 {to}/one\n# comment\n{from}/b:1.0 {to}/two:2\n");
    let output = fleet.cli.run_on(&lines, &["mirror", "--from-stdin"]).await;
    output.expect(0, "mirrored 2 images");
    assert_eq!(names(&output), ["x/one:1.0", "x/two:2"]);
    let output = fleet.cli.run_on("a\n", &["mirror", "--from-stdin"]).await;
    output.expect(2, "mirror: stdin:1: expected `SRC DST`");
}

#[tokio::test]
async fn schema_is_printed() {
    let schema = Cli::new().json(&["mirror", "--schema"]).await;
    assert_eq!(schema["required"][0], "mirror");
}
