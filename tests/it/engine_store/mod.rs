//! Stores of container engines as sources: docker's data root, its daemon, and containerd's root.

mod containerd_df;
mod containerd_root;
mod docker_daemon;
mod docker_df;
mod docker_hostile;
mod docker_root;
