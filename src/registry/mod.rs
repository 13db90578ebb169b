//! A registry over HTTP. Spec: OCI distribution-spec 1.1, and the deviations of real registries.
//!
//! A [`Client`] holds the connections and tokens of registries; a [`Repository`] is one repository in them, a
//! [`Source`](crate::content::Source) and [`Target`](crate::content::Target).

mod auth;
mod blob;
mod client;
pub mod credentials;
mod delete;
mod foreign;
mod host_limits;
mod http;
mod link;
mod login;
mod manifest;
mod mirrors;
mod options;
mod pages;
mod put;
mod rate_floor;
mod rate_limit;
mod redactor;
mod referrers;
mod repository;
mod scope;
mod send;
mod source;
mod tag_deletion;
mod tags;
mod target;
mod upload;
mod writer;

pub use self::client::Client;
pub use self::host_limits::{HostLimit, HostLimits};
#[cfg(feature = "cli")]
pub(crate) use self::http::address_class::is_reachable_from;
pub use self::login::LoginResult;
pub use self::mirrors::Mirrors;
#[cfg(feature = "cli")]
pub(crate) use self::mirrors::read::NOTICE;
pub use self::options::RegistryOptions;
pub use self::redactor::{Redactor, TextKind};
pub use self::referrers::Referrer;
pub use self::repository::Repository;
pub use crate::retry::Timeouts;
