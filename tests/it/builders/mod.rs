//! The builders of the library: their ends, reports and errors.

mod ends;
mod environment;
mod examples;
mod reports;

use rpull::registry::{Client, RegistryOptions};

/// A client without anything of this machine.
fn client() -> Client {
    Client::new(RegistryOptions::default())
}
