//! Against programs of this machine: docker-registry, skopeo, umoci, podman, buildah, docker, containerd, Chromium.

mod archives;
mod buildah;
mod containerd;
mod debian;
mod docker;
mod pull;
mod push;
mod registry;
mod report;
mod report_pages;
mod serve;
mod support;
