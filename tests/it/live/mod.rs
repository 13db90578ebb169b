//! Against programs of this machine: docker-registry, skopeo, umoci, podman.

mod archives;
mod debian;
mod pull;
mod push;
mod registry;
mod serve;
mod support;
