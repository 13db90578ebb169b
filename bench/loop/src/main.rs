//! Pulls one image manifest over plain HTTP/1.1 and writes its blobs below `DIR/blobs/sha256`.
//!
//! Usage: `loop HOST/REPOSITORY:TAG DIR`. All blobs at once, hashed and written inline; no store,
//! no retry, no progress, no index. What a real client needs on top of this is its overhead.

use std::{error::Error, fs::File, io::Write, path::PathBuf};

use reqwest::{Client, Response, header::ACCEPT};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const WRITE_BYTES: usize = 128 * 1024;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(image), Some(dir)) = (args.next(), args.next()) else {
        return Err("usage: loop HOST/REPOSITORY:TAG DIR".into());
    };
    let (name, tag) = image.rsplit_once(':').ok_or("the image has no tag")?;
    let (host, repository) = name.split_once('/').ok_or("the image has no repository")?;
    let base = format!("http://{host}/v2/{repository}");
    let blobs = PathBuf::from(dir).join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;

    let client = Client::builder().no_proxy().build()?;
    let url = format!("{base}/manifests/{tag}");
    let answer = client.get(url).header(ACCEPT, MANIFEST).send().await?.error_for_status()?;
    let body = answer.bytes().await?;
    let manifest: Value = serde_json::from_slice(&body)?;
    std::fs::write(blobs.join(hex(&Sha256::digest(&body))), &body)?;

    let layers = manifest["layers"].as_array().into_iter().flatten();
    let mut pulls = JoinSet::new();
    for descriptor in layers.chain([&manifest["config"]]) {
        let digest = descriptor["digest"].as_str().ok_or("a descriptor has no digest")?;
        let expected = digest.strip_prefix("sha256:").ok_or("not sha256")?.to_owned();
        let get = client.get(format!("{base}/blobs/{digest}"));
        let path = blobs.join(&expected);
        pulls.spawn(
            async move { save(get.send().await?.error_for_status()?, path, &expected).await },
        );
    }
    while let Some(pull) = pulls.join_next().await {
        pull??;
    }
    Ok(())
}

async fn save(mut body: Response, path: PathBuf, expected: &str) -> Result<()> {
    let (mut file, mut hash) = (File::create(path)?, Sha256::new());
    let mut buffer = Vec::with_capacity(WRITE_BYTES);
    while let Some(chunk) = body.chunk().await? {
        hash.update(&chunk);
        if buffer.len() + chunk.len() > WRITE_BYTES {
            file.write_all(&buffer)?;
            buffer.clear();
        }
        buffer.extend_from_slice(&chunk);
    }
    file.write_all(&buffer)?;
    if hex(&hash.finalize()) == expected { Ok(()) } else { Err("digest mismatch".into()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
