//! A custom backend: images in a plain directory, for one process at a time.
//!
//! ```text
//! content/<digest>     committed blobs, manifests and indexes
//! partial/<digest>     incomplete blobs, resumed by the next run
//! documents/<digest>   the descriptor of each manifest and index, as JSON
//! names/<name>         the digest that a name points to
//! ```
//!
//! Pulls an image into it, prints what it contains, and pulls again, which transfers nothing:
//!
//! ```sh
//! cargo run --example own_backend -- alpine:3.14 ./images
//! ```

mod directory;
mod source;
mod target;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use rpull::content::{Source as _, Target};
use rpull::error::{Error, ErrorKind, Result};
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions};
use rpull::transfer::{
    ImageRequest, PlatformRequest, PlatformSelection, TransferOptions, transfer,
};

pub(crate) use self::directory::Directory;
use self::directory::io_error;

#[tokio::main]
async fn main() -> Result<()> {
    let usage = || {
        Error::new(ErrorKind::InvalidInput, "usage").with_reason("own_backend REFERENCE DIRECTORY")
    };
    let mut arguments = std::env::args().skip(1);
    let (Some(reference), Some(root), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(usage());
    };
    let reference: Reference = reference.parse()?;
    let directory = Directory::open(Path::new(&root))?;
    let client = Client::new(RegistryOptions::default());
    let target: Arc<dyn Target> = Arc::new(directory.clone());
    for run in ["first", "second"] {
        let request = ImageRequest::new(Arc::new(client.repository(&reference)?), reference.name())
            .reference(reference.to_string())
            .target_name(ImageName::Layout(reference.store_name()))
            .platforms(PlatformSelection::Single(PlatformRequest::implicit(Platform::host())));
        let mut results = transfer(&[request], &target, TransferOptions::default()).await;
        let result = results.remove(0);
        if let Some(error) = result.error {
            return Err(error);
        }
        let bytes = result.report.bytes;
        writeln!(
            io::stdout(),
            "{run} run: transferred {} bytes, {} shared",
            bytes.transferred,
            bytes.shared
        )
        .map_err(|error| io_error("stdout", error))?;
    }
    let stored = directory.resolve(&ImageName::Layout(reference.store_name())).await?;
    writeln!(io::stdout(), "{}: {}", stored.digest(), stored.blobs().count())
        .map_err(|error| io_error("stdout", error))
}
