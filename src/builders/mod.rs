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
mod run;
mod settings;
mod unpack;

pub use self::copy::Copy;
pub use self::image_source::ImageSource;
pub use self::image_target::ImageTarget;
#[cfg(feature = "cli")]
pub(crate) use self::open_layer::open_layer;
#[cfg(feature = "cli")]
pub(crate) use self::open_source::open_engine;
#[cfg(feature = "cli")]
pub(crate) use self::opened::OpenedLocation;
pub use self::pull::Pull;
pub use self::push::Push;
pub use self::unpack::Unpack;
