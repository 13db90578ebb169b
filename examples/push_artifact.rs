//! Pushes bytes as an artifact: `cargo run --example push_artifact -- registry.example/team/notes:1 < notes.txt`

use std::io::{self, Read as _};

use rpull::{Artifact, Push};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let destination = std::env::args().nth(1).ok_or("push_artifact DESTINATION < FILE")?;
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    push(&destination, bytes).await
}

pub(crate) async fn push(to: &str, bytes: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
    let notes = Artifact::builder("application/vnd.example.notes.v1");
    let notes = notes.file("notes.txt", "text/plain", bytes).build()?;
    Push::artifact(notes).to(to).await?;
    Ok(())
}
