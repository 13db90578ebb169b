//! Integration tests: one binary, so that it links once. `cargo test TOPIC` matches folder, file and name.
//!
//! - `pull/` downloads: resume, retry, timeout, integrity, platforms, plans, concurrency
//! - `push/` uploads: chunks, mounts, redirects, resume, referrers
//! - `delta/` layers rebuilt from other layers and deltas: archives, artifacts, what does not fit
//! - `rebuild/` gzip blobs from uncompressed bytes and records, of blobs by real encoders
//! - `registry/` registries: authentication, tokens, TLS, proxies, redaction, lists, deletion, fixtures
//! - `archive/` OCI and docker archives: reading them, and `save` and `load`
//! - `layout/` the store and other layouts: index, prune, verify, journal, locks, damage, full disks
//! - `engine_store/` the stores of container engines as sources
//! - `faults/` registries that fail on command: tables of faults, and random ones by seed
//! - `unpack/` layers as files or as one tar: whiteouts, hardlinks, symlinks, xattrs, sparse files, limits
//! - `overlay/` overlay directories: one directory per layer, and mounts of them
//! - `serve/` `rpull serve`: the store as a registry
//! - `cli/` the command line: arguments, JSON, terminals, signals, snapshots of help and messages
//! - `mirror/` `rpull mirror`: many images by a file
//! - `live/` against programs of this machine: docker-registry, skopeo, umoci, podman, Chromium
//! - `builders/` `Pull`, `Push`, `Copy` and `Unpack`, and the examples that use them
//! - `contract/` the contract of `Source`, `Target` and `Ingest` against every backend
//! - `repo/` rules of this repository: dependencies of modules and crates, names of tests
//! - `support/` servers that misbehave on demand, images, certificates, running programs

// `cfg(test)` is always set here; it tells clippy that helpers may unwrap as tests may.
#[cfg(test)]
mod archive;
#[cfg(test)]
mod builders;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod delta;
#[cfg(test)]
mod engine_store;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod live;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod overlay;
#[cfg(test)]
mod pull;
#[cfg(test)]
mod push;
#[cfg(test)]
mod rebuild;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod repo;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod support;
#[cfg(test)]
mod unpack;
