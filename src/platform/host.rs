//! The platform of the host.

use std::env::consts;

use super::architecture::architecture;

/// Returns the host's architecture, with the CPU variant if the architecture needs it.
pub(super) fn cpu() -> (String, Option<String>) {
    let machine = match consts::ARCH {
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        "mips64" if cfg!(target_endian = "little") => "mips64le",
        "mips" if cfg!(target_endian = "little") => "mipsle",
        other => other,
    };
    let variant = match machine {
        "arm" | "aarch64" => variant(machine),
        _ => "",
    };
    architecture(machine, variant)
}

/// Returns the host's operating system as images name it.
pub(super) fn os() -> &'static str {
    match consts::OS {
        // No images run on macOS itself; Docker Desktop, podman and lima run them in a Linux VM.
        "macos" => "linux",
        other => other,
    }
}

/// Returns the variant of an ARM host; "" if it is unknown, which means the usual one.
fn variant(architecture: &str) -> &'static str {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    of_cpuinfo(&read("/proc/cpuinfo"), architecture)
        // The same as `uname -m`.
        .or_else(|| of_machine(&read("/proc/sys/kernel/arch")))
        .unwrap_or_default()
}

/// Parses the variant from Linux's `/proc/cpuinfo`, for a program of this architecture.
fn of_cpuinfo(text: &str, architecture: &str) -> Option<&'static str> {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_ascii_lowercase())
    };
    match field("CPU architecture")?.as_str() {
        "8" | "aarch64" => Some("v8"),
        // The first Raspberry Pis are ARMv6 but report 7.
        "7" if architecture == "arm"
            && field("model name").is_some_and(|name| name.starts_with("armv6-compatible")) =>
        {
            Some("v6")
        }
        "7" | "7m" | "?(12)" | "?(13)" | "?(14)" | "?(15)" | "?(16)" | "?(17)" => Some("v7"),
        "6" | "6tej" => Some("v6"),
        "5" | "5t" | "5te" | "5tej" => Some("v5"),
        _ => None,
    }
}

/// Parses the variant from the kernel's machine name: `aarch64`, `armv7l`.
fn of_machine(machine: &str) -> Option<&'static str> {
    let machine = machine.trim().to_ascii_lowercase();
    if machine == "aarch64" {
        return Some("v8");
    }
    match machine.strip_prefix("armv")?.bytes().next()? {
        b'8' => Some("v8"),
        b'7' => Some("v7"),
        b'6' => Some("v6"),
        b'5' => Some("v5"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arm_variant_is_read_from_cpuinfo() {
        let pi1 = "processor\t: 0\nmodel name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU architecture: 7\n";
        let pi3 =
            "processor\t: 0\nmodel name\t: ARMv7 Processor rev 4 (v7l)\nCPU architecture: 7\n";
        assert_eq!(of_cpuinfo(pi1, "arm"), Some("v6"));
        assert_eq!(of_cpuinfo(pi1, "aarch64"), Some("v7"));
        assert_eq!(of_cpuinfo(pi3, "arm"), Some("v7"));
        for (value, expected) in
            [("8", Some("v8")), ("AArch64", Some("v8")), ("5TEJ", Some("v5")), ("6TEJ", Some("v6"))]
        {
            assert_eq!(of_cpuinfo(&format!("cpu Architecture : {value}\n"), "arm"), expected);
        }
        // The first core counts; x86 reports no architecture number.
        assert_eq!(of_cpuinfo("CPU architecture: 8\nCPU architecture: 7\n", "arm"), Some("v8"));
        assert_eq!(of_cpuinfo("vendor_id : GenuineIntel\n", "aarch64"), None);
    }

    #[test]
    fn arm_variant_is_read_from_machine_name() {
        for (machine, expected) in [
            ("aarch64\n", Some("v8")),
            ("Armv8", Some("v8")),
            ("armv7l", Some("v7")),
            ("armv6hf", Some("v6")),
            ("armv5tejl", Some("v5")),
            ("armv", None),
            ("armxxxx", None),
            ("x86_64", None),
        ] {
            assert_eq!(of_machine(machine), expected, "{machine}");
        }
    }
}
