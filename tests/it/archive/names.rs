//! Names of images in layouts and archives: one for several platforms, none, and names that no registry would accept.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::images::{Family, Image, image, index, layer, uncompressed};
use crate::support::tars::{Entry, file, layout, manifest, tar};

const REF: &str = "org.opencontainers.image.ref.name";

fn platform() -> (String, String) {
    let host = rpull::platform::Platform::host();
    let other = if host.architecture == "s390x" { "riscv64" } else { "s390x" };
    (host.architecture, other.to_owned())
}

fn of(architecture: &str, content: &[u8]) -> Image {
    image(Family::Oci, architecture, &[layer(&[("a", content)])])
}

/// A layout that lists these images under these names; `said` puts their platform into the index too.
fn listing(images: &[(&Image, Option<&str>)], said: bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> = images.iter().flat_map(|(held, _)| layout(held, None)).collect();
    entries.retain(|entry| matches!(entry, Entry::File(name, _) if name.starts_with("blobs")));
    let listed = images.iter().map(|(held, name)| {
        let mut entry = serde_json::to_value(&held.manifest.descriptor).unwrap();
        let config: Value = serde_json::from_slice(&held.config.bytes).unwrap();
        if said {
            entry["platform"] = json!({"os": "linux", "architecture": config["architecture"]});
        }
        if let Some(name) = name {
            entry["annotations"] = json!({REF: name});
        }
        entry
    });
    let listed = json!({"schemaVersion": 2, "manifests": listed.collect::<Vec<_>>()});
    entries.push(file("index.json", listed.to_string()));
    entries.push(file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    entries
}

/// Writes these entries as an archive, and as the directory that they are.
fn write(cli: &Cli, name: &str, entries: &[Entry]) {
    std::fs::write(cli.dir().join(format!("{name}.tar")), tar(entries)).unwrap();
    for entry in entries {
        let Entry::File(file, bytes) = entry else { panic!("files only") };
        let path = cli.dir().join(name).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// A docker archive of these images, each with its tags.
fn docker(images: &[(&Image, Value)]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut items = Vec::new();
    for (at, (held, tags)) in images.iter().enumerate() {
        let layers = uncompressed(held).layers;
        let names: Vec<String> = (0..layers.len()).map(|layer| format!("{at}-{layer}")).collect();
        entries.push(file(&format!("c{at}"), &held.config.bytes[..]));
        entries.extend(names.iter().zip(&layers).map(|(name, layer)| file(name, &layer.bytes[..])));
        items.push(json!({"Config": format!("c{at}"), "RepoTags": tags, "Layers": names}));
    }
    entries.push(manifest(&json!(items)));
    tar(&entries)
}

async fn digest(cli: &Cli, args: &[&str]) -> String {
    let args = [&["digest"], args].concat();
    cli.run(&args).await.expect(0, "").stdout.trim().to_owned()
}

#[tokio::test]
async fn name_of_several_platforms_resolves_to_host_platform() {
    let (host, other) = platform();
    let [mine, theirs] =
        [&host, &other].map(|architecture| of(architecture, architecture.as_bytes()));
    let [mine_is, theirs_is] = [&mine, &theirs].map(|image| image.manifest.digest().to_string());
    for (at, images) in [[&mine, &theirs], [&theirs, &mine]].into_iter().enumerate() {
        for said in [false, true] {
            let (cli, other) = (Cli::new(), format!("linux/{other}"));
            write(&cli, "l", &listing(&images.map(|image| (image, Some("app"))), said));
            for place in ["oci:l", "oci:l:app", "oci-archive:l.tar", "oci-archive:l.tar:app"] {
                let what = format!("{place} {at} {said}");
                assert_eq!(digest(&cli, &[place]).await, mine_is, "{what}");
                assert_eq!(digest(&cli, &[place, "--platform", &other]).await, theirs_is, "{what}");
                let chosen = ["copy", "--platform", &other, place, "store:theirs"];
                cli.run(&chosen).await.expect(0, "");
                assert_eq!(digest(&cli, &["store:theirs"]).await, theirs_is, "{what}");
                cli.run(&["copy", place, "store:mine"]).await.expect(0, "");
                assert_eq!(digest(&cli, &["store:mine"]).await, mine_is, "{what}");
                let absent = cli.run(&["digest", place, "--platform", "linux/mips64le"]).await;
                absent.expect(3, &other);
            }
            let loaded = cli.run(&["load", "l.tar"]).await;
            assert!(!loaded.expect(0, "").stderr.contains("several images"), "{}", loaded.stderr);
            assert_eq!(loaded.stdout, format!("docker.io/library/app:latest@{mine_is}\n"));
            assert_eq!(digest(&cli, &["store:app"]).await, mine_is);
            cli.run(&["load", "--platform", &other, "l.tar"]).await.expect(0, "");
            assert_eq!(digest(&cli, &["store:app"]).await, theirs_is);
        }
    }
}

#[tokio::test]
async fn name_of_several_platforms_becomes_index_with_all_platforms() {
    let (host, other) = platform();
    let [mine, theirs] =
        [&host, &other].map(|architecture| of(architecture, architecture.as_bytes()));
    let cli = Cli::new();
    write(&cli, "l", &listing(&[(&theirs, Some("app")), (&mine, Some("app"))], false));
    for args in [
        ["load", "--all-platforms", "l.tar", ""],
        ["copy", "--all-platforms", "oci:l", "store:app"],
        ["copy", "--all-platforms", "oci-archive:l.tar", "store:app"],
    ] {
        let args: Vec<&str> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
        let cli_args = [&["--store", args[0]], &args[..]].concat();
        cli.run(&cli_args).await.expect(0, "");
        for (architecture, held) in [(&host, &mine), (&other, &theirs)] {
            let platform = format!("linux/{architecture}");
            let args = ["--store", args[0], "digest", "store:app", "--platform", &platform];
            let found = cli.run(&args).await;
            assert_eq!(found.expect(0, "").stdout.trim(), held.manifest.digest().as_str());
        }
    }
}

#[tokio::test]
async fn name_of_several_platforms_in_store_is_one_image() {
    let (host, other) = platform();
    let [mine, theirs] =
        [&host, &other].map(|architecture| of(architecture, architecture.as_bytes()));
    let cli = Cli::new();
    let name = Some("docker.io/library/app:latest");
    write(&cli, "store", &listing(&[(&theirs, name), (&mine, name)], true));
    for (args, held) in [(vec![], &mine), (vec!["--platform", "linux/s390x"], &theirs)] {
        if args.is_empty() || other == "s390x" {
            let args = [&["--store", "store", "config", "store:app"], &args[..]].concat();
            assert_eq!(cli.run(&args).await.expect(0, "").stdout.as_bytes(), held.config.bytes);
        }
    }
    cli.run(&["--store", "store", "rm", "app"]).await.expect(0, "");
    cli.run(&["--store", "store", "digest", "store:app"]).await.expect(3, "not in the store");
}

#[tokio::test]
async fn load_unnamed_image_keeps_it_by_digest() {
    let held = of("amd64", b"1");
    let cli = Cli::new();
    std::fs::write(cli.dir().join("d.tar"), docker(&[(&held, json!(null))])).unwrap();
    std::fs::write(cli.dir().join("o.tar"), tar(&layout(&held, None))).unwrap();
    for (archive, wanted) in [("d.tar", uncompressed(&held)), ("o.tar", held)] {
        let digest = wanted.manifest.digest().to_string();
        let loaded = cli.run(&["load", archive]).await;
        assert_eq!(loaded.expect(0, "").stdout, format!("{digest}\n"));
        cli.run(&["load", archive]).await.expect(0, "(100 %)");
        let pruned = cli.run(&["prune"]).await.expect(0, "").stdout.clone();
        assert!(pruned.starts_with("freed 0 B"), "{pruned}");
        let listed = cli.json(&["images", "--json"]).await;
        let listed: Vec<_> = listed.as_array().unwrap().iter().map(|one| &one["digest"]).collect();
        assert_eq!(listed, [&json!(digest)], "once");
        for word in [&digest, wanted.config.digest().as_str()] {
            cli.run(&["unpack", word, "root"]).await.expect(0, "");
            std::fs::remove_dir_all(cli.dir().join("root")).unwrap();
        }
        cli.run(&["rm", &digest]).await.expect(0, "");
        let pruned = cli.run(&["prune"]).await.expect(0, "").stdout.clone();
        assert!(pruned.contains("in 3 blobs"), "{pruned}");
    }
}

#[tokio::test]
async fn load_image_listed_with_and_without_name_keeps_name() {
    let (one, cli) = (of("amd64", b"1"), Cli::new());
    let images = [(&one, json!(["app:1"])), (&one, json!(null))];
    std::fs::write(cli.dir().join("d.tar"), docker(&images)).unwrap();
    cli.run(&["load", "d.tar"]).await.expect(0, "");
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn load_invalid_name_keeps_image_by_digest() {
    let [good, odd, both] = [b"1", b"2", b"3"].map(|content| of("amd64", content));
    let cli = Cli::new();
    let archive = docker(&[
        (&odd, json!(["MyApp:V1", "MyApp:V2"])),
        (&good, json!(["x/good:1"])),
        (&both, json!(["UPPER", "x/both:1"])),
    ]);
    std::fs::write(cli.dir().join("d.tar"), archive).unwrap();
    let loaded = cli.run(&["load", "d.tar"]).await;
    loaded.expect(
        0,
        "warning: d.tar: skipping the invalid name `MyApp:V1`: `MyApp` must be lowercase",
    );
    loaded.expect(0, "skipping the invalid name `UPPER`");
    let [good, odd, both] =
        [good, odd, both].map(|held| uncompressed(&held).manifest.digest().clone());
    let lines: Vec<&str> = loaded.stdout.lines().collect();
    let wanted = [format!("docker.io/x/good:1@{good}"), format!("docker.io/x/both:1@{both}")];
    assert_eq!(lines, [&wanted[0][..], &wanted[1], odd.as_str()]);
    assert_eq!(digest(&cli, &["store:x/good:1"]).await, good.to_string());
}

#[tokio::test]
async fn load_damaged_image_loads_the_others() {
    let [good, bad] = [b"1", b"2"].map(|content| of("amd64", content));
    let cli = Cli::new();
    let mut entries = listing(&[(&good, Some("app")), (&bad, None)], false);
    let hex = bad.manifest.digest().encoded().to_owned();
    entries.retain(|entry| !matches!(entry, Entry::File(name, _) if name.ends_with(&hex)));
    std::fs::write(cli.dir().join("o.tar"), tar(&entries)).unwrap();
    let loaded = cli.run(&["load", "o.tar"]).await;
    loaded.expect(3, &hex);
    assert!(loaded.stdout.starts_with("docker.io/library/app:latest@"), "{}", loaded.stdout);
}

#[tokio::test]
async fn unnamed_images_are_selected_by_digest() {
    let [one, other] = [b"1", b"2"].map(|content| of("amd64", content));
    let cli = Cli::new();
    let archive = docker(&[(&one, json!(null)), (&other, json!(null))]);
    std::fs::write(cli.dir().join("d.tar"), archive).unwrap();
    write(&cli, "l", &listing(&[(&one, None), (&other, None), (&one, Some("app"))], false));
    for (place, form) in [("docker-archive:d.tar", 'd'), ("oci-archive:l.tar", 'o'), ("oci:l", 'o')]
    {
        let plain = if form == 'd' { uncompressed(&one) } else { of("amd64", b"1") };
        let (manifest, config) = (plain.manifest.digest(), plain.config.digest());
        let several = cli.run(&["digest", place]).await;
        several.expect(2, "contains several images:");
        several
            .expect(2, &format!("@{}", if form == 'd' { config } else { other.manifest.digest() }));
        for chosen in [manifest, config] {
            for text in [
                format!("{place}@{chosen}"),
                format!("{place}:{chosen}"),
                format!("{place}:@{chosen}"),
            ] {
                assert_eq!(digest(&cli, &[&text]).await, manifest.to_string(), "{text}");
                cli.run(&["copy", &text, "store:given:1"]).await.expect(0, "");
            }
        }
        let absent = format!("{place}@sha256:{}", "0".repeat(64));
        cli.run(&["digest", &absent]).await.expect(3, "blob sha256:0000");
    }
}

#[tokio::test]
async fn partial_index_copies_present_platform_with_warning() {
    let (host, other) = platform();
    let images = [host.as_str(), other.as_str()].map(|name| (name, of(name, name.as_bytes())));
    let held = index(Family::Oci, &images);
    let mut root = serde_json::to_value(&held.document.descriptor).unwrap();
    root["annotations"] = json!({"io.containerd.image.name": "docker.io/x/y:1", REF: "1"});
    let root_blob = format!("blobs/sha256/{}", held.document.digest().encoded());
    for (architecture, present) in &images {
        let cli = Cli::new();
        let mut entries = listing(&[(present, None)], false);
        entries.retain(|entry| !matches!(entry, Entry::File(name, _) if name == "index.json"));
        let listed = json!({"schemaVersion": 2, "manifests": [root]}).to_string();
        let [config, layer] = [&present.config, &present.layers[0]]
            .map(|piece| format!("blobs/sha256/{}", piece.digest().encoded()));
        let item = json!([{"Config": config, "RepoTags": ["x/y:1"], "Layers": [layer]}]);
        entries.extend([
            file(&root_blob, &held.document.bytes[..]),
            file("index.json", listed),
            manifest(&item),
        ]);
        std::fs::write(cli.dir().join("h.tar"), tar(&entries)).unwrap();
        for form in ["docker-archive", "oci-archive"] {
            let place = format!("{form}:h.tar");
            let copied = cli.run(&["copy", &place, &format!("oci:{form}:x")]).await;
            copied.expect(0, &format!("using linux/{architecture}"));
            let found = cli.run(&["manifest", &format!("oci:{form}:x")]).await;
            assert_eq!(found.expect(0, "").stdout.as_bytes(), present.manifest.bytes);
            cli.run(&["copy", "--all-platforms", &place, "oci:all:x"])
                .await
                .expect(3, "are missing");
        }
    }
}
