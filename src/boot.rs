//! Which start of the machine this is: what was not made durable before it may be lost.

/// Names the time since the machine started; where the kernel does not tell, every call counts as a boot of its own.
pub(crate) fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id: String = id.chars().filter(char::is_ascii_hexdigit).collect();
    if id.is_empty() { format!("{:032x}", fastrand::u128(..)) } else { id }
}
