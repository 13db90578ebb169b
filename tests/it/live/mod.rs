//! Against programs of this machine: docker-registry, skopeo, umoci, podman.
