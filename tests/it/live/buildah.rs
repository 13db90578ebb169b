//! Layers with a table of contents that buildah writes.

use std::path::Path;
use std::process::Command;

use crate::support::chunked::text;
use crate::support::cli::Cli;
use crate::support::live::{Access, Live, LoggedRequest, is_root, needs};

/// Runs buildah on storage of its own.
fn buildah(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("buildah");
    command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run"));
    // The vfs driver copies one directory per layer and needs no kernel features.
    command.args(["--storage-driver", "vfs"]).args(args).current_dir(dir);
    let output = command.output().unwrap();
    assert!(output.status.success(), "buildah {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

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

#[tokio::test]
async fn zstd_chunked_layer_of_buildah_is_read_by_table() {
    let test = "zstd_chunked_layer_of_buildah_is_read_by_table";
    if !needs(test, &["buildah", "docker-registry"]) || !is_root(test) {
        return;
    }
    let (dir, live, cli) = (tempfile::tempdir().unwrap(), Live::start(&Access::Open), Cli::new());
    let files = dir.path().join("files");
    make_files(&files);
    let container = buildah(dir.path(), &["from", "scratch"]);
    buildah(dir.path(), &["copy", "-q", &container, "files", "/"]);
    buildah(dir.path(), &["commit", "-q", &container, "image"]);
    let name = format!("{}/image:1", live.host());
    let to = format!("docker://{name}");
    let push = ["push", "--tls-verify=false", "--compression-format", "zstd:chunked", "image", &to];
    buildah(dir.path(), &push);

    let by_table = cli.run(&["files", "--json", &name]).await;
    by_table.expect(0, "by table of contents (verified by annotated digest, not all 1.");
    for path in ["dir/large", "dir/small", "dir/empty", "hard", "link", "hole"] {
        let output = cli.run(&["cat", &name, path]).await;
        output.expect(0, "by table of contents");
        let expected = std::fs::read(files.join(path)).unwrap();
        assert!(output.stdout.as_bytes() == expected, "{path}");
    }
    // Only of the large file nearly all bytes were requested.
    let large = |line: &LoggedRequest| line.method == "GET" && line.bytes > 1_000_000;
    let large: Vec<_> = live.access_log().into_iter().filter(large).collect();
    assert!(matches!(&large[..], [only] if only.status == 206), "{large:?}");
    cli.run(&["pull", &name]).await.expect(0, "");
    assert_eq!(by_table.stdout, cli.run(&["files", "--json", &name]).await.stdout);
}
