//! Layers with a table of contents that other tools write: buildah, and stargz-snapshotter's ctr-remote.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::chunked::text;
use crate::support::cli::Cli;
use crate::support::live::{Access, Live, LoggedRequest, is_root, needs};
use crate::support::peers::{Containerd, buildah};

/// Files, links and a hole below the working directory.
fn make_files(root: &Path) {
    std::fs::create_dir_all(root.join("dir")).unwrap();
    std::fs::write(root.join("dir/large"), text(2_000_000, 1)).unwrap();
    std::fs::write(root.join("dir/small"), "small").unwrap();
    std::fs::write(root.join("dir/empty"), "").unwrap();
    std::fs::hard_link(root.join("dir/small"), root.join("hard")).unwrap();
    std::os::unix::fs::symlink("dir/small", root.join("link")).unwrap();
    let hole = std::fs::File::create(root.join("hole")).unwrap();
    hole.set_len(1_000_000).unwrap();
}

/// Makes an image of [`make_files`] in the storage of buildah, and returns the directory of the files.
fn make_image(dir: &Path) -> PathBuf {
    let files = dir.join("files");
    make_files(&files);
    let container = buildah(dir, &["from", "scratch"]);
    buildah(dir, &["copy", "-q", &container, "files", "/"]);
    buildah(dir, &["commit", "-q", &container, "image"]);
    files
}

/// Checks the files of an image at a registry by their table of contents, and that the whole layer gives the same.
async fn check_by_table(live: &Live, name: &str, files: &Path) {
    let (cli, before) = (Cli::new(), live.access_log().len());
    let by_table = cli.run(&["files", "--json", name]).await;
    by_table.expect(0, "by table of contents (verified by annotated digest, not all ");
    for path in ["dir/large", "dir/small", "dir/empty", "hard", "link", "hole"] {
        let output = cli.run(&["cat", name, path]).await;
        output.expect(0, "by table of contents");
        let expected = std::fs::read(files.join(path)).unwrap();
        assert!(output.stdout.as_bytes() == expected, "{path}");
    }
    // Only of the large file nearly all bytes were requested.
    let large = |line: &LoggedRequest| line.method == "GET" && line.bytes > 1_000_000;
    let large: Vec<_> = live.access_log().into_iter().skip(before).filter(large).collect();
    assert!(matches!(&large[..], [only] if only.status == 206), "{large:?}");
    cli.run(&["pull", name]).await.expect(0, "");
    assert_eq!(by_table.stdout, cli.run(&["files", "--json", name]).await.stdout);
}

#[tokio::test]
async fn zstd_chunked_layer_of_buildah_is_read_by_table() {
    let test = "zstd_chunked_layer_of_buildah_is_read_by_table";
    if !needs(test, &["buildah", "docker-registry"]) || !is_root(test) {
        return;
    }
    let (dir, live) = (tempfile::tempdir().unwrap(), Live::start(&Access::Open));
    let files = make_image(dir.path());
    let name = format!("{}/image:1", live.host());
    let to = format!("docker://{name}");
    let push = ["push", "--tls-verify=false", "--compression-format", "zstd:chunked", "image", &to];
    buildah(dir.path(), &push);
    check_by_table(&live, &name, &files).await;
}

/// Returns a registry with `image:NAME` of [`make_image`] in `dir` for each conversion, an option of ctr-remote and the name of its
/// source, and the directory of the files; `None`, with a message, if a program is missing.
async fn converted(
    test: &str,
    dir: &Path,
    conversions: &[(&str, &str, &str)],
) -> Option<(Live, PathBuf)> {
    let programs = ["buildah", "docker-registry", "containerd", "ctr", "ctr-remote"];
    if !needs(test, &programs) || !is_root(test) {
        return None;
    }
    let files = make_image(dir);
    let (live, cli, containerd) = (Live::start(&Access::Open), Cli::new(), Containerd::start());
    let layout = dir.join("layout");
    buildah(dir, &["push", "image", &format!("oci:{}:plain", layout.display())]);
    containerd.import(&layout, &["--no-unpack"]);
    let image = |name: &str| format!("example.com/app:{name}");
    for (name, option, from) in conversions {
        containerd.convert(option, &image(from), &image(name));
        let place = format!("containerd-root:{}:{}", containerd.root().display(), image(name));
        cli.run(&["copy", &place, &format!("{}/image:{name}", live.host())]).await.expect(0, "");
    }
    Some((live, files))
}

#[tokio::test]
async fn layers_of_ctr_remote_are_read_by_table() {
    let (test, dir) = ("layers_of_ctr_remote_are_read_by_table", tempfile::tempdir().unwrap());
    let conversions = [("estargz", "--estargz", "plain"), ("zstd", "--zstdchunked", "plain")];
    let Some((live, files)) = converted(test, dir.path(), &conversions).await else { return };
    for (name, ..) in conversions {
        check_by_table(&live, &format!("{}/image:{name}", live.host()), &files).await;
    }
}

#[tokio::test]
async fn estargz_layers_are_read_by_ctr_remote() {
    let (test, dir) = ("estargz_layers_are_read_by_ctr_remote", tempfile::tempdir().unwrap());
    let programs = ["buildah", "docker-registry", "containerd", "ctr", "ctr-remote"];
    if !needs(test, &programs) || !is_root(test) {
        return;
    }
    let files = make_image(dir.path());
    let (live, cli, containerd) = (Live::start(&Access::Open), Cli::new(), Containerd::start());
    let layout = dir.path().join("layout");
    buildah(dir.path(), &["push", "image", &format!("oci:{}:plain", layout.display())]);
    let at = |name: &str| format!("oci:{}:{name}", layout.display());
    let name = format!("{}/image:1", live.host());
    for to in [&at("estargz"), &name] {
        let convert = ["copy", "--compression", "estargz", &at("plain"), to];
        cli.run(&convert).await.expect(0, "1 layer recompressed");
    }
    check_by_table(&live, &name, &files).await;

    containerd.import(&layout, &["--no-unpack"]);
    let manifest = cli.run(&["manifest", &at("estargz")]).await.stdout;
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let layer = &manifest["layers"][0];
    let digest = layer["digest"].as_str().unwrap();
    let found = containerd.table_of_contents(digest, &[]);
    assert_eq!(found.trim(), layer["annotations"]["containerd.io/snapshot/stargz/toc.digest"]);
    let table: Value =
        serde_json::from_str(&containerd.table_of_contents(digest, &["--dump-toc"])).unwrap();
    let names = table["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str());
    let names: Vec<_> = names.flatten().collect();
    for name in ["dir/large", "dir/small", "hard", "link", "hole", ".no.prefetch.landmark"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    // ctr-remote reads all files of the layer by its table, and writes them again.
    let image = |name: &str| format!("example.com/app:{name}");
    containerd.convert("--uncompress", &image("estargz"), &image("again"));
}

/// ctr-remote leaves the media type and the annotations of the layers that it converts.
#[tokio::test]
async fn layers_of_ctr_remote_with_annotations_of_other_bytes_are_read() {
    let test = "layers_of_ctr_remote_with_annotations_of_other_bytes_are_read";
    let dir = tempfile::tempdir().unwrap();
    let conversions = [
        ("zstd", "--zstdchunked", "plain"),
        ("gzip-named-zstd", "--estargz", "zstd"),
        ("tar-with-tables", "--uncompress", "zstd"),
    ];
    let Some((live, files)) = converted(test, dir.path(), &conversions).await else { return };
    for name in ["gzip-named-zstd", "tar-with-tables"] {
        let (cli, name) = (Cli::new(), format!("{}/image:{name}", live.host()));
        for path in ["dir/large", "link", "hole"] {
            let output = cli.run(&["cat", &name, path]).await;
            output.expect(0, "");
            assert!(
                output.stdout.as_bytes() == std::fs::read(files.join(path)).unwrap(),
                "{name} {path}"
            );
        }
        let from_registry = cli.run(&["files", "--json", &name]).await;
        cli.run(&["pull", &name]).await.expect(0, "");
        assert_eq!(from_registry.stdout, cli.run(&["files", "--json", &name]).await.stdout);
        cli.run(&["verify", &name]).await.expect(0, "");
    }
}
