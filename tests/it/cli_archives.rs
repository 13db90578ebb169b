//! `save`, `load`, `inventory`, and archives as places of the other commands.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::images::{Family, Image, image, index, layer, random_blob};
use crate::support::registry::Registry;
use crate::support::samples::published;
use crate::support::tars::{Entry, classic, file, layout, tar};

/// A store with both versions of an image, and their names.
async fn filled() -> (Registry, Cli, [Image; 2], [String; 2]) {
    let (registry, images, name) = published().await;
    let (cli, names) = (Cli::new(), ["1", "2"].map(|tag| format!("{name}:{tag}")));
    cli.run(&["pull", &names[0], &names[1]]).await.expect(0, "");
    (registry, cli, images, names)
}

/// Blobs of an archive, in its order.
fn blobs(path: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let paths = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        assert_eq!((entry.header().uid().unwrap(), entry.header().mtime().unwrap()), (0, 0));
        entry.path().unwrap().to_str().unwrap().to_owned()
    });
    paths.filter_map(|path| Some(path.strip_prefix("blobs/sha256/")?.to_owned())).collect()
}

#[tokio::test]
async fn digests_survive_every_archive_that_can_keep_them() {
    let (registry, images, name) = published().await;
    let cli = Cli::new();
    let digest = json!(images[0].manifest.digest());
    cli.run(&["-o", "oci-archive:o.tar", &format!("{name}:1")]).await.expect(0, "");
    cli.run(&["copy", &format!("{name}:1"), "docker-archive:d.tar"]).await.expect(0, "");
    registry.server.forget();
    for verb in ["digest", "manifest", "config", "inspect", "history", "layers"] {
        for place in ["oci-archive:o.tar", "docker-archive:d.tar"] {
            cli.run(&[verb, place]).await.expect(0, "");
        }
    }
    let moved = cli.json(&["copy", "--json", "oci-archive:o.tar", "store:app:1"]).await;
    assert_eq!((&moved["digest"], &moved["platforms"]), (&digest, &json!(["linux/amd64"])));
    assert!(registry.server.requests().is_empty());
    let target = registry.repository("copied");
    let pushed = cli.json(&["push", "--json", "oci-archive:o.tar", &format!("{target}:1")]).await;
    assert_eq!(pushed["digest"], digest);

    cli.run(&["copy", "docker-archive:d.tar", "store:d:1"]).await.expect(0, "");
    cli.run(&["copy", "store:d:1", "docker-archive:again.tar:d:1"]).await.expect(0, "");
    for place in ["docker-archive:d.tar", "store:d:1", "docker-archive:again.tar"] {
        let config = cli.run(&["config", place]).await.stdout;
        assert_eq!(config.as_bytes(), images[0].config.bytes, "{place}");
    }
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn the_same_image_is_the_same_file_whichever_way_it_is_saved() {
    let (_registry, cli, _, names) = filled().await;
    let save = ["save", &names[0], &names[1], "-o"];
    cli.run(&[&save[..], &["a.tar"]].concat()).await.expect(0, "");
    cli.run(&[&save[..], &["b.tar", "--jobs", "64"]].concat()).await.expect(0, "");
    let piped = cli.spawn_in_shell("\"$@\" > c.tar", &[&save[..], &["-"]].concat()).wait().await;
    assert_eq!(piped.expect(0, "transferred").stdout, "");
    let read = |name: &str| std::fs::read(cli.dir().join(name)).unwrap();
    assert!(read("a.tar") == read("b.tar") && read("a.tar") == read("c.tar"));
    let dated = Cli::new().env("SOURCE_DATE_EPOCH", "soon");
    dated.run(&["save", "a", "-o", "x.tar"]).await.expect(2, "expected seconds since 1970");
    let dated = Cli::new().env("SOURCE_DATE_EPOCH", "86400");
    let from = format!("oci-archive:{}:{}", cli.dir().join("a.tar").display(), names[0]);
    for form in ["oci-archive", "docker-archive"] {
        dated.run(&["copy", &from, &format!("{form}:x.tar")]).await.expect(0, "");
        let file = std::fs::File::open(dated.dir().join("x.tar")).unwrap();
        let modified =
            |entry: std::io::Result<tar::Entry<'_, _>>| entry.unwrap().header().mtime().unwrap();
        assert!(tar::Archive::new(file).entries().unwrap().map(modified).all(|time| time == 86400));
    }
    for form in ["oci-archive", "docker-archive"] {
        for file in ["d.tar", "e.tar"] {
            let place = format!("{form}:{file}");
            cli.run(&["copy", &format!("store:{}", names[0]), &place]).await.expect(0, "");
        }
        assert!(read("d.tar") == read("e.tar"), "{form}");
    }
}

#[tokio::test]
async fn what_is_saved_is_loaded_through_a_pipe() {
    let (_registry, cli, images, names) = filled().await;
    let rpull = env!("CARGO_BIN_EXE_rpull");
    let line = format!("set -e; \"$@\" | {rpull} --store other load --json -");
    let output = cli.spawn_in_shell(&line, &["save", &names[0], &names[1], "-o", "-"]).wait().await;
    let loaded: serde_json::Value = serde_json::from_str(&output.expect(0, "").stdout).unwrap();
    for (at, image) in images.iter().enumerate() {
        assert_eq!(loaded[at]["digest"], json!(image.manifest.digest()));
        assert_eq!(loaded[at]["reference"], names[at]);
    }
    let verified = cli.json(&["verify", "--store", "other", "--json"]).await;
    assert_eq!(verified["bad"], json!([]));
    assert_eq!(std::fs::read_dir(cli.dir().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_update_holds_only_what_the_other_side_lacks() {
    let (_registry, cli, images, names) = filled().await;
    let save = |since: &'static str, to: &'static str| {
        ["save", &names[1], "--since", since, "-o", to].map(str::to_owned)
    };
    cli.run(&["save", &names[0], "-o", "first.tar"]).await.expect(0, "");
    let other = ["--store", "other"];
    cli.run(&[&other[..], &["load", "first.tar"]].concat()).await.expect(0, "");
    let inventory = cli.run(&[&other[..], &["inventory"]].concat()).await.stdout;
    let mut held: Vec<&str> = images[0].blobs().map(|piece| piece.digest().as_str()).collect();
    held.push(images[0].manifest.digest().as_str());
    held.sort_unstable();
    assert_eq!(inventory, held.join("\n") + "\n");
    std::fs::write(cli.dir().join("inventory"), &inventory).unwrap();

    for since in ["inventory", "first.tar", "other/index.json"] {
        cli.run(&save(since, "update.tar")).await.expect(0, "shared");
        let needed = [&images[1].manifest, &images[1].config, &images[1].layers[1]];
        let needed = needed.map(|piece| piece.digest().encoded().to_owned());
        assert_eq!(blobs(&cli.dir().join("update.tar")), needed, "{since}");
    }
    // Docker would look for blobs that are not there.
    let listed =
        cli.spawn_in_shell("tar xOf update.tar manifest.json", &["--version"]).wait().await;
    assert_eq!(listed.stdout, "[]");
    let base = images[0].layers[0].digest();
    let refused = cli.run(&["--store", "empty", "load", "update.tar"]).await;
    refused.expect(3, &format!("update.tar: neither there nor at oci:empty: {base}"));
    refused.expect(3, "hint: load the earlier archives first");
    assert_eq!(cli.run(&["--store", "empty", "images", "--json"]).await.stdout, "[]\n");
    let loaded = cli.json(&[&other[..], &["load", "--json", "update.tar"]].concat()).await;
    assert_eq!(loaded["digest"], json!(images[1].manifest.digest()));
    assert_eq!(cli.json(&[&other[..], &["verify", "--json"]].concat()).await["bad"], json!([]));
    // What an update says that its images need, whoever loaded it has.
    cli.run(&save("update.tar", "nothing.tar")).await.expect(0, "(100 %)");
    let piped = cli.spawn_in_shell("cat first.tar | \"$@\"", &save("-", "x.tar")).wait().await;
    piped.expect(2, "an archive must be a file here");
    std::fs::write(cli.dir().join("inventory"), "alpine:3.14\n").unwrap();
    cli.run(&save("inventory", "x.tar")).await.expect(2, "line 1 is no digest");
    cli.run(&save("absent", "x.tar")).await.expect(3, "absent");
}

#[tokio::test]
async fn platforms_are_those_of_the_place() {
    let registry = Registry::start().await;
    let [amd, arm] = ["amd64", "arm64"]
        .map(|name| (name, image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])])));
    let held = index(Family::Oci, &[amd.clone(), arm.clone()]);
    held.publish(&registry, "app", "1");
    let (cli, name) = (
        Cli::new().env("DOCKER_DEFAULT_PLATFORM", "linux/amd64"),
        registry.repository("app") + ":1",
    );
    cli.run(&["pull", "--all-platforms", &name]).await.expect(0, "");
    cli.run(&["save", &name, "-o", "all.tar"]).await.expect(0, "");
    let loaded = cli.json(&["load", "--store", "other", "--json", "all.tar"]).await;
    assert_eq!(loaded["digest"], json!(held.document.digest()));
    assert_eq!(loaded["platforms"], json!(["linux/amd64", "linux/arm64"]));
    cli.run(&["save", "--platform", "linux/arm64", &name, "-o", "arm.tar"]).await.expect(0, "");
    let digest = cli.run(&["digest", "oci-archive:arm.tar"]).await.stdout;
    assert_eq!(digest.trim(), arm.1.manifest.digest().as_str());

    let store = format!("store:{name}");
    cli.run(&["copy", &store, "docker-archive:d.tar"]).await.expect(0, "");
    let config = cli.run(&["config", "docker-archive:d.tar"]).await.stdout;
    assert_eq!(config.as_bytes(), amd.1.config.bytes, "the host's");
    for flags in
        [&["--all-platforms"][..], &["--platform", "linux/arm64", "--platform", "linux/amd64"]]
    {
        let copy = ["copy", &store, "docker-archive:x.tar"];
        cli.run(&[&copy[..], flags].concat()).await.expect(2, "a docker-archive holds one");
    }
    assert!(!cli.dir().join("x.tar").exists());
}

#[tokio::test]
async fn archives_of_others_are_loaded_under_full_names() {
    let (_registry, images, _) = published().await;
    let (cli, held) = (Cli::new(), &images[0]);
    let write =
        |name: &str, entries: &[Entry]| std::fs::write(cli.dir().join(name), tar(entries)).unwrap();
    write("docker.tar", &classic(held, &["alpine", "ghcr.io/org/app:2"]));
    let loaded = cli.run(&["load", "docker.tar"]).await;
    let names: Vec<&str> =
        loaded.expect(0, "").stdout.lines().map(|line| line.split('@').next().unwrap()).collect();
    assert_eq!(names, ["docker.io/library/alpine:latest", "ghcr.io/org/app:2"]);
    write("named.tar", &layout(held, Some("team/app:1")));
    cli.run(&["load", "named.tar"]).await.expect(0, "docker.io/team/app:1");
    cli.run(&["copy", "oci-archive:named.tar:team/app:1", "oci:out"]).await.expect(0, "");
    // As containerd exports: the full name, and the tag alone.
    let mut tagged = layout(held, Some("1.0"));
    let Some(Entry::File(_, index)) = tagged.iter_mut().rev().nth(1) else { panic!("index.json") };
    let both = r#"{"io.containerd.image.name":"ghcr.io/org/app:1.0",""#;
    *index = String::from_utf8(index.clone())
        .unwrap()
        .replacen(r#"{"org"#, &format!("{both}org"), 1)
        .into();
    write("tagged.tar", &tagged);
    let loaded = cli.run(&["load", "tagged.tar"]).await;
    assert_eq!(loaded.expect(0, "").stdout.lines().count(), 1);
    assert!(loaded.stdout.starts_with("ghcr.io/org/app:1.0@"), "{}", loaded.stdout);
    cli.run(&["digest", "oci-archive:tagged.tar:1.0"]).await.expect(0, "");
    write("unnamed.tar", &layout(held, None));
    cli.run(&["load", "unnamed.tar"]).await.expect(0, "");
    cli.run(&["copy", "oci-archive:unnamed.tar", "store:given:1"]).await.expect(0, "");
    write("odd.tar", &layout(held, Some("No Name")));
    cli.run(&["load", "odd.tar"]).await.expect(0, "the name No Name is left out");

    cli.run(&["inspect", "oci-archive:docker.tar"])
        .await
        .expect(7, "hint: if it is what `docker save` wrote");
    cli.run(&["load", "absent.tar"]).await.expect(3, "absent.tar: does not exist");
    cli.run(&["load", "-"]).await.expect(7, "standard input: is empty");
    cli.run(&["load", "."]).await.expect(7, "is a directory");
    write("none.tar", &[file("a", "b")]);
    cli.run(&["load", "none.tar"]).await.expect(7, "has no manifest.json");
    let mut wrong = classic(held, &["app:1"]);
    let Entry::File(_, bytes) = &mut wrong[1] else { panic!("a layer") };
    bytes[600] ^= 1;
    write("wrong.tar", &wrong);
    cli.run(&["--store", "empty", "load", "wrong.tar"]).await.expect(5, "the bytes have digest");
}

#[tokio::test]
async fn an_archive_comes_to_be_whole_or_not_at_all() {
    let (_registry, cli, images, names) = filled().await;
    cli.run(&["save", &names[0], "nobody", "-o", "a.tar"]).await.expect(3, "nobody:latest");
    assert!(!cli.dir().join("a.tar").exists());
    std::fs::write(cli.dir().join("a.tar"), "as it was").unwrap();
    let layer = images[0].layers[1].digest();
    let path = cli.store().join("blobs/sha256").join(layer.encoded());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![0; images[0].layers[1].bytes.len()]).unwrap();
    for place in ["-o", "docker"] {
        let args = match place {
            "-o" => vec!["save", &names[0], "-o", "a.tar"],
            _ => vec!["copy", "store:app", "docker-archive:a.tar"],
        };
        cli.run(&["tag", &names[0], "app"]).await.expect(0, "");
        cli.run(&args).await.expect(5, "the bytes have digest");
    }
    assert_eq!(std::fs::read(cli.dir().join("a.tar")).unwrap(), b"as it was");
    let piped =
        cli.spawn_in_shell("\"$@\" > half.tar", &["save", &names[0], "-o", "-"]).wait().await;
    piped.expect(5, "the bytes have digest");
    cli.run(&["load", "half.tar"]).await.expect(7, "");
    cli.run(&["save", &names[1], "-o", "/dev/null"]).await.expect(2, "is not a regular file");
    cli.run(&["save", &names[1], "-o", "absent/a.tar"]).await.expect(7, "absent/a.tar");
    cli.run(&["save", "--json", &names[1], "-o", "-"])
        .await
        .expect(2, "cannot both go to standard output");
    let listed = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(".rpull");
    assert!(
        !std::fs::read_dir(cli.dir()).unwrap().any(|entry| listed(&entry.unwrap().file_name()))
    );
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_it_quietly() {
    let registry = Registry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(2_000_000, 1))])]);
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), registry.repository("a") + ":1");
    cli.run(&[&name]).await.expect(0, "");
    let save = ["-q", "save", &name, "-o", "-"];
    let output = cli.spawn_in_shell("\"$@\" | head -c 10 > out", &save).wait().await;
    assert_eq!((output.code(), output.stderr.as_str()), (Some(0), ""));

    // Nobody reads: signals are heard all the same.
    let running = cli.spawn(&["save", &name, "-o", "-"]);
    running.wait_for_output().await;
    running.signal(Signal::INT);
    running.wait_unread().await;
}

#[tokio::test]
async fn two_names_of_one_image_are_one_image_in_the_archive() {
    let (_registry, cli, images, names) = filled().await;
    cli.run(&["tag", &names[0], "alpine:3.14"]).await.expect(0, "");
    cli.run(&["save", &names[0], "alpine:3.14", "-o", "a.tar"]).await.expect(0, "");
    assert_eq!(blobs(&cli.dir().join("a.tar")).len(), images[0].blobs().count() + 1);
    let text =
        cli.spawn_in_shell("tar xOf a.tar manifest.json", &["--version"]).wait().await.stdout;
    let items: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(items.as_array().unwrap().len(), 1);
    assert_eq!(items[0]["RepoTags"], json!([names[0], "alpine:3.14"]));
    cli.run(&["digest", "oci-archive:a.tar:alpine:3.14"]).await.expect(0, "");
    cli.run(&["digest", "oci-archive:a.tar"]).await.expect(2, "name one:");
}
