//! Pushes bytes as an artifact: `cargo run --example push_artifact -- registry.example/team/notes:1 < notes.txt`

use std::io::{self, Read as _};
use std::sync::Arc;

use rpull::content::Target;
use rpull::name::ImageName;
use rpull::registry::RegistryOptions;
use rpull::transfer::{ImageRequest, PlatformSelection, TransferOptions, transfer};
use rpull::{Artifact, Client, Reference, Result};

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let destination = std::env::args().nth(1).ok_or("push_artifact DESTINATION < FILE")?;
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(push(&destination.parse()?, bytes).await?)
}

pub(crate) async fn push(destination: &Reference, bytes: Vec<u8>) -> Result<()> {
    let notes = Artifact::builder("application/vnd.example.notes.v1")
        .file("notes.txt", "text/plain", bytes)
        .build()?;
    let client = Client::new(RegistryOptions::default());
    let repository: Arc<dyn Target> = Arc::new(client.repository_for_push(destination)?);
    let request = ImageRequest {
        source: Arc::new(notes),
        name: ImageName::Only,
        reference: destination.to_string(),
        target_name: destination.name(),
        platforms: PlatformSelection::All,
    };
    let result = transfer(&[request], &repository, TransferOptions::default()).await.remove(0);
    result.error.map_or(Ok(()), Err)
}
