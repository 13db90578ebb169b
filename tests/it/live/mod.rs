//! Against programs of this machine: docker-registry, skopeo, umoci, podman.

mod archives;
mod pull;
mod push;
mod registry;
