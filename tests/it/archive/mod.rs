//! OCI and docker archives: reading them, and `save` and `load`.
