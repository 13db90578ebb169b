//! Integration tests.

// `cfg(test)` is always set here; it tells clippy that helpers may unwrap as tests may.
#[cfg(test)]
mod support;
#[cfg(test)]
mod support_fixtures;
#[cfg(test)]
mod support_live;
#[cfg(test)]
mod support_selftest;
