//! Stores with foreign content: unknown media types, damaged entries, directories in place of blobs, and partly created
//! stores.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use rpull::digest::Digest;
use rpull::media::MediaType;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::samples::published;

fn blob_path(cli: &Cli, digest: &Digest) -> PathBuf {
    cli.store().join("blobs/sha256").join(digest.encoded())
}

/// Writes a blob into the store as another tool would.
fn plant(cli: &Cli, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    std::fs::write(blob_path(cli, &digest), bytes).unwrap();
    digest
}

/// Adds an entry to index.json as another tool would.
fn list(cli: &Cli, entry: Value) {
    let path = cli.store().join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    index["manifests"].as_array_mut().unwrap().insert(0, entry);
    std::fs::write(path, index.to_string()).unwrap();
}

fn descriptor(media_type: &str, digest: &Digest, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

#[tokio::test]
async fn prune_keeps_digests_in_unknown_documents() {
    const ARTIFACT: &str = "application/vnd.example.artifact.v1+json";
    let (_registry, _, name) = published().await;
    for in_index in [false, true] {
        let cli = Cli::new();
        cli.run(&[&format!("{name}:1")]).await.expect(0, "");
        let (leaf, garbage) = (plant(&cli, b"a leaf"), plant(&cli, b"garbage"));
        let inner = json!({"mediaType": ARTIFACT, "blobs": [{"digest": leaf}]}).to_string();
        let inner_digest = plant(&cli, inner.as_bytes());
        let outer =
            json!({"mediaType": ARTIFACT, "annotations": {"see": format!("r/x@{inner_digest}")}});
        let outer = outer.to_string();
        let outer_digest = plant(&cli, outer.as_bytes());
        let entry = descriptor(ARTIFACT, &outer_digest, outer.as_bytes());
        if in_index {
            let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
            let digest = plant(&cli, index.as_bytes());
            list(&cli, descriptor(MediaType::OCI_INDEX.as_str(), &digest, index.as_bytes()));
        } else {
            list(&cli, entry);
        }
        let plan = cli.json(&["prune", "--plan", "--json"]).await;
        assert_eq!(plan["blobs"], 1);
        assert_eq!(cli.json(&["prune", "--json"]).await, plan);
        for digest in [&leaf, &inner_digest, &outer_digest] {
            assert!(blob_path(&cli, digest).exists(), "in an index: {in_index}");
        }
        assert!(!blob_path(&cli, &garbage).exists());
    }
}

#[tokio::test]
async fn prune_unknown_digest_algorithm_deletes_nothing() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    cli.run(&[&format!("{name}:1")]).await.expect(0, "");
    let leaf = plant(&cli, b"a leaf");
    let blake3 = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": "blake3:ab", "size": 2});
    list(&cli, blake3);
    cli.run(&["prune"]).await.expect(7, "blake3:ab").expect(7, "nothing was deleted");
    assert!(blob_path(&cli, &leaf).exists());
}

#[tokio::test]
async fn index_damaged_entry_warns_and_hides_no_image() {
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&[&name]).await.expect(0, "");
    let leaf = plant(&cli, b"a leaf");
    list(&cli, json!({}));
    let why = format!("entry 1: {}/index.json: is corrupt", cli.store().display());
    let listed = cli.run(&["images"]).await;
    assert!(listed.expect(0, &format!("warning: {why}")).stdout.contains(&name));
    for command in ["prune", "verify"] {
        cli.run(&[command]).await.expect(7, &why);
    }
    assert!(blob_path(&cli, &leaf).exists());
    cli.run(&[&name]).await.expect(0, "(100 %)");
}

#[tokio::test]
async fn store_partly_created_is_empty() {
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    // What a process that creates the store has created so far.
    for made in ["", "blobs", "blobs/sha256", "index.json.new"] {
        match made.strip_suffix(".new") {
            Some(_) => std::fs::write(cli.store().join(made), "").unwrap(),
            None => std::fs::create_dir(cli.store().join(made)).unwrap(),
        }
        assert_eq!(cli.json(&["images", "--json"]).await, json!([]), "{made}");
        cli.run(&["prune"]).await.expect(0, "");
        cli.run(&["history", &name]).await.expect(0, "");
        cli.run(&["--plan", &name]).await.expect(0, "");
        cli.run(&["rm", "a"]).await.expect(3, "not in the store");
    }
    assert!(!cli.store().join("oci-layout").exists(), "looking makes nothing");
    cli.run(&[&name]).await.expect(0, "");
    std::fs::create_dir(cli.dir().join("out")).unwrap();
    cli.run(&["history", "oci:out"]).await.expect(3, "is empty");
    cli.run(&["pull", "-o", "oci:out", &name]).await.expect(0, "");
}

#[tokio::test]
async fn verify_of_read_only_store_reports_damage() {
    let (_registry, [held, _], name) = published().await;
    let cli = Cli::new().without_privileges();
    cli.run(&[&format!("{name}:1")]).await.expect(0, "");
    let path = blob_path(&cli, held.layers[0].digest());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![0; held.layers[0].bytes.len()]).unwrap();
    let unsynced = cli.store().join("unsynced");
    std::fs::set_permissions(&unsynced, Permissions::from_mode(0o500)).unwrap();
    let output = cli.run(&["verify", "--json"]).await;
    output.expect(5, "failed to mark corrupt blobs").expect(5, "Permission denied");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["bad"][0]["digest"], json!(held.layers[0].digest()));
}

#[tokio::test]
async fn directory_at_blob_path_is_replaced_if_empty() {
    let (_registry, [held, _], name) = published().await;
    let (first, second) = (format!("{name}:1"), format!("{name}:2"));
    for full in [false, true] {
        let cli = Cli::new();
        cli.run(&[&first]).await.expect(0, "");
        let app = blob_path(&cli, held.layers[1].digest());
        std::fs::remove_file(&app).unwrap();
        std::fs::create_dir(&app).unwrap();
        if full {
            std::fs::write(app.join("somebody's"), "").unwrap();
        }
        cli.run(&["verify"]).await.expect(5, "1 corrupt");
        cli.run(&[&second]).await.expect(0, "");
        cli.run(&[&second]).await.expect(0, "(100 %)");
        let again = cli.run(&[&first]).await;
        if full {
            again.expect(7, app.to_str().unwrap()).expect(7, "is not a regular file");
            assert!(app.join("somebody's").exists());
        } else {
            again.expect(0, "");
        }
    }
}

#[tokio::test]
async fn prune_symlinked_dir_is_refused() {
    let (_registry, _, name) = published().await;
    for link in ["blobs", "blobs/sha256", "ingest"] {
        let (cli, name) = (Cli::new(), format!("{name}:1"));
        cli.run(&[&name]).await.expect(0, "");
        let (here, there) = (cli.store().join(link), cli.dir().join("shared"));
        std::fs::rename(&here, &there).unwrap();
        symlink(&there, &here).unwrap();
        cli.run(&["verify"]).await.expect(0, "");
        cli.run(&["rm", &name]).await.expect(0, "");
        for command in [&["prune"][..], &["prune", "--plan"]] {
            cli.run(command).await.expect(7, &format!("store/{link}: is a symbolic link"));
        }
        cli.run(&[&name]).await.expect(0, "(100 %)");
    }
}

#[tokio::test]
async fn journal_of_shared_layout_is_group_writable() {
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    let args = ["pull", "-o", "oci:out", &name];
    cli.spawn_in_shell("umask 002; exec \"$@\"", &args).wait().await.expect(0, "");
    let unsynced = cli.dir().join("out/unsynced");
    assert_eq!(unsynced.metadata().unwrap().mode() & 0o777, 0o775);
    for journal in std::fs::read_dir(unsynced).unwrap() {
        assert_eq!(journal.unwrap().metadata().unwrap().mode() & 0o777, 0o664);
    }
}

#[tokio::test]
async fn prune_keeps_manifest_also_listed_as_blob() {
    let (_registry, [held, _], name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&[&name]).await.expect(0, "");
    let image =
        descriptor(MediaType::OCI_MANIFEST.as_str(), held.manifest.digest(), &held.manifest.bytes);
    let mut as_blob = image.clone();
    as_blob["mediaType"] = json!("application/vnd.example.thing");
    let config = descriptor("application/vnd.example.thing", &plant(&cli, b"{}"), b"{}");
    let bundle = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [as_blob],
    });
    let bundle = bundle.to_string();
    let bundle = descriptor(
        MediaType::OCI_MANIFEST.as_str(),
        &plant(&cli, bundle.as_bytes()),
        bundle.as_bytes(),
    );
    let index = json!({"schemaVersion": 2, "manifests": [bundle, image]}).to_string();
    let mut entry =
        descriptor(MediaType::OCI_INDEX.as_str(), &plant(&cli, index.as_bytes()), index.as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "docker.io/library/both:1"});
    list(&cli, entry);
    cli.run(&["rm", &name]).await.expect(0, "");
    assert_eq!(cli.json(&["prune", "--json"]).await["blobs"], 0);
    for piece in held.blobs() {
        assert!(blob_path(&cli, piece.digest()).exists(), "{}", piece.descriptor.media_type);
    }
}
