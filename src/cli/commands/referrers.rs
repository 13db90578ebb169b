//! `referrers`: lists signatures, SBOMs and other referrers of an image.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::args::Referrers;
use crate::cli::image::open::registry_reference;
use crate::cli::output::{self, note};
use crate::cli::settings::{ForeignLayers, Settings};
use crate::cli::size::size;
use crate::content::{Effort, Lookup as _, Source as _};
use crate::error::Result;
use crate::name::ImageName;
use crate::registry::Referrer;

pub(in crate::cli) async fn run(args: Referrers, settings: &Settings) -> Result<ExitCode> {
    let reference = registry_reference(&args.image)?;
    let repository =
        settings.client(&reference.to_string(), ForeignLayers::Ignore)?.repository(&reference)?;
    let digest = match reference.name() {
        ImageName::Digest(digest) => digest,
        name => match repository.name(&name, Effort::Request).await?.present() {
            Some(descriptor) => descriptor.digest,
            None => repository.resolve(&name).await?.digest().clone(),
        },
    };
    let referrers = repository.referrer_tree(&digest, args.artifact_type.as_deref()).await?;
    if settings.json {
        let all: Vec<Value> = referrers.iter().map(value).collect();
        output::json(&json!({
            "reference": reference.to_string(), "digest": digest, "referrers": all,
        }))?;
    } else {
        output::text(&format!("{}\n{}", digest, tree(&referrers, "")))?;
        if referrers.is_empty() && !settings.quiet {
            note(&format!("no referrers of {reference}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn value(referrer: &Referrer) -> Value {
    let Referrer { descriptor, referrers } = referrer;
    json!({
        "digest": descriptor.digest,
        "media_type": descriptor.media_type,
        "size": descriptor.size,
        "artifact_type": descriptor.artifact_type,
        "annotations": descriptor.annotations,
        "referrers": referrers.iter().map(value).collect::<Vec<_>>(),
    })
}

/// Formats one line per referrer, with its own referrers indented below it.
fn tree(referrers: &[Referrer], indent: &str) -> String {
    let last = referrers.len().saturating_sub(1);
    let branch = |(at, Referrer { descriptor, referrers }): (usize, &Referrer)| {
        let (fork, below) =
            if at == last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let named = descriptor.artifact_type.as_deref().filter(|name| !name.is_empty());
        let kind = named.unwrap_or(descriptor.media_type.as_str());
        let (kind, digest) = (crate::escape(kind), &descriptor.digest);
        let inner = tree(referrers, &format!("{indent}{below}"));
        format!("{indent}{fork}{kind} {digest} {}\n{inner}", size(descriptor.size))
    };
    referrers.iter().enumerate().map(branch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Descriptor;
    use crate::media::MediaType;

    #[test]
    fn referrers_tree_is_nested_and_escaped() {
        let one = |kind: Option<&str>, referrers: Vec<Referrer>| {
            let mut descriptor = Descriptor::for_bytes(MediaType::OCI_MANIFEST, b"");
            descriptor.artifact_type = kind.map(str::to_owned);
            Referrer { descriptor, referrers }
        };
        let inner = vec![one(Some("a/sig"), vec![])];
        let all =
            [one(Some("a/sbom"), inner.clone()), one(Some("\u{1b}[2J"), inner), one(None, vec![])];
        let digest = Descriptor::for_bytes(MediaType::OCI_MANIFEST, b"").digest;
        let text = tree(&all, "").replace(digest.as_str(), "D");
        assert_eq!(
            text,
            "├── a/sbom D 0 B\n│   └── a/sig D 0 B\n├── \\u{1b}[2J D 0 B\n│   └── a/sig D 0 B\n\
             └── application/vnd.oci.image.manifest.v1+json D 0 B\n"
        );
    }
}
