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

#![expect(clippy::print_stdout, reason = "it is a program")]

mod directory;
mod source;
mod target;

use std::path::Path;
use std::sync::Arc;

use rpull::content::Source as _;
use rpull::name::ImageName;
use rpull::{Pull, Reference};

pub(crate) use self::directory::Directory;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(reference), Some(root), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("own_backend REFERENCE DIRECTORY".into());
    };
    let reference: Reference = reference.parse()?;
    let directory = Arc::new(Directory::open(Path::new(&root))?);
    for run in ["first", "second"] {
        // Without a name of its own, the image has the reference's name in the target.
        let report = Pull::new(&reference).to(Arc::clone(&directory)).await?;
        for image in report.images {
            let bytes = image.report.bytes;
            println!("{run} run: transferred {} bytes, {} shared", bytes.transferred, bytes.shared);
        }
    }
    let name = ImageName::Layout(reference.store_name());
    let stored = directory.resolve(&name).await?;
    println!("{}: {} blobs", stored.digest(), stored.blobs().count());
    Ok(())
}
