//! Parses platforms as users write them: `linux/arm64/v8`, `arm64`, `windows(10.0.17763+win32k)/amd64`.

use std::str::FromStr;

use super::architecture::architecture;
use super::percent::{decode, is_plain};
use super::{Platform, host};
use crate::error::{Error, ErrorKind, Result};

/// Operating systems known to Go. A single word must be one of these or an architecture.
const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// Architectures known to Go.
const ARCHITECTURES: [&str; 23] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc64",
    "wasm",
];

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|reason| {
            Error::new(ErrorKind::InvalidInput, format!("platform `{text}`")).with_reason(reason)
        })
    }
}

fn parse(text: &str) -> Result<Platform, &'static str> {
    let mut parts = text.split('/');
    let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let mut platform = system(first)?;
    if parts.next().is_some() || [second, third].into_iter().flatten().any(|part| !is_word(part)) {
        return Err("expected os/arch or os/arch/variant, as in linux/arm64/v8");
    }
    match second {
        Some(name) => {
            if SYSTEMS.contains(&name) && ARCHITECTURES.contains(&platform.os.as_str()) {
                return Err("the operating system must come first: os/arch");
            }
            let variant = third.unwrap_or_default();
            (platform.architecture, platform.variant) = architecture(name, variant);
            match (third, platform.architecture.as_str(), platform.variant.as_deref()) {
                // `arm` alone means v7 and is normalized to no variant.
                (None, "arm", Some("v7")) => platform.variant = None,
                // The explicit variant is kept; it is equal to `arm64`.
                (Some(_), "arm64", None) => platform.variant = Some("v8".to_owned()),
                _ => {}
            }
        }
        None if SYSTEMS.contains(&platform.os.as_str()) => {
            let host = Platform::host();
            (platform.architecture, platform.variant) = (host.architecture, host.variant);
        }
        None => {
            (platform.architecture, platform.variant) = architecture(first, "");
            if !ARCHITECTURES.contains(&platform.architecture.as_str()) {
                return Err("unknown operating system or architecture, expected e.g. linux/amd64");
            }
            if platform.architecture == "arm" && platform.variant.as_deref() == Some("v7") {
                platform.variant = None;
            }
            host::os().clone_into(&mut platform.os);
        }
    }
    Ok(platform)
}

/// Parses the part before the first slash: `os`, or `os(version+feature+…)` with `%` escapes.
fn system(text: &str) -> Result<Platform, &'static str> {
    let malformed = "malformed operating system, expected os or os(version+feature)";
    let (name, options) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').ok_or(malformed)?),
        None => (text, ""),
    };
    let is_option = |option: &str| option.bytes().all(|b| is_plain(b) || b == b'%');
    let mut options = options.split('+');
    let version = options.next().unwrap_or_default();
    let features: Vec<&str> = options.collect();
    let empty_feature = features.iter().any(|feature| feature.is_empty());
    if !is_word(name) || name.contains('.') || empty_feature {
        return Err(malformed);
    }
    if !std::iter::once(&version).chain(&features).all(|option| is_option(option)) {
        return Err(malformed);
    }
    let os = match name.to_ascii_lowercase() {
        os if os == "macos" => "darwin".to_owned(),
        os => os,
    };
    Ok(Platform {
        os,
        os_version: Some(decode(version)?).filter(|version| !version.is_empty()),
        os_features: features.into_iter().map(decode).collect::<Result<_, _>>()?,
        ..Platform::default()
    })
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn platform_text_is_parsed_and_completed() {
        let (os, cpu) = (host::os(), Platform::host().to_string());
        let cpu = cpu.split_once('/').unwrap().1;
        for (text, expected) in [
            ("linux/amd64", "linux/amd64".to_owned()),
            ("Linux/x86_64", "linux/amd64".to_owned()),
            ("linux/arm64/v8", "linux/arm64/v8".to_owned()),
            ("linux/aarch64", "linux/arm64".to_owned()),
            ("linux/arm/7", "linux/arm/v7".to_owned()),
            ("linux/armhf", "linux/arm".to_owned()),
            ("macos/arm64", "darwin/arm64".to_owned()),
            ("other/cpu/x", "other/cpu/x".to_owned()),
            ("arm64", format!("{os}/arm64")),
            ("armel", format!("{os}/arm/v6")),
            ("i386", format!("{os}/386")),
            ("linux", format!("linux/{cpu}")),
            ("windows()", format!("windows/{cpu}")),
            ("windows(10.0.20348+win32k)/amd64", "windows(10.0.20348+win32k)/amd64".to_owned()),
            ("linux(+b+a)/amd64", "linux(+a+b)/amd64".to_owned()),
            ("linux(1%252)/amd64", "linux(1%252)/amd64".to_owned()),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn platform_malformed_text_is_rejected() {
        for (text, reason) in [
            ("", "malformed"),
            ("/amd64", "malformed"),
            ("linux/", "os/arch"),
            ("linux/arm/", "os/arch"),
            ("linux/*", "os/arch"),
            ("linux/arm/v7/x", "os/arch"),
            ("linux amd64", "malformed"),
            ("linux(1/amd64", "malformed"),
            ("linux(+)/amd64", "malformed"),
            ("linux(a b)/amd64", "malformed"),
            ("linux(%2)/amd64", "escape"),
            ("linux(%zz)/amd64", "escape"),
            ("linux(%ff)/amd64", "escape"),
            ("amd64/linux", "must come first"),
            ("linus", "unknown operating system"),
        ] {
            let refusal = text.parse::<Platform>().unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidInput);
            assert!(refusal.to_string().contains(reason), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn platform_text_round_trips(
            text in prop_oneof![
                "[a-zA-Z]{1,5}(\\([a-z0-9.]{0,3}(\\+[a-c%25]{1,3}){0,3}\\))?(/[a-z0-9]{1,5}){1,2}",
                any::<String>(),
            ]
        ) {
            if let Ok(platform) = text.parse::<Platform>() {
                let again: Platform = platform.to_string().parse().unwrap();
                prop_assert_eq!(again.to_string(), platform.to_string());
                prop_assert_eq!(again.normalized(), platform.normalized());
            }
        }
    }
}
