//! `df`, `prune` and `rm --overlay`: disk usage of the store and its overlay directories.

use std::fs;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::images::Image;
use crate::support::live::is_root;
use crate::support::mounted::{Mounted, can_mount};
use crate::support::samples::{publish, versions, versions_of};

/// Returns a store and an overlay directory with two versions of an image.
async fn unpacked() -> (Cli, [String; 2], u64, u64) {
    unpacked_of(versions()).await
}

async fn unpacked_of(versions: [Image; 2]) -> (Cli, [String; 2], u64, u64) {
    let (_registry, [first, second], name) = publish(versions).await;
    let cli = Cli::new();
    let names = ["1", "2"].map(|tag| format!("{name}:{tag}"));
    for name in &names {
        cli.run(&["unpack", "--overlay", name, "layers"]).await.expect(0, "");
    }
    let shared = first.layers.first().map_or(0, |base| base.descriptor.size);
    let own = second.size() - shared + second.manifest.descriptor.size;
    (cli, names, shared, own)
}

#[tokio::test]
async fn df_shows_shared_and_unique_size_per_image() {
    let (cli, [first, second], shared, own) = unpacked().await;
    let told = cli.json(&["df", "--json"]).await;
    let image = &told["images"][1];
    assert_eq!(image["reference"], json!(second));
    assert_eq!((&image["shared"], &image["unique"]), (&json!(shared), &json!(own)));
    assert_eq!(
        (&told["blobs"], &told["unreferenced"], &told["partial"]),
        (&json!(7), &json!(0), &json!(0))
    );
    assert_eq!(told["bytes"], told["referenced"]);
    let layers = &told["overlays"][0];
    assert_eq!(layers["directory"], json!(fs::canonicalize(cli.dir().join("layers")).unwrap()));
    let row = |reference: &str, manifest: &Value| json!({"reference": reference, "manifest": manifest, "size": 23_000, "shared": 20_000, "unique": 3_000});
    let manifest = |at: usize| &layers["images"][at]["manifest"];
    assert_eq!(layers["images"], json!([row(&first, manifest(0)), row(&second, manifest(1))]));
    assert_eq!((&layers["layers"], &layers["bytes"]), (&json!(3), &json!(26_000)));
    let text = cli.run(&["df"]).await;
    assert!(
        text.expect(0, "").stdout.contains("26.0 kB in 3 layers, 0 B unreferenced"),
        "{}",
        text.stdout
    );
}

#[tokio::test]
async fn prune_frees_unreferenced_overlay_layers() {
    let (cli, [first, second], ..) = unpacked().await;
    let count = || fs::read_dir(cli.dir().join("layers/layerdb/sha256")).unwrap().count();
    // Names in the store and in the overlay directory are independent.
    cli.run(&["rm", &second]).await.expect(0, "");
    assert_eq!(cli.json(&["prune", "--json"]).await["layers"], 0);
    cli.run(&["rm", "--overlay", "layers", &second]).await.expect(0, "");
    cli.run(&["rm", "--overlay", "layers", &second])
        .await
        .expect(3, "not in the overlay directory");
    cli.run(&["rm", "--overlay", "absent", &second]).await.expect(3, "is not an overlay directory");
    let told = cli.json(&["df", "--json"]).await;
    assert_eq!(told["overlays"][0]["unreferenced"], 3_000);
    let plan = cli.json(&["prune", "--plan", "--json"]).await;
    assert_eq!((&plan["layers"], &plan["layer_bytes"], count()), (&json!(1), &json!(3_000), 3));
    assert_eq!((cli.json(&["prune", "--json"]).await, count()), (plan, 2));
    let names = |path: &str| fs::read_dir(cli.dir().join(path)).unwrap().count();
    assert_eq!(
        (names("layers/overlay2/l"), names("layers/overlay2")),
        (2, 4 + usize::from(!is_root("")))
    );
    let output = cli.run(&["unpack", "--overlay", "--offline", &first, "layers"]).await;
    output.expect(0, "unpacked 0 of 2 layers, 0 files, 0 B, 23.0 kB shared (100 %)");
    // A removed directory is forgotten; one with a damaged list is left unchanged.
    fs::write(cli.dir().join("layers/images.json"), "{").unwrap();
    cli.run(&["prune"]).await.expect(7, "images.json: is corrupt");
    assert_eq!(count(), 2);
    fs::remove_dir_all(cli.dir().join("layers")).unwrap();
    cli.run(&["prune"]).await.expect(0, "");
    assert_eq!(fs::read_to_string(cli.store().join("overlays.json")).unwrap(), "[]");
    assert_eq!(cli.json(&["df", "--json"]).await["overlays"], json!([]));
}

#[tokio::test]
async fn prune_keeps_mounted_overlay_layers() {
    if !can_mount("prune_keeps_mounted_overlay_layers") {
        return;
    }
    let (cli, [_, second], ..) = unpacked_of(versions_of(121)).await;
    fs::create_dir(cli.dir().join("root")).unwrap();
    let args = ["unpack", "--overlay", "--offline", &second, "layers", "--mount", "root"];
    cli.run(&args).await.expect(0, "");
    let mounted = Mounted::at(&cli.dir().join("root"));
    cli.run(&["rm", "--overlay", "layers", &second]).await.expect(0, "");
    assert_eq!(cli.json(&["prune", "--json"]).await["layers"], 0);
    drop(mounted);
    assert_eq!(cli.json(&["prune", "--json"]).await["layers"], 1);
}
