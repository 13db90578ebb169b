//! `df` of containerd's root.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::containerd_root::ContainerdRootDir;
use crate::support::images::{Family, Image, image, index, layer};

fn stack(architecture: &str, texts: &[&str]) -> Image {
    let layers: Vec<_> = texts.iter().map(|text| layer(&[("file", text.as_bytes())])).collect();
    image(Family::Oci, architecture, &layers)
}

fn size(image: &Image) -> u64 {
    image.size() + image.manifest.descriptor.size
}

#[tokio::test]
async fn containerd_df_tells_images_blobs_and_leftovers() {
    let (root, cli) = (ContainerdRootDir::new(), Cli::new());
    let one = stack("amd64", &["base", "one"]);
    // Of the index only one platform is there.
    let other = stack("amd64", &["base", "second"]);
    let both = index(Family::Oci, &[("amd64", other.clone()), ("arm64", stack("arm64", &["arm"]))]);
    root.add(&one);
    root.add(&other);
    root.add_blob(&both.document);
    // Garbage of a run that was stopped.
    let leftover = stack("s390x", &["nothing needs this"]).layers[0].clone();
    root.add_blob(&leftover);
    std::fs::remove_file(root.blob(&one.layers[1])).unwrap();
    let snapshots = root.path().join("io.containerd.snapshotter.v1.overlayfs/snapshots");
    std::fs::create_dir_all(snapshots.join("7/fs")).unwrap();
    std::fs::write(snapshots.join("7/fs/x"), [0; 77]).unwrap();
    std::fs::create_dir_all(root.path().join("io.containerd.runtime.v2.task")).unwrap();
    std::fs::write(root.path().join("io.containerd.runtime.v2.task/x"), vec![0; 50_000]).unwrap();

    let df = cli.json(&["df", "--json", &root.location()]).await;
    let common = one.layers[0].descriptor.size;
    let size_of_one = size(&one) - one.layers[1].descriptor.size;
    let size_of_both = size(&other) + both.document.descriptor.size;
    let row = |digest: &rpull::Digest, size: u64| {
        json!({
            "reference": format!("<none> ({})", digest.short()), "names": [], "digest": digest,
            "size": size, "shared": common, "unique": size - common,
        })
    };
    let mut wanted =
        [row(one.manifest.digest(), size_of_one), row(both.document.digest(), size_of_both)];
    wanted.sort_by_key(|row| row["reference"].to_string());
    assert_eq!(df["images"], json!(wanted));
    assert_eq!(df["unreferenced"], leftover.descriptor.size);
    assert_eq!(df["referenced"], size_of_one + size_of_both - common);
    assert_eq!(df["blobs"], 8);
    let layers = df["layers"].as_array().unwrap();
    let of = |image: &Image, number: usize| -> &Value {
        layers.iter().find(|row| row["digest"] == json!(image.layers[number].digest())).unwrap()
    };
    assert_eq!(layers.len(), 3);
    assert_eq!(of(&one, 0)["images"].as_array().unwrap().len(), 2);
    let blob = root.blob(&one.layers[0]).display().to_string();
    assert_eq!((&of(&one, 0)["blob"], &of(&one, 0)["directory"]), (&json!(blob), &Value::Null));
    assert_eq!((&of(&one, 1)["size"], &of(&one, 1)["blob"]), (&Value::Null, &Value::Null));
    let shares = df["shares"].as_array().unwrap();
    assert_eq!(shares[0]["directory"], "io.containerd.runtime.v2.task", "the largest first");
    let leftovers = shares.iter().find(|share| share["bytes"] == 77).unwrap();
    assert_eq!(leftovers["holds"], "changes by containers or leftovers");

    let text = cli.run(&["df", &root.location()]).await;
    text.expect(0, "");
    for part in ["NEEDED BY", "UNPACKED", "unreferenced blobs", "in 8 blobs, ", "50.0 kB"] {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
    let named = format!("{}:app", root.location());
    cli.run(&["df", &named]).await.expect(2, "containerd-root:DIR, without an image");
}
