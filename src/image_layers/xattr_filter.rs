//! Extended attributes: which an image may set, and which it may not.

/// Which program may do what only root may.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Whether an image may say something about it. `trusted.*` and `user.overlay.*` steer overlay file systems, and other
/// attributes belong to the system that the image was made on.
pub(crate) fn is_allowed(name: &[u8]) -> bool {
    (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")) || name == CAPABILITY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xattr_privileged_namespaces_are_refused() {
        for name in ["user.a", "user.overlayfs", "user.", "security.capability"] {
            assert!(is_allowed(name.as_bytes()), "{name}");
        }
        for name in [
            "trusted.overlay.opaque",
            "trusted.a",
            "user.overlay.opaque",
            "security.selinux",
            "security.capability2",
            "security.ima",
            "system.posix_acl_access",
            "system.nfs4_acl",
            "USER.a",
            "",
        ] {
            assert!(!is_allowed(name.as_bytes()), "{name}");
        }
    }
}
