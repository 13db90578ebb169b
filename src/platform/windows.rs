//! Windows version compatibility: containers share the host's kernel, so image and host builds must match.

/// Windows Server builds since which a host also runs images of somewhat older builds.
const LONG_TERM_BUILDS: [u32; 2] = [20348, 26100];

/// `major.minor.build.revision`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WindowsVersion([u32; 4]);

impl WindowsVersion {
    /// The version of an image that does not state one; the last choice.
    pub(super) const NONE: Self = Self([0; 4]);

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| part.parse().ok());
        let (major, minor, build) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(Self([major, minor, build, numbers.next().flatten().unwrap_or_default()]))
    }
}

/// Whether a Windows host of one version runs images of another. An unknown version matches everything.
pub(super) fn runs_on(host: &str, image: &str) -> bool {
    if host.is_empty() || image.is_empty() {
        return true;
    }
    let (Some(host), Some(image)) = (WindowsVersion::parse(host), WindowsVersion::parse(image))
    else {
        return host == image;
    };
    let WindowsVersion([major, minor, build, _]) = host;
    let WindowsVersion([own_major, own_minor, own_build, _]) = image;
    let [first, ..] = LONG_TERM_BUILDS;
    let oldest = if build < first {
        build
    } else {
        // The newest such build before the host's own, or the first of them.
        LONG_TERM_BUILDS.into_iter().rfind(|long_term| *long_term < build).unwrap_or(first)
    };
    (major, minor) == (own_major, own_minor) && (oldest..=build).contains(&own_build)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_host_runs_compatible_builds() {
        for (host, image, runs) in [
            ("", "10.0.1", true),
            ("10.0.17763", "", true),
            ("10.0.17763.1", "10.0.17763.99", true),
            ("10.0.17763", "10.0.17762", false),
            ("10.0.20348", "10.0.20348", true),
            ("10.0.20348", "10.0.17763", false),
            ("10.0.22621", "10.0.20348", true),
            ("10.0.22621", "10.0.22631", false),
            ("10.0.26100", "10.0.20348", true),
            ("10.0.26200", "10.0.26100", true),
            ("10.0.26200", "10.0.20348", false),
            ("10.0.26200", "11.0.26200", false),
            ("10.0.20348", "newest", false),
            ("odd", "odd", true),
        ] {
            assert_eq!(runs_on(host, image), runs, "{host} {image}");
        }
    }
}
