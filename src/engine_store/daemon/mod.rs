//! A running docker daemon, asked over its socket.
//!
//! The only way to an image's bytes is `GET /images/NAME/get`, the stream of `docker save`. It is spooled once per image and
//! then read like a docker archive.

mod socket;
mod source;

pub use self::source::DockerDaemon;
