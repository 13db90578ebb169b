//! `rpull serve`: the store as a registry.

mod access;
mod blobs;
mod command;
mod concurrency;
mod conformance;
mod hostile;
mod limits;
mod lists;
mod manifests;
mod resume;
mod uploads;
mod upstream;
mod upstream_faults;
