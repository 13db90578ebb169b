//! Images of docker's data root, looked at and copied.

use serde_json::json;

use crate::support::cli::Cli;
use crate::support::docker_root::{DockerRootDir, chain_of};
use crate::support::images::{Family, Image, gzip, image, layer, random_blob};
use crate::support::tar_item::{TarItem, tar};

/// An image whose layers have directories, links and whiteouts.
fn app() -> Image {
    let base = gzip(&tar(&[
        TarItem::dir("./"),
        TarItem::dir("./etc/"),
        TarItem::file("./etc/motd", "hello\n"),
        TarItem::hardlink("./etc/again", "./etc/motd"),
        TarItem::dir("usr/"),
        TarItem::dir("usr/lib/"),
        TarItem::symlink("lib", "/usr/lib"),
        // Below a link: docker unpacks it to usr/lib in a chroot.
        TarItem::file("lib/data", random_blob(300_000, 3)),
        TarItem::file("empty", ""),
    ]));
    let top = gzip(&tar(&[
        TarItem::whiteout("etc/motd"),
        TarItem::file(format!("long/{}", "n".repeat(200)), "x"),
    ]));
    image(Family::Oci, "amd64", &[base, top])
}

fn tiny(text: &str) -> Image {
    image(Family::Oci, "amd64", &[layer(&[("file", text.as_bytes())])])
}

#[tokio::test]
async fn docker_root_copy_rebuilds_exact_layers() {
    let (mut root, cli) = (DockerRootDir::new(), Cli::new());
    let own = root.add(Some("app:1"), &app());
    for target in ["oci:out:app", "store:app:1", "docker-archive:out.tar"] {
        cli.run(&["copy", &root.location(), target]).await.expect(0, "0 requests");
    }
    let digest = format!("{}\n", own.manifest.digest());
    for source in [&root.location(), "oci:out:app", "store:app:1", "docker-archive:out.tar"] {
        assert_eq!(cli.run(&["digest", source]).await.stdout, digest, "{source}");
    }
    cli.run(&["verify", "oci:out", "store:app:1"]).await.expect(0, "");
    cli.run(&["verify", &root.location()]).await.expect(0, "");
    cli.run(&["unpack", &root.location(), "unpacked"]).await.expect(0, "unpacked 2 layers");
    assert_eq!(std::fs::read(cli.dir().join("unpacked/etc/again")).unwrap(), b"hello\n");
    let blob = format!("{}@{}", root.location(), own.layers[1].digest());
    cli.run(&["blob", "-o", "layer.tar", &blob]).await.expect(0, "");
    assert_eq!(std::fs::read(cli.dir().join("layer.tar")).unwrap(), own.layers[1].bytes);
}

#[tokio::test]
async fn docker_root_layers_and_history_name_directories() {
    let (mut root, cli) = (DockerRootDir::new(), Cli::new());
    let own = root.add(Some("app:1"), &app());
    let chain = chain_of(&own);
    let layers = cli.json(&["layers", "--json", &root.location()]).await;
    for (index, id) in chain.iter().enumerate() {
        let row = &layers[index];
        assert_eq!(row["directory"], json!(root.diff(id)));
        assert_eq!(row["chain_id"], json!(id));
        assert_eq!(row["size"], json!(own.layers[index].descriptor.size));
        let size = std::fs::read_to_string(root.layer(id).join("size")).unwrap();
        assert_eq!(row["unpacked_size"].to_string(), size);
    }
    // As `docker history` has it: bytes of files, and not of the tar.
    let history = cli.json(&["history", "--json", &root.location()]).await;
    let sizes: Vec<_> = (0..3).map(|row| history[row]["size"].clone()).collect();
    assert_eq!(
        sizes,
        [json!(0), layers[1]["unpacked_size"].clone(), layers[0]["unpacked_size"].clone()]
    );
    assert_eq!(history[0]["directory"], json!(null));
    assert_eq!(history[2]["directory"], layers[0]["directory"]);
    for verb in ["layers", "history"] {
        let short = cli.run(&[verb, &root.location()]).await.stdout;
        let whole = cli.run(&[verb, "--no-trunc", &root.location()]).await.stdout;
        let directory = root.diff(&chain[1]).display().to_string();
        assert!(short.contains("overlay2/") && !short.contains(&directory), "{short}");
        assert!(whole.contains(&directory), "{whole}");
    }
}

#[tokio::test]
async fn docker_root_images_are_found_by_name_and_id() {
    let (mut root, cli) = (DockerRootDir::new(), Cli::new());
    let one = root.add(Some("app:1"), &tiny("one"));
    let two = root.add(Some("localhost:5000/team/app:2"), &tiny("two"));
    let nameless = root.add(None, &tiny("three"));
    let id = |image: &Image| image.config.digest().encoded().to_owned();
    for (name, image) in [
        ("app:1", &one),
        ("docker.io/library/app:1", &one),
        ("localhost:5000/team/app:2", &two),
        (&id(&nameless)[..12], &nameless),
        (&id(&one), &one),
        (&format!("sha256:{}", id(&two)), &two),
    ] {
        let place = format!("{}:{name}", root.location());
        let digest = format!("{}\n", image.manifest.digest());
        assert_eq!(cli.run(&["digest", &place]).await.stdout, digest, "{name}");
    }
    let by_manifest = format!("{}@{}", root.location(), two.manifest.digest());
    cli.run(&["manifest", &by_manifest]).await.expect(0, "");
    cli.run(&["digest", &format!("{}:app:3", root.location())])
        .await
        .expect(3, "not in the engine's store");
    let several = cli.run(&["history", &root.location()]).await;
    several
        .expect(2, "contains several images: docker.io/library/app:1, localhost:5000/team/app:2");
    assert!(!several.stderr.contains(&id(&nameless)), "{}", several.stderr);
}

#[tokio::test]
async fn docker_root_as_target_is_usage_error() {
    let (mut root, cli) = (DockerRootDir::new(), Cli::new());
    root.add(Some("app:1"), &tiny("one"));
    for target in [root.location(), format!("{}:new:1", root.location())] {
        let args = ["copy", &root.location(), &target];
        cli.run(&args).await.expect(2, "docker-root can only be read from");
    }
    cli.run(&["pull", "-o", &root.location(), "app:1"]).await.expect(2, "can only be read from");
}
