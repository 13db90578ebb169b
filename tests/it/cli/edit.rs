//! `append`, `mutate`, `rebase`, `flatten`: new images of images, at every location, with nothing moved that is there.

use rpull::digest::Digest;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob, with_config};
use crate::support::tar_item::{TarItem, sparse, tar, tar_without_trailer};

/// An image with a config that has members which rpull does not know.
fn base() -> Image {
    let base = image(Family::Oci, "amd64", &[layer(&[("base", &random_blob(500, 1))])]);
    let mut config: Value = serde_json::from_slice(&base.config.bytes).unwrap();
    config["config"]["Healthcheck"] = json!({"Test": ["NONE"], "Interval": 5});
    config["config"]["Labels"] = json!({"kept": "1"});
    config["moby.buildkit.x"] = json!({"y": [1.5]});
    with_config(&base, &config)
}

async fn published(image: &Image) -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    image.publish(&registry, "base", Some("1"));
    let name = registry.repository("base:1");
    (registry, name)
}

/// Files in the working directory of commands.
fn write_files(cli: &Cli, dir: &str) {
    let dir = cli.dir().join(dir);
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::write(dir.join("sub/run"), "run me").unwrap();
    std::fs::write(dir.join("a"), "a").unwrap();
    std::os::unix::fs::symlink("sub/run", dir.join("link")).unwrap();
}

async fn config_of(cli: &Cli, place: &str) -> Value {
    cli.json(&["config", place]).await
}

async fn manifest_of(cli: &Cli, place: &str) -> Value {
    cli.json(&["manifest", place]).await
}

#[tokio::test]
async fn append_of_directory_is_reproducible_and_complete() {
    let (_registry, base) = published(&base()).await;
    let cli = Cli::new().env("SOURCE_DATE_EPOCH", "1000000000");
    write_files(&cli, "one/app");
    write_files(&cli, "two/app");
    let append = async |dir: &str, to: &str| {
        let dir = format!("{dir}/app");
        let args = ["append", "--json", "--prefix", "/opt/x", &base, &dir, "-t", to];
        cli.json(&args).await
    };
    let (first, second) = (append("one", "app:1").await, append("two", "oci:l:app:2").await);
    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(first["reference"], "docker.io/library/app:1");

    let config = config_of(&cli, "store:app:1").await;
    assert_eq!(config["created"], "2001-09-09T01:46:40Z");
    assert_eq!(config["moby.buildkit.x"], json!({"y": [1.5]}));
    let step = json!({"created": "2001-09-09T01:46:40Z", "created_by": "COPY app /opt/x"});
    assert_eq!(config["history"].as_array().unwrap().last(), Some(&step));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);

    let listed =
        cli.run(&["files", "store:app:1", "--layer", "1"]).await.expect(0, "").stdout.clone();
    for name in ["opt/x/a", "opt/x/link", "opt/x/sub/run"] {
        assert!(listed.contains(name), "{listed}");
    }
    cli.run(&["unpack", "store:app:1", "root"]).await.expect(0, "");
    let root = cli.dir().join("root");
    assert_eq!(std::fs::read_to_string(root.join("opt/x/link")).unwrap(), "run me");
    let modified = root.join("opt/x/a").metadata().unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(modified.as_secs(), 1_000_000_000);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn append_of_compressed_tar_keeps_its_bytes() {
    let (registry, base) = published(&base()).await;
    let cli = Cli::new();
    let added = layer(&[("etc/added", b"x")]);
    std::fs::write(cli.dir().join("added.tgz"), &added.bytes).unwrap();
    let target = format!("docker://{}", registry.repository("app:1"));
    let report = cli.json(&["append", "--json", &base, "added.tgz", "-t", &target]).await;
    let digest = Digest::sha256(&added.bytes);
    assert_eq!(registry.blob_bytes("app", &digest).unwrap(), added.bytes);
    let config = config_of(&cli, &target).await;
    assert_eq!(config["rootfs"]["diff_ids"][1], json!(added.diff_id));
    let outcome = |at: usize| &report["blobs"][at]["outcome"];
    assert_eq!(outcome(1), "mounted", "the layer of the base: {report}");
    assert_eq!(report["blobs"][1]["from"], "base");
    assert_eq!(outcome(2), "transferred");

    let stdin = std::fs::File::open(cli.dir().join("added.tgz")).unwrap();
    let args = ["append", "--json", "--compression", "zstd", &base, "-", "-t", "app:2"];
    cli.spawn_on(stdin, &args).wait().await.expect(0, "");
    let manifest = manifest_of(&cli, "store:app:2").await;
    assert_eq!(manifest["layers"][1]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    let config = config_of(&cli, "store:app:2").await;
    assert_eq!(config["rootfs"]["diff_ids"][1], json!(added.diff_id));
}

#[tokio::test]
async fn append_of_tar_below_prefix_moves_links_and_whiteouts() {
    let (_registry, base) = published(&base()).await;
    let cli = Cli::new();
    let items = [
        TarItem::file("d/f", "bytes"),
        TarItem::hardlink("d/h", "d/f"),
        TarItem::whiteout("d/gone"),
    ];
    let mut bytes = tar_without_trailer(&items);
    bytes.extend(sparse("s", &[(1000, 3)], 2000, b"abc"));
    std::fs::write(cli.dir().join("a.tar"), tar_with_end(bytes)).unwrap();
    let args = ["append", "--prefix", "p/q", &base, "a.tar", "-t", "app:1"];
    cli.run(&args).await.expect(0, "");
    let files = cli.run(&["files", "--json", "store:app:1", "--layer", "1"]).await;
    let files = files.expect(0, "").stdout.clone();
    for (path, change) in [("/p/q/d/f", "A"), ("/p/q/d/h", "A"), ("/p/q/s", "A")] {
        let line = files.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = line.into_iter().find(|file| file["path"] == path).expect(path);
        assert_eq!(found["change"], change, "{found}");
    }
    let cat = cli.run(&["cat", "store:app:1", "/p/q/s"]).await.expect(0, "").stdout.clone();
    assert_eq!((cat.len(), &cat[1000..1003]), (2000, "abc"));
    let mut layer = cli.dir().join("l");
    cli.run(&["copy", "store:app:1", "oci:l:x"]).await.expect(0, "");
    let manifest = manifest_of(&cli, "oci:l:x").await;
    let digest = manifest["layers"][1]["digest"].as_str().unwrap().replace(':', "/");
    layer.push("blobs");
    let blob = std::fs::read(layer.join(digest)).unwrap();
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&blob[..]), &mut read).unwrap();
    let name = b"p/q/d/.wh.gone\0";
    assert!(read.windows(name.len()).any(|window| window == name));
}

fn tar_with_end(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[tokio::test]
async fn append_of_hostile_tar_or_directory_is_refused() {
    let (_registry, base) = published(&base()).await;
    let cli = Cli::new();
    let with_hole = tar_with_end(sparse("s", &[(0, 1), (1 << 32, 1)], (1 << 32) + 1, b"ab"));
    for (name, bytes, options, code, reason) in [
        ("up", tar(&[TarItem::file("../../etc/passwd", "x")]), &[][..], 7, "leads out"),
        ("link", tar(&[TarItem::hardlink("a", "../b")]), &[], 7, "leads out"),
        ("text", b"some text".repeat(200), &[], 7, "is not a tar"),
        ("cut", tar(&[TarItem::file("a", [0; 2000])])[..1000].to_vec(), &[], 7, "tar"),
        ("hole", with_hole, &["--prefix", "p"], 7, "bytes of holes"),
        ("prefix", tar(&[]), &["--prefix", "../p"], 2, "without `..`"),
    ] {
        std::fs::write(cli.dir().join(name), bytes).unwrap();
        let args = [&["append"], options, &[&base, name, "-t", "app:1"]].concat();
        cli.run(&args).await.expect(code, reason);
    }
    let dir = cli.dir().join("d");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join(".wh.etc"), "").unwrap();
    cli.run(&["append", &base, "d", "-t", "app:1"]).await.expect(2, "name of a whiteout");
    std::fs::remove_file(dir.join(".wh.etc")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    cli.run(&["append", &base, "d", "-t", "app:1"]).await.expect(2, "neither a file");
    drop(socket);
    cli.run(&["append", &base, "absent", "-t", "app:1"]).await.expect(3, "absent");
    assert_eq!(cli.run(&["images", "-q"]).await.stdout, "");
    assert_eq!(std::fs::read_dir(cli.dir().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn append_to_docker_image_uses_types_of_docker() {
    let own = image(Family::Docker, "amd64", &[layer(&[("base", b"base")])]);
    let (_registry, base) = published(&own).await;
    let cli = Cli::new();
    std::fs::write(cli.dir().join("a.tar"), tar(&[TarItem::file("a", "x")])).unwrap();
    cli.run(&["append", &base, "a.tar", "-t", "docker-archive:d.tar:app:1"]).await.expect(0, "");
    cli.run(&["append", &base, "a.tar", "-t", "app:1"]).await.expect(0, "");
    let manifest = manifest_of(&cli, "store:app:1").await;
    assert_eq!(
        manifest["layers"][1]["mediaType"],
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    );
    let args = ["append", "--compression", "zstd", &base, "a.tar", "-t", "app:1"];
    cli.run(&args).await.expect(1, "hint: use gzip");
    assert_eq!(cli.run(&["cat", "docker-archive:d.tar", "a"]).await.expect(0, "").stdout, "x");
}

#[tokio::test]
async fn mutate_changes_named_members_only() {
    let (registry, base) = published(&base()).await;
    let cli = Cli::new();
    let target = format!("docker://{}", registry.repository("base:2"));
    let before = config_of(&cli, &base).await;
    let args = [
        "mutate",
        "--json",
        &base,
        "--env",
        "A=b=c",
        "--env",
        "PATH=/x",
        "--label",
        "new=2",
        "--user",
        "1000:1",
        "--workdir",
        "/srv",
        "--port",
        "80",
        "--port",
        "53/udp",
        "--cmd",
        "/app",
        "--cmd",
        "--serve",
        "--annotation",
        "k=v",
        "--time",
        "0",
        "-t",
        &target,
    ];
    let report = cli.json(&args).await;
    let mut expected = before.clone();
    expected["created"] = json!("1970-01-01T00:00:00Z");
    let config = &mut expected["config"];
    config["Env"] = json!(["PATH=/x", "A=b=c"]);
    config["Labels"] = json!({"kept": "1", "new": "2"});
    config["User"] = json!("1000:1");
    config["WorkingDir"] = json!("/srv");
    config["ExposedPorts"] = json!({"80/tcp": {}, "53/udp": {}});
    config["Cmd"] = json!(["/app", "--serve"]);
    assert_eq!(config_of(&cli, &target).await, expected);
    let manifest = manifest_of(&cli, &target).await;
    assert_eq!(manifest["annotations"], json!({"k": "v"}));
    assert_eq!(manifest["layers"], manifest_of(&cli, &base).await["layers"]);
    assert_eq!(report["blobs"][1]["outcome"], "shared", "the layer: {report}");

    let args = ["mutate", &base, "--entrypoint", r#"["/e", "-x"]"#, "-t", "app:1"];
    cli.run(&args).await.expect(0, "");
    let config = config_of(&cli, "store:app:1").await;
    assert_eq!(config["config"]["Entrypoint"], json!(["/e", "-x"]));
    assert_eq!(config["config"]["Cmd"], Value::Null);
}

#[tokio::test]
async fn mutate_with_wrong_values_sends_no_request() {
    let (registry, base) = published(&base()).await;
    let cli = Cli::new();
    for (options, reason) in [
        (&["--env", "A"][..], "expected KEY=VALUE"),
        (&["--label", "=x"], "expected KEY=VALUE"),
        (&["--port", "0"], "expected a port"),
        (&["--port", "80/icmp"], "expected a port"),
        (&["--cmd", "[1]"], "expected a JSON list"),
        (&["--time", "yesterday"], "expected a date"),
        (&[], "nothing to change"),
    ] {
        let args = [&["mutate", &base, "-t", "app:1"], options].concat();
        cli.run(&args).await.expect(2, reason);
    }
    cli.run(&["mutate", &base, "--user", "x"]).await.expect(2, "--tag <NAME>");
    assert_eq!(registry.server.requests().len(), 0);
    let args = ["mutate", "--plan", "--json", &base, "--user", "x", "-t", "app:1"];
    assert_eq!(cli.json(&args).await["bytes"]["shared"], 0);
    assert!(!cli.store().join("index.json").exists());
}

#[tokio::test]
async fn rebase_exchanges_lower_layers_and_history() {
    let file = |name: &str, seed| layer(&[(name, &random_blob(300, seed))]);
    let (old, new) = (
        image(Family::Oci, "amd64", &[file("old", 1)]),
        image(Family::Docker, "amd64", &[file("new", 2), file("more", 3)]),
    );
    let app = image(Family::Oci, "amd64", &[file("old", 1), file("app", 4)]);
    let registry = FakeRegistry::start().await;
    for (image, name) in [(&old, "old"), (&new, "new"), (&app, "app")] {
        image.publish(&registry, name, Some("1"));
    }
    let (cli, at) = (Cli::new(), |name: &str| registry.repository(name));
    let target = format!("docker://{}", at("app:2"));
    let rebase = async |old: &str, new: &str| {
        let (app, old, new) = (at("app:1"), at(old), at(new));
        let args = ["rebase", &app, "--old-base", &old, "--new-base", &new, "-t", &target];
        cli.run(&args).await
    };
    rebase("old:1", "new:1").await.expect(0, "");
    let manifest = manifest_of(&cli, &target).await;
    let digests: Vec<&Value> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["digest"]).collect();
    let expected =
        [&new.layers[0], &new.layers[1], &app.layers[1]].map(|layer| json!(layer.digest()));
    assert!(digests.into_iter().eq(&expected));
    assert!(
        manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .all(|layer| { layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip" })
    );
    let config = config_of(&cli, &target).await;
    let history: Vec<&str> = config["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["created_by"].as_str().unwrap())
        .collect();
    let command = "CMD [\"/hello\"]";
    assert_eq!(history, ["COPY step 0", "COPY step 1", command, "COPY step 1", command]);
    let check = cli.json(&["check-base", "--json", &target]).await;
    assert_eq!(check["base"]["up_to_date"], true);
    assert_eq!(check["base"]["name"], at("new:1"));
    cli.run(&["unpack", &target, "root"]).await.expect(0, "");
    assert!(cli.dir().join("root/app").exists() && !cli.dir().join("root/old").exists());

    let refused = rebase("new:1", "old:1").await;
    refused.expect(2, "is not built on");
    let other = image(Family::Oci, "arm64", &[file("new", 2)]);
    other.publish(&registry, "other", Some("1"));
    rebase("old:1", "other:1").await.expect(3, "linux/amd64");
}

#[tokio::test]
async fn edit_into_unnamed_location_warns_or_is_refused() {
    let registry = FakeRegistry::start().await;
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]).publish(&registry, "app", Some("1"));
    let (cli, name) = (Cli::new(), registry.repository("app:1"));
    let warning = format!("the new image has the same name as the original: {name}");
    let edit = async |to: &str| cli.run(&["mutate", &name, "--env", "A=B", "-t", to]).await;
    for place in ["docker-archive:a.tar", "oci-archive:o.tar", "oci:l"] {
        let edited = edit(&format!("{place}:app:2")).await;
        assert!(!edited.expect(0, "").stderr.contains("warning:"), "{}", edited.stderr);
    }
    edit("oci:l").await.expect(0, &warning).expect(0, "in the destination: `oci:l:NAME`");
    // `docker load` would replace the original.
    registry.server.forget();
    for place in ["docker-archive:b.tar", "oci-archive:b.tar"] {
        edit(place).await.expect(2, &format!("hint: name it in the destination: `{place}:NAME`"));
    }
    assert!(registry.server.requests().is_empty() && !cli.dir().join("b.tar").exists());
}

#[tokio::test]
async fn flatten_keeps_files_and_config() {
    let own = image(
        Family::Oci,
        "amd64",
        &[layer(&[("a", b"one"), ("b", b"two")]), layer(&[("a", b"three"), (".wh.b", b"")])],
    );
    let (_registry, base) = published(&own).await;
    let cli = Cli::new();
    for target in ["flat:1", "oci:l:flat:1"] {
        cli.run(&["flatten", &base, "-t", target]).await.expect(0, "");
    }
    let digest = async |place: &str| cli.run(&["digest", place]).await.expect(0, "").stdout.clone();
    assert_eq!(digest("store:flat:1").await, digest("oci:l:flat:1").await);
    let config = config_of(&cli, "store:flat:1").await;
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
    assert_eq!(config["history"].as_array().unwrap().len(), 1);
    assert_eq!(config["config"], config_of(&cli, &base).await["config"]);
    for (place, file) in [(base.as_str(), "whole.tar"), ("store:flat:1", "flat.tar")] {
        cli.run(&["export", place, "-o", file]).await.expect(0, "");
    }
    let read = |file: &str| std::fs::read(cli.dir().join(file)).unwrap();
    assert!(read("whole.tar") == read("flat.tar"));
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn edit_of_artifact_or_inconsistent_image_is_refused() {
    let registry = FakeRegistry::start().await;
    let artifact = crate::support::images::raw(Family::Oci, b"bytes".to_vec());
    artifact.publish(&registry, "a", Some("1"));
    let own = base();
    let mut config: Value = serde_json::from_slice(&own.config.bytes).unwrap();
    config["rootfs"]["diff_ids"] = json!([]);
    with_config(&own, &config).publish(&registry, "b", Some("1"));
    let cli = Cli::new();
    let mutate = async |name: &str| {
        cli.run(&["mutate", &registry.repository(name), "--user", "x", "-t", "c:1"]).await
    };
    mutate("a:1").await.expect(1, "is not an image");
    mutate("b:1").await.expect(5, "has 1 layers and 0 diff_ids");
}
