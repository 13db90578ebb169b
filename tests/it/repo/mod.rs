//! Rules of this repository: dependencies of modules and crates, names of tests.

mod architecture;
mod dependencies;
mod fixture_support;
mod server_support;
mod test_names;
