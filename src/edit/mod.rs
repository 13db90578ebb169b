//! Changes images without an engine: new layers, another config, another base, indexes, another format or compression.
//!
//! An [`ImageEdit`] begins with an image of any source, and ends as an [`EditedImage`], which is a
//! [`Source`](crate::content::Source) itself: copied to a target like any other image, so that blobs that the target has, or can
//! mount, do not move. Nothing of the image but its manifest and config is read. Members of these documents that are not changed
//! keep their text and order, also unknown ones.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use rpull::control::Control;
//! use rpull::edit::{ConfigChanges, ImageEdit, LayerOptions, NewLayer, Step};
//! use rpull::transfer::PlatformRequest;
//! use rpull::{Client, Copy, ImageSource, Reference};
//!
//! let base: Reference = "alpine:3.20".parse()?;
//! let repository = Arc::new(Client::from_env()?.repository(&base)?);
//! let host = PlatformRequest::from_env()?;
//! let mut image = ImageEdit::open(repository, &base.name(), "alpine:3.20", &host).await?;
//! let layer = NewLayer::from_dir("./app".as_ref(), &LayerOptions::default(), &Control::default())?;
//! image.append(layer, &Step::new("COPY app /"))?;
//! image.change_config(&ConfigChanges::default().cmd(vec!["/app".to_owned()]))?;
//! let edited = ImageSource::from(Arc::new(image.build()?));
//! Copy::new().image(edited).to("oci:/var/lib/images:app:1").await?;
//! # Ok(())
//! # }
//! ```

mod composed;
mod config;
mod conversion;
mod dir_layer;
mod edited_object;
mod entry_data;
mod flatten;
mod format;
mod history;
mod image;
mod index;
mod json_layout;
mod layer_file;
mod layer_tar;
mod manifest;
mod rebase;
mod stargz;
mod tar_layer;

pub use self::composed::EditedImage;
pub use self::config::ConfigChanges;
pub use self::conversion::{ConversionOptions, ConvertedImage, Converter};
pub use self::format::ImageFormat;
pub use self::history::Step;
pub use self::image::ImageEdit;
pub use self::index::IndexEdit;
pub use self::layer_file::{LayerOptions, NewLayer};
