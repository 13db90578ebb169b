//! Against programs of this machine: docker-registry, skopeo, umoci, podman, docker, containerd.

mod archives;
mod containerd;
mod debian;
mod docker;
mod pull;
mod push;
mod registry;
mod serve;
mod support;
