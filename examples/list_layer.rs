//! Lists the uppermost layer of an image in a registry: `cargo run --example list_layer -- alpine:3.14`

use std::io::{self, Write};
use std::sync::Arc;

use rpull::layer_reader::{LayerReader, read_layer};
use rpull::retry::RetryPolicy;
use rpull::transfer::{PlatformRequest, TransferOptions, resolve_image};
use rpull::{Client, Platform, Reference, Result};

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let image = std::env::args().nth(1).ok_or("list_layer IMAGE")?;
    Ok(list(&image.parse()?, io::stdout()).await?)
}

pub(crate) async fn list(image: &Reference, mut out: impl Write + Send + 'static) -> Result<()> {
    let repository = Arc::new(Client::from_env()?.repository(image)?);
    let (name, text, retry) = (image.name(), image.to_string(), RetryPolicy::default());
    let platform = PlatformRequest::implicit(Platform::host());
    let found = resolve_image(&*repository, &name, &text, Some(&platform), &retry).await?;
    let Some(layer) = found.manifest.manifest()?.layers.last().cloned() else { return Ok(()) };
    let list = move |entries: &mut LayerReader<'_>| {
        while let Some(entry) = entries.next_entry()? {
            let path = String::from_utf8_lossy(&entry.path);
            writeln!(out, "{:?} {:>10} {path}", entry.kind, entry.size)?;
        }
        Ok(())
    };
    read_layer(repository, layer, TransferOptions::default(), list).await
}
