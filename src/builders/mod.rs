//! Builders for complete operations: [`Pull`], [`Push`] and [`struct@Copy`] run a [`Transfer`](crate::transfer::Transfer),
//! [`Unpack`] writes files.
//!
//! Each takes images and targets as text, as references or as open sources and targets, and is awaited. Without a client,
//! credentials, certificates and proxies come from the environment, as on the command line.

mod copy;
mod image_source;
mod image_target;
mod open_layer;
mod open_source;
mod open_target;
mod opened;
mod pull;
mod push;
mod push_origin;
mod run;
mod settings;
mod stored_by_id;
mod unpack;

pub use self::copy::Copy;
pub use self::image_source::ImageSource;
pub use self::image_target::ImageTarget;
#[cfg(feature = "cli")]
pub(crate) use self::open_layer::{open_layer, open_stored, open_streamed};
#[cfg(feature = "cli")]
pub(crate) use self::open_source::open_engine;
#[cfg(feature = "cli")]
pub(crate) use self::opened::OpenedLocation;
pub use self::pull::Pull;
pub use self::push::Push;
#[cfg(feature = "cli")]
pub(crate) use self::push_origin::remember_push;
#[cfg(feature = "cli")]
pub(crate) use self::stored_by_id::{ambiguous_id, find_by_id, not_in_store};
pub use self::unpack::Unpack;
