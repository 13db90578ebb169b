//! Names of images that are paths: the hint is the location to write.

use crate::support::cli::Cli;
use crate::support::samples::published;

#[tokio::test]
async fn path_in_place_of_image_is_rejected_with_location() {
    let (registry, _, name) = published().await;
    let (cli, image) = (Cli::new(), format!("{name}:1"));
    cli.run(&["pull", "-o", "oci:lay", &image]).await.expect(0, "");
    cli.run(&["pull", "-o", "docker-archive:a.tar", &image]).await.expect(0, "");
    registry.server.forget();
    let (layout, archive) = ("write `oci:./lay`", "or `docker-archive:a.tar`");
    for (words, hint) in [
        (&["inspect", "./lay"][..], layout),
        (&["./lay"], layout),
        (&["copy", "./lay", &image], layout),
        (&["copy", &image, "./lay9"], "write `oci:./lay9`"),
        (&["push", "./lay", &image], layout),
        (&["referrers", "./lay"], layout),
        (&["verify", "./lay"], layout),
        (&["append", "./lay", "lay", "-t", "x:1"], layout),
        (&["index", "create", "./lay", &image], layout),
        (&["pull", "-o", "./lay", &image], layout),
        (&["inspect", "a.tar"], archive),
        (&["verify", "a.tar"], archive),
        (&["append", &image, "lay", "-t", "x.tar"], "write `oci-archive:x.tar`"),
        (&["tags", "./lay"], "write REGISTRY/REPOSITORY"),
    ] {
        let output = cli.run(words).await;
        output.expect(2, hint);
        assert_eq!(output.stdout, "", "{words:?}");
    }
    assert_eq!(registry.server.lines(), [""; 0]);
    cli.run(&["save", "lay", "-o", "b.tar"]).await.expect(3, "write `oci:lay`");
    cli.run(&["inspect", "oci:./lay"]).await.expect(0, "");
    cli.run(&["inspect", "docker-archive:a.tar"]).await.expect(0, "");
}

#[tokio::test]
async fn load_of_layout_or_location_names_working_command() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    cli.run(&["pull", "-o", "oci:lay:a:1", &format!("{name}:1")]).await.expect(0, "");
    cli.run(&["pull", "-o", "oci-archive:a.tar:a:1", &format!("{name}:1")]).await.expect(0, "");
    for (file, code, hint) in [
        ("lay", 7, "rpull copy oci:lay store:NAME"),
        ("oci:lay", 2, "rpull copy oci:lay store:NAME"),
        ("oci-archive:a.tar", 2, "rpull load a.tar"),
    ] {
        cli.run(&["load", file]).await.expect(code, hint);
    }
    cli.run(&["copy", "oci:lay", "store:b:1"]).await.expect(0, "");
    cli.run(&["load", "a.tar"]).await.expect(0, "");
}

#[tokio::test]
async fn tags_of_registry_names_catalog() {
    let (registry, _, _) = published().await;
    let cli = Cli::new();
    let host = registry.server.host();
    cli.run(&["tags", &host]).await.expect(2, &format!("`rpull catalog {host}`"));
    assert_eq!(registry.server.lines(), [""; 0]);
}
