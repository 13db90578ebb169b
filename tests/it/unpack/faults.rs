//! Unpacking while layers are downloaded: with any fault of a layer the command ends with its exit code and leaves
//! nothing next to the target.

use std::path::Path;

use futures_util::future::join_all;

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, image, random_blob};
use crate::support::live::needs;
use crate::support::tree::names;

/// Returns an image of three layers that each take several reads.
pub(crate) fn sample() -> Image {
    let layer = |number: u64| {
        layer_of(&[TarItem::file(format!("file{number}"), random_blob(300_000, number))])
    };
    image(Family::Oci, "amd64", &[1, 2, 3].map(layer))
}

/// Commands that unpack or export an image that is not in the store to `root`.
pub(crate) const WAYS: [&[&str]; 6] = [
    &["pull", "--unpack", "root", "NAME"],
    &["unpack", "NAME", "root"],
    &["unpack", "--no-store", "NAME", "root"],
    &["unpack", "--overlay", "NAME", "root"],
    &["export", "-o", "root", "NAME"],
    &["export", "-o", "root", "docker://NAME"],
];

/// A fault of a layer.
type Change = fn(&Reply) -> Reply;
const FAULTS: [(&str, Change, i32); 8] = [
    ("one wrong bit", one_bit, 5),
    ("all zeros", |reply| with_body(reply, vec![0; reply.body.len()]), 5),
    ("another time in its gzip header", other_time, 5),
    ("too long", |reply| with_body(reply, [&reply.body[..], &[7; 1000]].concat()), 5),
    ("endless", endless, 5),
    ("cut", |reply| reply.clone().fault(Fault::Cut(100_000)), 6),
    ("reset", |reply| reply.clone().fault(Fault::Reset(100_000)), 6),
    ("gone", |_| Reply::error(404, "BLOB_UNKNOWN", "blob unknown"), 3),
];

fn with_body(reply: &Reply, body: impl Into<bytes::Bytes>) -> Reply {
    Reply { body: body.into(), ..reply.clone() }
}

fn one_bit(reply: &Reply) -> Reply {
    let mut body = reply.body.to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    with_body(reply, body)
}

/// The content is the same; only the digest of the blob differs.
fn other_time(reply: &Reply) -> Reply {
    let mut body = reply.body.to_vec();
    body[4] ^= 1;
    with_body(reply, body)
}

/// Practically endless: fifty times the size, without a length.
fn endless(reply: &Reply) -> Reply {
    with_body(reply, reply.body.repeat(50)).fault(Fault::Chunked(1 << 16))
}

/// Returns the arguments of a command.
pub(crate) fn args(way: &[&str], name: &str) -> Vec<String> {
    way.iter().map(|word| word.replace("NAME", name)).collect()
}

/// Asserts that nothing is left next to the target except the store and complete overlay layers.
#[track_caller]
pub(crate) fn assert_nothing_beside(dir: &Path, way: &[&str], point: &str) {
    let mut left = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["home", "tmp", "run", "store", "small"].contains(&name.as_str()))
        .filter(|name| !(name == "root" && way.contains(&"--overlay")))
        .collect::<Vec<_>>();
    left.extend(names(&dir.join("tmp")));
    assert_eq!(left, Vec::<String>::new(), "{way:?}: {point}");
}

async fn assert_ends(fault: (&str, Change, i32), layer: usize) {
    let (what, change, code) = fault;
    let (registry, held) = (FakeRegistry::start().await, sample());
    held.publish(&registry, "team/app", Some("1"));
    let digest = held.layers[layer].digest();
    registry.override_response(
        &format!("GET /v2/team/app/blobs/{digest}"),
        0..usize::MAX,
        move |reply| change(&reply),
    );
    let name = format!("{}:1", registry.repository("team/app"));
    join_all(WAYS.map(async |way| {
        let (cli, point) = (Cli::new(), format!("layer {layer}: {what}"));
        let retries = ["--retries", "0"].map(str::to_owned);
        let output = cli.run(&[&retries[..], &args(way, &name)].concat()).await;
        assert_eq!(output.code(), Some(code), "{way:?}: {point}: {}", output.stderr);
        assert!(output.stderr.contains(digest.as_str()), "{way:?}: {point}: {}", output.stderr);
        assert!(!output.stderr.contains("panicked"), "{way:?}: {point}: {}", output.stderr);
        assert_nothing_beside(cli.dir(), way, &point);
        let blob = cli.store().join("blobs/sha256").join(digest.encoded());
        assert!(!blob.exists(), "{way:?}: {point}: wrong bytes are in the store");
    }))
    .await;
}

#[tokio::test]
async fn faulty_first_layer_fails_with_its_exit_code() {
    for fault in FAULTS {
        assert_ends(fault, 0).await;
    }
}

#[tokio::test]
async fn faulty_middle_layer_fails_with_its_exit_code() {
    for fault in FAULTS {
        assert_ends(fault, 1).await;
    }
}

#[tokio::test]
async fn faulty_last_layer_fails_with_its_exit_code() {
    for fault in FAULTS {
        assert_ends(fault, 2).await;
    }
}

#[tokio::test]
async fn faulty_layer_on_one_processor_fails() {
    if !needs("faulty_layer_on_one_processor_fails", &["taskset"]) {
        return;
    }
    let (registry, held) = (FakeRegistry::start().await, sample());
    held.publish(&registry, "team/app", Some("1"));
    for layer in &held.layers {
        registry.override_response(&format!("blobs/{}", layer.digest()), 0..usize::MAX, |reply| {
            one_bit(&reply)
        });
    }
    let name = format!("{}:1", registry.repository("team/app"));
    for _ in 0..5 {
        for way in WAYS {
            let cli = Cli::new();
            let args = args(way, &name);
            let output = cli.spawn_under(&["taskset", "-c", "0"], &args).wait().await;
            assert_eq!(output.code(), Some(5), "{way:?}: {}", output.stderr);
            assert_nothing_beside(cli.dir(), way, "on one processor");
        }
    }
}

#[tokio::test]
async fn broken_connection_resumes_layer_at_offset() {
    let faults = [Fault::Cut(100_000), Fault::Reset(100_000), Fault::ChunkedUnfinished(50_000)];
    join_all(faults.map(async |fault| {
        let (registry, held) = (FakeRegistry::start().await, sample());
        held.publish(&registry, "team/app", Some("1"));
        for layer in &held.layers {
            for way in 0..WAYS.len() {
                // The second request resumes where the first one ended.
                let fault = fault.clone();
                let part = format!("GET /v2/app{way}/blobs/{}", layer.digest());
                registry.override_response(&part, 0..1, move |reply| reply.fault(fault.clone()));
            }
        }
        join_all(WAYS.iter().enumerate().map(async |(number, way)| {
            let cli = Cli::new();
            held.publish(&registry, &format!("app{number}"), Some("1"));
            let name = format!("{}:1", registry.repository(&format!("app{number}")));
            cli.run(&args(way, &name)).await.expect(0, "3 ");
        }))
        .await;
    }))
    .await;
}
