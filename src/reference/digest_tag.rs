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
    fn referrers_tag_is_no_digest_tag() {
        let [signature, ..] = digest_tags(&Digest::sha256(b"x"));
        assert!(is_referrers_tag(signature.trim_end_matches(".sig")));
        for other in [&signature, "sha256-ab", "1.0", "v-1", ""] {
            assert!(!is_referrers_tag(other), "{other}");
        }
    }
}
