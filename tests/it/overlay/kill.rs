//! `unpack --overlay` killed at each of its steps: no incomplete layer is marked complete, and the next run ends well.

use std::fs;
use std::path::Path;

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::images::{Family, image};
use crate::support::live::needs;
use crate::support::tars;
use crate::support::tree;

/// Asserts that every layer marked as complete has all its files.
fn assert_whole(layers: &Path) {
    for entry in fs::read_dir(layers.join("overlay2")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let chain = path.file_name().unwrap().to_str().unwrap().to_owned();
        if chain.len() == 64 && path.join("committed").exists() {
            let short = fs::read_to_string(path.join("link")).unwrap();
            assert!(layers.join("overlay2/l").join(short).join(".").is_dir());
            let size: u64 =
                fs::read_to_string(layers.join("layerdb/sha256").join(&chain).join("size"))
                    .unwrap()
                    .parse()
                    .unwrap();
            let files = tree::nodes(&path.join("diff"), &[])
                .into_iter()
                .filter(|node| node.mode & 0o170_000 == 0o100_000 && node.same_as == node.path);
            assert_eq!(files.map(|node| node.bytes.len() as u64).sum::<u64>(), size, "{chain}");
        }
    }
}

#[tokio::test]
async fn overlay_killed_at_any_step_is_completed_by_next_run() {
    if !needs("overlay_killed_at_any_step_is_completed_by_next_run", &["strace"]) {
        return;
    }
    let base =
        layer_of(&[TarItem::dir("d"), TarItem::file("d/a", "aaa"), TarItem::file("b", "bb")]);
    let upper =
        layer_of(&[TarItem::hardlink("c", "d/a"), TarItem::whiteout("b"), TarItem::file("n", "n")]);
    let held = image(Family::Oci, "amd64", &[base, upper]);
    let mut killed = 0;
    let mut trees: Vec<Vec<String>> = Vec::new();
    for call in ["mkdirat", "write", "renameat2", "symlinkat", "mknodat", "unlinkat", "?renameat"] {
        for when in 1..40 {
            let cli = Cli::new();
            fs::write(cli.dir().join("a.tar"), tars::tar(&tars::layout(&held, Some("app:1"))))
                .unwrap();
            let args = ["unpack", "--overlay", "--no-store", "-q", "oci-archive:a.tar", "layers"];
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let layers = cli.dir().join("layers");
            let log = cli.dir().join("log").display().to_string();
            let strace =
                ["strace", "-f", "-o", &log, "-e", &format!("trace={call}"), "-e", &inject];
            let output = cli.spawn_under(&strace, &args).wait().await;
            assert_whole(&layers);
            let done = output.signal().is_none();
            killed += u32::from(!done);
            cli.run(&args).await.expect(0, "");
            assert_whole(&layers);
            trees.push(tree::names(&layers));
            if done {
                break;
            }
        }
    }
    assert!(killed > 20, "{killed}");
    assert!(trees.windows(2).all(|pair| pair[0] == pair[1]), "something is left: {trees:#?}");
}
