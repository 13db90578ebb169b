//! Unpacks an image of a registry, and keeps nothing else: `cargo run --example unpack -- alpine:3.20 root`

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::path::Path;

use rpull::Unpack;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(image), Some(directory)) = (args.next(), args.next()) else {
        return Err("unpack IMAGE DIRECTORY".into());
    };
    println!("{} files", unpack(&image, directory.as_ref()).await?);
    Ok(())
}

pub(crate) async fn unpack(image: &str, directory: &Path) -> rpull::Result<u64> {
    Ok(Unpack::new(image).to(directory).await?.files)
}
