//! HTTP requests and responses: hosts, TLS, proxies, URL policy, bodies and errors.
//!
//! No credential is attached and no request of the API is made here; see `auth`, `send` and the modules beside it.

pub(super) mod address_class;
pub(super) mod announced_limit;
pub(super) mod body;
pub(super) mod certs_dir;
pub(super) mod connection;
pub(super) mod counter;
pub(super) mod dns_lookup;
pub(super) mod encoding;
pub(super) mod error_body;
pub(super) mod exchange;
pub(super) mod gate;
pub(super) mod host_settings;
pub(super) mod hosts;
pub(super) mod limiter;
pub(super) mod origin;
pub(super) mod proxy;
pub(super) mod request;
pub(super) mod storage_error;
pub(super) mod tls;
pub(super) mod transport_error;
pub(super) mod url_policy;
pub(super) mod warnings;
