//! Moves container images layer by layer, without a daemon, and knows exactly what moved.

pub mod checked;
pub mod content;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod error;
mod escape;
pub mod media;
pub mod platform;
pub mod secret;

pub use escape::escape;
