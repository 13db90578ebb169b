//! Pulls an image into memory: `cargo run --example pull -- alpine:3.20`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use rpull::config::ImageConfig;
use rpull::{Event, Memory, Pull};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let image = std::env::args().nth(1).ok_or("pull IMAGE")?;
    let config = pull(&image, |event: &Event<'_>| eprintln!("{event:?}")).await?;
    println!("{}/{}", config.os, config.architecture);
    Ok(())
}

pub(crate) async fn pull(
    image: &str,
    progress: impl Fn(&Event<'_>) + Send + Sync + 'static,
) -> Result<ImageConfig, Box<dyn std::error::Error>> {
    let memory = Memory::default();
    let report = Pull::new(image).progress(progress).to(&memory).await?;
    let digest = report.images.into_iter().find_map(|image| image.report.summary.manifest);
    let manifest = digest.and_then(|digest| memory.document(&digest)).ok_or("no manifest")?;
    let config = memory.bytes(&manifest.manifest()?.config.digest).ok_or("no config")?;
    Ok(ImageConfig::parse(&config)?)
}
