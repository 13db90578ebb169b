//! Which extended attributes an image may set.

/// File capabilities, which grant privileges of root to a program.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Whether an image may set the attribute. `trusted.*` and `user.overlay.*` control overlay file systems, and other
/// attributes are specific to the system that built the image.
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
