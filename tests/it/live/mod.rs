//! Against programs of this machine: docker-registry, skopeo, umoci, podman, buildah, docker, containerd, stargz-snapshotter,
//! Chromium.

mod archives;
mod artifact;
mod completions;
mod containerd;
mod convert;
mod debian;
mod delta;
mod delta_offline;
mod deploy;
mod docker;
mod edit;
mod encoders;
mod found_mirrors;
mod mirror;
mod pull;
mod push;
mod registry;
mod report;
mod report_pages;
mod retain;
mod serve;
mod support;
mod tables_of_contents;
mod upstream;
