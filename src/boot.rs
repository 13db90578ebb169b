//! Identifies the current boot: data that was not synced before a restart may be lost.

/// Returns the kernel's boot id; a unique value per call if it is not available.
pub(crate) fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id: String = id.chars().filter(char::is_ascii_hexdigit).collect();
    if id.is_empty() { format!("{:032x}", fastrand::u128(..)) } else { id }
}
