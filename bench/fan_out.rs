//! Copies an image to several registries in one run: `fan_out SOURCE TARGET...`

use std::sync::Arc;

use rpull::content::{Source, Target};
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions};
use rpull::transfer::{ImageRequest, Transfer, TransferOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut references = std::env::args().skip(1).map(|argument| argument.parse::<Reference>());
    let from = references.next().ok_or("fan_out SOURCE TARGET...")??;
    let client = Client::new(RegistryOptions::default());
    let source: Arc<dyn Source> = Arc::new(client.repository(&from)?);
    let mut run = Transfer::new(TransferOptions::default());
    for to in references {
        let to = to?;
        let target: Arc<dyn Target> = Arc::new(client.repository_for_push(&to)?);
        let image = ImageRequest::new(Arc::clone(&source), from.name())
            .reference(to.to_string())
            .target_name(to.name());
        run = run.image(image, &target);
    }
    let failed = run.run().await.images.into_iter().find_map(|image| image.error);
    failed.map_or(Ok(()), |error| Err(error.into()))
}
