//! `tests/archives`: test archives of other clients, unpacked or rejected with a reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cli::Cli;
use crate::support::live::{is_root, needs};
use crate::support::peers::{assert_same, unpack_with_umoci};
use crate::support::tree::{names, nodes};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives")
}

/// Returns the location, the file and the expected result of each case.
fn cases() -> Vec<(String, String, String)> {
    let table = std::fs::read_to_string(folder().join("cases.tsv")).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let case = |row: &str| {
        let [place, _, wanted] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let (form, name) = place.split_once(':').unwrap();
        let path = |name: &str| folder().join(name).display().to_string();
        let file = path(name.split(':').next().unwrap());
        (format!("{form}:{}", path(name)), file, wanted.to_owned())
    };
    rows.map(case).collect()
}

#[tokio::test]
async fn archive_vectors_of_other_clients_unpack_or_fail() {
    let (cli, cases) = (Cli::new(), cases());
    assert_eq!(cases.len(), 12);
    for (number, (place, file, wanted)) in cases.iter().enumerate() {
        let dir = format!("root{number}");
        let output = cli.run(&["unpack", "--no-store", place, &dir]).await;
        if wanted.starts_with("error:") {
            assert!(output.stderr.starts_with(&wanted.replace("{}", file)), "{}", output.stderr);
            assert!(!cli.dir().join(&dir).exists());
        } else {
            output.expect(0, "unpacked 1 layer, ");
            assert_eq!(names(&cli.dir().join(&dir)).join(" "), *wanted, "{place}");
        }
    }
}

#[tokio::test]
async fn archive_vectors_equal_umoci_trees() {
    let test = "archive_vectors_equal_umoci_trees";
    if !is_root(test) || !needs(test, &["umoci", "skopeo"]) {
        return;
    }
    let cli = Cli::new();
    let readable = cases().into_iter().filter(|(_, _, wanted)| !wanted.starts_with("error:"));
    for (number, (place, ..)) in readable.enumerate() {
        // umoci identifies layers by media type and does not support zstd.
        if place.contains("zstd") {
            continue;
        }
        // skopeo finds a name without a tag only by its index.
        let theirs = place.replace(":test_image_2", ":@0");
        let (layout, dir) = (cli.dir().join(format!("layout{number}")), format!("root{number}"));
        let copied = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", &theirs])
            .arg(format!("oci:{}:held", layout.display()))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{place}: {copied:?}");
        let other = unpack_with_umoci(&layout, "held", &cli.dir().join(format!("umoci{number}")));
        cli.run(&["unpack", "--no-store", &place, &dir]).await.expect(0, "");
        let mut own = nodes(&cli.dir().join(&dir), &[]);
        // If no layer has an entry for the root, umoci leaves its creation time.
        own[0].mtime = other[0].mtime;
        assert_same(&own, &other);
    }
}
