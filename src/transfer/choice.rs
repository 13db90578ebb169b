//! The platform that is wanted, and what may be taken in its place.

use crate::platform::{self, Platform};

/// The platform that is wanted of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformRequest {
    /// Which one.
    pub platform: Platform,
    /// Whether the user requested it: then a single-platform image must match it, too.
    pub explicit: bool,
    /// Whether nothing else will do: another architecture is never taken in its place, though its machines run it.
    pub exact: bool,
}

impl PlatformRequest {
    /// A platform that the user requested.
    pub fn explicit(platform: Platform) -> Self {
        Self { platform, explicit: true, exact: false }
    }

    /// A requested platform, to be passed on by name.
    pub fn exact(platform: Platform) -> Self {
        Self { platform, explicit: true, exact: true }
    }

    /// The best match for the host, without a request.
    pub fn implicit(platform: Platform) -> Self {
        Self { platform, explicit: false, exact: false }
    }

    /// Whether an image of this platform is what was wanted.
    pub(super) fn takes(&self, own: &Platform) -> bool {
        let runs = platform::matches(&self.platform, own);
        runs && (!self.exact || platform::same_architecture(&self.platform, own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_platform_accepts_variants_but_no_other_architecture() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (wanted, own, by_default, exactly) in [
            ("linux/arm64", "linux/arm64/v8", true, true),
            ("linux/arm64", "linux/arm/v7", true, false),
            ("linux/arm/v7", "linux/arm/v6", true, true),
            ("linux/amd64/v3", "linux/amd64", true, true),
            ("linux/amd64", "linux/386", true, false),
            ("linux/amd64", "linux/arm64", false, false),
            ("linux/amd64", "windows/amd64", false, false),
        ] {
            let takes = |choice: PlatformRequest| choice.takes(&platform(own));
            assert_eq!(
                takes(PlatformRequest::implicit(platform(wanted))),
                by_default,
                "{wanted} {own}"
            );
            assert_eq!(
                takes(PlatformRequest::explicit(platform(wanted))),
                by_default,
                "{wanted} {own}"
            );
            assert_eq!(takes(PlatformRequest::exact(platform(wanted))), exactly, "{wanted} {own}");
        }
    }
}
