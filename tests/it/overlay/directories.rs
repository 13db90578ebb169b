//! `unpack --overlay`: overlay directories in the form of docker, shared between images.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{archive, base, chains, sample, text, upper};
use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::images::{Family, Layer, gzip, image, layer, random_blob};
use crate::support::live::is_root;
use crate::support::mounted::{Mounted, can_mount};
use crate::support::samples::published;

/// Sorted names in a directory.
fn listed(path: PathBuf) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn overlay_directories_match_docker_overlay2() {
    let cli = Cli::new();
    let held = sample("1");
    let output = cli.run(&["unpack", "--overlay", &archive(&cli, &held, "app"), "layers"]).await;
    output.expect(0, "unpacked 2 of 2 layers, 5 files, 700.0 kB, 0 B shared (0 %), ");
    let (dir, layers) = (cli.dir().join("layers"), [base(), upper("1")]);
    let chains = chains(&layers);
    assert_eq!(listed(dir.clone()), ["images.json", "layerdb", "overlay2"]);
    let short: Vec<_> =
        chains.iter().map(|chain| text(&dir.join("overlay2").join(chain).join("link"))).collect();
    for (number, (chain, layer)) in chains.iter().zip(&layers).enumerate() {
        let (place, entry) =
            (dir.join("overlay2").join(chain), dir.join("layerdb/sha256").join(chain));
        let mut wanted = vec!["committed", "diff", "link", "lower"];
        let mut described = vec!["cache-id", "diff", "parent", "size"];
        if number == 0 {
            wanted.retain(|name| *name != "lower");
            described.retain(|name| *name != "parent");
        } else {
            assert_eq!(text(&place.join("lower")), format!("l/{}", short[0]));
            assert_eq!(text(&entry.join("parent")), format!("sha256:{}", chains[0]));
        }
        assert_eq!(
            (listed(place.clone()), listed(entry.clone())),
            (
                wanted.iter().map(ToString::to_string).collect(),
                described.iter().map(ToString::to_string).collect()
            )
        );
        assert_eq!(text(&entry.join("cache-id")), *chain);
        assert_eq!(text(&entry.join("diff")), layer.diff_id.as_str());
        let link = dir.join("overlay2/l").join(&short[number]);
        assert_eq!(fs::read_link(link).unwrap(), Path::new(&format!("../{chain}/diff")));
        assert_eq!(short[number].len(), 26);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&place), mode(&place.join("diff"))), (0o710, 0o755));
    }
    let size = |number: usize| text(&dir.join("layerdb/sha256").join(&chains[number]).join("size"));
    assert_eq!((size(0), size(1)), ("700011".to_owned(), "1".to_owned()));
    let images: Value = serde_json::from_str(&text(&dir.join("images.json"))).unwrap();
    let ids: Vec<_> = chains.iter().map(|chain| format!("sha256:{chain}")).collect();
    let wanted = json!({"example.com/app:1": {"manifest": held.manifest.digest(), "chains": ids}});
    assert_eq!(images, wanted);
    let top = dir.join("overlay2/l").display().to_string();
    let user = if is_root("") { "" } else { "userxattr," };
    let wanted = format!(
        "mount -t overlay overlay -o ro,{user}lowerdir={top}/{}:{top}/{} /mnt\n",
        short[1], short[0]
    );
    assert_eq!(output.stdout, wanted);
}

#[tokio::test]
async fn overlay_shared_layers_are_reported() {
    let cli = Cli::new();
    let (first, second) = (archive(&cli, &sample("1"), "a"), archive(&cli, &sample("22"), "b"));
    cli.run(&["unpack", "--overlay", &first, "layers"]).await.expect(0, "unpacked 2 of 2 layers");
    let output = cli.run(&["unpack", "--overlay", &second, "layers"]).await;
    output.expect(0, "unpacked 1 of 2 layers, 1 file, 2 B, 700.0 kB shared (99 %), ");
    let told = cli.json(&["unpack", "--overlay", "--json", &second, "layers"]).await;
    assert_eq!(told["shared"], json!({"layers": 2, "bytes": 700_013}));
    assert_eq!((&told["bytes"], &told["directory"]), (&json!(0), &json!("layers")));
    assert_eq!((&told["layers"][0]["shared"], &told["mounted"]), (&json!(true), &Value::Null));
    assert!(told["mount"].as_str().unwrap().starts_with("mount -t overlay "), "{told}");
    assert_eq!(listed(cli.dir().join("layers/overlay2/l")).len(), 3);
    assert_eq!(listed(cli.dir().join("layers/layerdb/sha256")).len(), 3);
}

#[tokio::test]
async fn overlay_invalid_layer_is_not_committed() {
    let cli = Cli::new();
    let other = Layer { diff_id: upper("2").diff_id, ..upper("1") };
    let hostile = layer_of(&[TarItem::file("ok", ""), TarItem::hardlink("bad", "absent")]);
    let cut = Layer { bytes: upper("1").bytes.slice(..60), ..upper("1") };
    for (number, (bad, code, words)) in [
        (other, 5, "diff_id mismatch: expected sha256:"),
        (hostile, 7, ": bad: is a hard link to a file that does not exist"),
        (cut, 7, "layer sha256:"),
    ]
    .into_iter()
    .enumerate()
    {
        let held = image(Family::Oci, "amd64", &[base(), bad, upper("3")]);
        let place = archive(&cli, &held, &format!("app{number}"));
        let output = cli.run(&["unpack", "--overlay", &place, "layers"]).await;
        output.expect(code, words).expect(code, "error: layer sha256:");
        // The base is complete, so the next image need not unpack it.
        let base = chains(&[base()]);
        assert_eq!(
            listed(cli.dir().join("layers/overlay2")),
            [&base[..], &["empty".into(), "l".into()]].concat()
        );
        assert_eq!(listed(cli.dir().join("layers/layerdb/sha256")), base);
        assert!(!cli.dir().join("layers/images.json").exists());
    }
    let place = archive(&cli, &sample("1"), "good");
    cli.run(&["unpack", "--overlay", &place, "layers"]).await.expect(0, "unpacked 1 of 2 layers");
    // A run that fails before the first layer creates nothing.
    cli.run(&["unpack", "--overlay", "oci:absent", "other"]).await.expect(3, "does not exist");
    assert!(!cli.dir().join("other").exists());
    cli.run(&["unpack", "--overlay", &place, "other", "--mount", "absent"])
        .await
        .expect(7, "mount: absent");
    assert!(!cli.dir().join("other").exists());
}

#[tokio::test]
async fn overlay_disk_full_leaves_no_partial_layer() {
    let test = "overlay_disk_full_leaves_no_partial_layer";
    if !can_mount(test) {
        return;
    }
    let cli = Cli::new();
    let place = archive(&cli, &sample("1"), "app");
    let disk = cli.dir().join("disk");
    fs::create_dir(&disk).unwrap();
    let _disk = Mounted::by("mount -t tmpfs -o size=600k small /mnt", &disk);
    let output = cli.run(&["unpack", "--overlay", &place, "disk/layers"]).await;
    output.expect(7, ": big: No space left on device").expect(7, "hint: free disk space there");
    assert_eq!(listed(disk.join("layers/overlay2")), ["empty", "l"]);
    let more = Command::new("mount").args(["-o", "remount,size=2m"]).arg(&disk).status().unwrap();
    assert!(more.success());
    cli.run(&["unpack", "--overlay", &place, "disk/layers"]).await.expect(0, "unpacked 2 of 2");
}

#[tokio::test]
async fn overlay_disk_full_names_layers_it_keeps() {
    let test = "overlay_disk_full_names_layers_it_keeps";
    if !can_mount(test) {
        return;
    }
    let cli = Cli::new();
    // The upper layer has no entry for its directory, so that it waits for the lower one.
    let large = layer(&[("d/large", &random_blob(900_000, 1))]);
    let held = image(Family::Oci, "amd64", &[layer(&[("d/small", b"small")]), large]);
    let place = archive(&cli, &held, "app");
    let disk = cli.dir().join("disk");
    fs::create_dir(&disk).unwrap();
    let _disk = Mounted::by("mount -t tmpfs -o size=600k small /mnt", &disk);
    let unpack = ["unpack", "--overlay", &place, "disk/layers"];
    let kept = "kept 1 complete layer (5 B) in disk/layers for the next run; `rpull prune`";
    let output = cli.run(&unpack).await;
    output.expect(7, "No space left on device").expect(7, kept);
    assert_eq!(cli.json(&["prune", "--plan", "--json"]).await["layers"], 1);
    let more = Command::new("mount").args(["-o", "remount,size=2m"]).arg(&disk).status().unwrap();
    assert!(more.success());
    cli.run(&unpack).await.expect(0, "unpacked 1 of 2 layers");
    assert_eq!(cli.json(&["prune", "--plan", "--json"]).await["layers"], 0);
}

#[tokio::test]
async fn overlay_planted_symlink_is_not_followed() {
    let cli = Cli::new();
    let (place, dir) = (archive(&cli, &sample("1"), "app"), cli.dir());
    for name in ["full", "victim", "empty"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    fs::write(dir.join("full/file"), "mine").unwrap();
    let link =
        |target: &str, name: &str| std::os::unix::fs::symlink(target, dir.join(name)).unwrap();
    link("empty", "link");
    for (target, why) in
        [("full", "directory not empty"), ("link", ""), ("gone/layers", "No such file")]
    {
        cli.run(&["unpack", "--overlay", &place, target]).await.expect(7, why);
    }
    assert_eq!(
        (listed(dir.join("full")), listed(dir.join("empty")).len()),
        (vec!["file".to_owned()], 0)
    );
    link("../victim", "empty/overlay2");
    cli.run(&["unpack", "--overlay", &place, "empty"]).await.expect(7, "overlay: empty");
    fs::remove_file(dir.join("empty/overlay2")).unwrap();
    cli.run(&["unpack", "--overlay", &place, "empty"]).await.expect(0, "");
    // A planted link is replaced, and nothing is written through a link in layerdb.
    let layers = [base(), upper("2")];
    let chain = &chains(&layers)[1];
    link("../../../victim", &format!("empty/overlay2/{chain}"));
    link("../../../victim", &format!("empty/layerdb/sha256/{chain}"));
    let place = archive(&cli, &sample("2"), "other");
    cli.run(&["unpack", "--overlay", "--sync", &place, "empty"]).await.expect(0, "unpacked 1 of 2");
    assert!(listed(dir.join("victim")).is_empty());
    assert!(dir.join("empty/overlay2").join(chain).join("committed").is_file());
}

#[tokio::test]
async fn pull_unpack_overlay_writes_layer_directories() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let args = |tag: &str| {
        ["pull", "--unpack", "layers", "--overlay", &format!("{name}:{tag}")].map(str::to_owned)
    };
    cli.run(&args("1")).await.expect(0, "unpacked 2 of 2 layers");
    let output = cli.run(&args("2")).await;
    output.expect(0, "unpacked 1 of 2 layers, 1 file, 3.0 kB, 20.0 kB shared");
    assert!(output.stdout.starts_with("mount -t overlay "), "{}", output.stdout);
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 2);
    cli.run(&["pull", "--overlay", &name]).await.expect(2, "--unpack");
}

#[tokio::test]
async fn overlay_concurrent_unpacks_write_each_layer_once() {
    let cli = Cli::new();
    let many: Vec<_> = (0..6)
        .map(|n| layer_of(&[TarItem::file(format!("f{n}"), random_blob(300_000, n))]))
        .collect();
    let place = |name: &str, last: Layer| {
        let layers = [&many[..], &[last]].concat();
        archive(&cli, &image(Family::Oci, "amd64", &layers), name)
    };
    let (a, b) = (place("a", upper("1")), place("b", gzip(&[0; 1024])));
    let args = |place| ["unpack", "--overlay", place, "layers"];
    let (first, second) = (cli.spawn(&args(&a)), cli.spawn(&args(&b)));
    let outputs = [first.wait().await, second.wait().await];
    for output in &outputs {
        output.expect(0, "unpacked ");
    }
    let unpacked = |count: &str| outputs.iter().any(|output| output.stderr.contains(count));
    assert!(unpacked("unpacked 7 of 7") && unpacked("unpacked 1 of 7"), "{outputs:?}");
    let images: Value = serde_json::from_str(&text(&cli.dir().join("layers/images.json"))).unwrap();
    assert_eq!(images.as_object().unwrap().len(), 2);
}
