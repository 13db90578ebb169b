//! Names of Docker Hub, whose API host differs from its name in references.

/// Its name in references.
pub(crate) const HUB: &str = "docker.io";

/// Its former name, still used in scripts and config files.
pub(crate) const OLD_HUB: &str = "index.docker.io";

/// The host of its API.
pub(crate) const HUB_API_HOST: &str = "registry-1.docker.io";

/// All hosts that mean Docker Hub.
pub(crate) const HUB_HOSTS: [&str; 3] = [HUB, OLD_HUB, HUB_API_HOST];

/// The namespace of images that are named without one.
pub(crate) const OFFICIAL_NAMESPACE: &str = "library";

/// Its key in docker's credential files and for credential helpers.
pub(crate) const HUB_CREDENTIAL_KEY: &str = "https://index.docker.io/v1/";
