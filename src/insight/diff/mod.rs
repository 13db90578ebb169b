//! What two images share, and how they differ. All functions are pure.

pub mod config;
pub mod files;
pub mod layers;
