//! The names of Docker Hub, which answers at another host than references say.

/// Its name in a reference.
pub(crate) const HUB: &str = "docker.io";

/// Its name of long ago, still in old scripts and config files.
pub(crate) const OLD_HUB: &str = "index.docker.io";

/// The host of its API.
pub(crate) const HUB_API_HOST: &str = "registry-1.docker.io";

/// Every host that means it.
pub(crate) const HUB_HOSTS: [&str; 3] = [HUB, OLD_HUB, HUB_API_HOST];

/// The namespace of images that are named without one.
pub(crate) const OFFICIAL_NAMESPACE: &str = "library";

/// Its key in docker's files of credentials, and what credential helpers know it by.
pub(crate) const HUB_CREDENTIAL_KEY: &str = "https://index.docker.io/v1/";
