//! Stores of container engines as sources: docker's data root.

mod docker_df;
mod docker_hostile;
mod docker_root;
