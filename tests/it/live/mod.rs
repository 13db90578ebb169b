//! Against programs of this machine: docker-registry, skopeo, umoci, podman, docker.

mod archives;
mod debian;
mod docker;
mod pull;
mod push;
mod registry;
mod serve;
mod support;
