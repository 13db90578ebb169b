//! Names that are made of a digest: pinned references, and the tags that cosign attaches to a manifest.

use crate::digest::Digest;

/// Signatures, attestations and SBOMs.
const KINDS: [&str; 3] = ["sig", "att", "sbom"];

/// Returns the tags that cosign uses for this manifest: `sha256-<hex>.sig` and so on.
pub fn digest_tags(digest: &Digest) -> [String; 3] {
    KINDS.map(|kind| format!("{}-{}.{kind}", digest.algorithm_name(), digest.encoded()))
}

/// Whether a name or tag is a digest tag.
pub fn is_digest_tag(name: &str) -> bool {
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    let Some((digest, kind)) = tag.rsplit_once('.') else { return false };
    KINDS.contains(&kind) && digest.replacen('-', ":", 1).parse::<Digest>().is_ok()
}

/// Whether a tag is that of a list of referrers at a registry without the referrers API: `sha256-<hex>` (distribution-spec,
/// "Referrers Tag Schema", which cuts longer digests to 64 digits).
pub fn is_referrers_tag(tag: &str) -> bool {
    let Some((algorithm, encoded)) = tag.split_once('-') else { return false };
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    ["sha256", "sha512"].contains(&algorithm) && encoded.len() == 64 && encoded.chars().all(is_hex)
}

/// Returns the tag of the list of a manifest's referrers, as [`is_referrers_tag`] recognizes it.
pub(crate) fn referrers_tag(subject: &Digest) -> String {
    let (algorithm, encoded) = (subject.algorithm_name(), subject.encoded());
    let cut = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    let legal = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    format!("{}-{}", cut(algorithm, 32), cut(encoded, 64)).chars().map(legal).collect()
}

/// Whether a name ends in a digest: `registry/repository@sha256:…`.
pub fn is_pinned(name: &str) -> bool {
    name.rsplit_once('@').is_some_and(|(_, digest)| digest.parse::<Digest>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_tag_of_cosign_is_recognized() {
        let [signature, ..] = digest_tags(&Digest::sha256(b"x"));
        assert!(
            is_digest_tag(&signature) && is_digest_tag(&format!("localhost:5000/a:{signature}"))
        );
        for other in ["1.0", "sha256-ab.sig", "localhost:5000/a:v1.sig", "", "a.sbom"] {
            assert!(!is_digest_tag(other), "{other}");
        }
        assert!(!is_digest_tag(signature.trim_end_matches(".sig")));
    }

    #[test]
    fn referrers_tag_is_truncated_to_tag_length() {
        let of = |text: &str| referrers_tag(&text.parse().unwrap());
        let hex = "ab".repeat(32);
        for (digest, tag) in [
            (format!("sha256:{hex}"), format!("sha256-{hex}")),
            (format!("sha512:{hex}{hex}"), format!("sha512-{hex}")),
        ] {
            assert_eq!(of(&digest), tag);
            assert!(is_referrers_tag(&tag));
        }
        assert_eq!(of("sha256+b64u:LCa0a2j_xo="), "sha256-b64u-LCa0a2j_xo-");
    }

    #[test]
    fn referrers_tag_is_no_digest_tag() {
        let [signature, ..] = digest_tags(&Digest::sha256(b"x"));
        assert!(is_referrers_tag(signature.trim_end_matches(".sig")));
        for other in [&signature, "sha256-ab", "1.0", "v-1", ""] {
            assert!(!is_referrers_tag(other), "{other}");
        }
    }
}
