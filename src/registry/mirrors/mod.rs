//! Mirrors that other tools are configured for: which hosts are asked for the content of a registry, and in which order.
//!
//! [`Mirrors`] finds and reads the files, [`host`] has what they say in one form, and [`read`] and [`blob`] ask one host
//! after the other. Only reading goes to mirrors.

pub(super) mod blob;
pub(super) mod blob_hosts;
pub(super) mod files;
pub(super) mod health;
pub(super) mod host;
mod hosts_toml;
pub(super) mod read;
mod registries_conf;

pub use self::files::Mirrors;
