//! Stores of container engines as sources: docker's data root, and its daemon.

mod docker_daemon;
mod docker_df;
mod docker_hostile;
mod docker_root;
