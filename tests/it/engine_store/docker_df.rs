//! `df` of docker's data root.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::docker_root::{DockerRootDir, chain_of};
use crate::support::images::{Family, Image, image, layer};

fn stack(texts: &[&str]) -> Image {
    let layers: Vec<_> = texts.iter().map(|text| layer(&[("file", text.as_bytes())])).collect();
    image(Family::Oci, "amd64", &layers)
}

fn share(df: &Value, holds: &str) -> Value {
    let shares = df["shares"].as_array().unwrap();
    let found = shares.iter().find(|share| share["holds"] == holds);
    found.map_or(Value::Null, |share| json!([share["count"], share["bytes"]]))
}

#[tokio::test]
async fn docker_df_tells_images_layers_and_leftovers() {
    let (mut root, cli) = (DockerRootDir::new(), Cli::new());
    let one = root.add(Some("app:1"), &stack(&["base", "one"]));
    root.add(Some("app:2"), &stack(&["base", "second"]));
    let removed = root.add(None, &stack(&["lost", "kept by a container"]));
    let leftover = root.add(None, &stack(&["nothing needs this"]));
    for image in [&removed, &leftover] {
        std::fs::remove_file(root.config(image)).unwrap();
    }
    root.add_container(&chain_of(&removed)[1], 1000);
    let cache = root.path().join("overlay2/cache/diff");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::write(cache.join("x"), [0; 77]).unwrap();
    std::fs::create_dir_all(root.path().join("volumes/data/_data")).unwrap();
    std::fs::write(root.path().join("volumes/data/_data/x"), [0; 5000]).unwrap();

    let df = cli.json(&["df", "--json", &root.location()]).await;
    let image = |reference: &str, size: u64, shared: u64| json!({"reference": reference, "size": size, "shared": shared, "unique": size - shared});
    let mut images = df["images"].clone();
    assert_eq!(images[0]["digest"], json!(one.config.digest()));
    for image in images.as_array_mut().unwrap() {
        image.as_object_mut().unwrap().remove("digest");
        image.as_object_mut().unwrap().remove("names");
    }
    let expected =
        [image("docker.io/library/app:1", 7, 4), image("docker.io/library/app:2", 10, 4)];
    assert_eq!(images, json!(expected));
    assert_eq!(df["bytes"], 4 + 3 + 6 + 4 + 19 + 18);
    assert_eq!(df["unreferenced"], 18);
    assert_eq!(df["referenced"], 4 + 3 + 6 + 4 + 19);
    assert_eq!(share(&df, "layers of images"), json!([3, 13]));
    assert_eq!(share(&df, "layers of containers"), json!([2, 23]));
    assert_eq!(share(&df, "unreferenced layers"), json!([1, 18]));
    assert_eq!(share(&df, "changes by containers"), json!([1, 1000]));
    assert_eq!(share(&df, "build cache or leftovers"), json!([1, 77]));
    let volumes = df["shares"].as_array().unwrap();
    assert_eq!(volumes[0]["directory"], "volumes", "the largest first");
    assert_eq!(volumes[0]["bytes"], 5000);
    let base = df["layers"].as_array().unwrap().iter().find(|row| row["size"] == 4).unwrap();
    assert!(base["directory"].as_str().unwrap().ends_with("/diff"));
    let of_base = df["layers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["images"].as_array().unwrap().len() == 2);
    assert_eq!(of_base.count(), 1);

    let text = cli.run(&["df", &root.location()]).await;
    text.expect(0, "");
    for part in
        ["NEEDED BY", "1 container", "overlay2/", "18 B unreferenced", "5.0 kB", "build cache"]
    {
        assert!(text.stdout.contains(part), "no `{part}` in: {}", text.stdout);
    }
}

#[tokio::test]
async fn docker_df_tells_all_names_of_image() {
    let (mut root, cli) = (DockerRootDir::new(), Cli::new());
    root.add(Some("app:1"), &stack(&["base"]));
    root.add(Some("other:2"), &stack(&["base"]));
    let names = ["docker.io/library/app:1", "docker.io/library/other:2"];
    let df = cli.json(&["df", "--json", &root.location()]).await;
    assert_eq!(df["images"].as_array().unwrap().len(), 1);
    assert_eq!(df["images"][0]["names"], json!(names));
    let text = cli.run(&["df", &root.location()]).await;
    assert!(names.iter().all(|name| text.stdout.contains(name)), "{}", text.stdout);
}

#[tokio::test]
async fn docker_df_cycle_of_parents_ends() {
    let (mut root, cli) = (DockerRootDir::new(), Cli::new());
    let image = root.add(Some("app:1"), &stack(&["base", "top"]));
    let chain = chain_of(&image);
    std::fs::write(root.layer(&chain[0]).join("parent"), chain[1].as_str()).unwrap();
    root.add_container(&chain[1], 1);
    let df = cli.json(&["df", "--json", &root.location()]).await;
    let containers: Vec<_> =
        df["layers"].as_array().unwrap().iter().map(|row| row["containers"].clone()).collect();
    assert_eq!(containers, [json!(1), json!(1)]);
    cli.run(&["layers", &root.location()]).await.expect(7, "does not match its chain id");
}

#[tokio::test]
async fn docker_df_of_other_locations_is_usage_error() {
    let (root, cli) = (DockerRootDir::new(), Cli::new());
    for place in ["alpine", "oci:x", &format!("{}:app:1", root.location())] {
        cli.run(&["df", place]).await.expect(2, "expected docker-root:DIR");
    }
    let empty = cli.json(&["df", "--json", &root.location()]).await;
    assert_eq!((&empty["images"], &empty["bytes"]), (&json!([]), &json!(0)));
}
