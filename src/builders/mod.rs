//! Whole jobs in a few lines: [`Pull`], [`Push`] and [`struct@Copy`] over one [`Transfer`](crate::transfer::Transfer), and
//! [`Unpack`].
//!
//! Each takes images and targets as text, as references or as ends that are open, and is awaited. What registries need is
//! taken from the environment, as the command line does, unless a client is given.

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
pub(crate) use self::opened::OpenedLocation;
pub use self::pull::Pull;
pub use self::push::Push;
pub use self::unpack::Unpack;
