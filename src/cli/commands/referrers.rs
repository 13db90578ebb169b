//! `referrers`: lists signatures, SBOMs and other referrers of an image.

use std::collections::HashSet;
use std::process::ExitCode;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::cli::args::Referrers;
use crate::cli::image::open::{OpenedLocation, open_location};
use crate::cli::image::store_hint::StoreHint;
use crate::cli::output::{self, note};
use crate::cli::settings::{ForeignLayers, Settings, explicit_platform};
use crate::cli::size::size;
use crate::cli::terminal_width::terminal_width;
use crate::cli::text_width::{truncate, width};
use crate::content::{Effort, Lookup as _, Presence, Source};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Exceeded, MAX_REFERRER_DEPTH};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;
use crate::registry::Referrer;
use crate::transfer::{PlatformRequest, resolve_image};

pub(in crate::cli) async fn run(args: Referrers, settings: &Settings) -> Result<ExitCode> {
    let location = Location::parse(&args.image, DefaultLocation::Registry)?;
    let wanted = Wanted {
        artifact_type: args.artifact_type.as_deref(),
        platform: explicit_platform(args.platform.as_deref())?,
    };
    let listed = if let Location::Registry(reference) = &location {
        let reading = in_registry(reference, &wanted, settings);
        StoreHint::new(&args.image, settings).around(reading).await?
    } else {
        locally(&location, &wanted, settings).await?
    };
    listed.print(wanted.artifact_type, settings)
}

/// What to list.
struct Wanted<'a> {
    artifact_type: Option<&'a str>,
    /// The platform of the manifest whose referrers are listed, and not those of its index.
    platform: Option<PlatformRequest>,
}

/// Referrers of a manifest.
struct Listed {
    reference: String,
    digest: Digest,
    referrers: Vec<Referrer>,
}

impl Wanted<'_> {
    /// The digest of the manifest of the platform, if one was named.
    async fn manifest(
        &self,
        source: &dyn Source,
        name: &ImageName,
        reference: &str,
        settings: &Settings,
    ) -> Result<Option<Digest>> {
        let Some(platform) = &self.platform else { return Ok(None) };
        let found = resolve_image(source, name, reference, Some(platform), &settings.retry).await?;
        Ok(Some(found.manifest.digest().clone()))
    }
}

async fn in_registry(
    reference: &Reference,
    wanted: &Wanted<'_>,
    settings: &Settings,
) -> Result<Listed> {
    let text = reference.to_string();
    let client = settings.client(&text, ForeignLayers::Ignore)?;
    let repository = client.repository(reference)?;
    let name = reference.name();
    let digest = match (wanted.manifest(&repository, &name, &text, settings).await?, name) {
        (Some(digest), _) | (None, ImageName::Digest(digest)) => digest,
        (None, name) => match repository.name(&name, Effort::Request).await?.present() {
            Some(descriptor) => descriptor.digest,
            None => repository.resolve(&name).await?.digest().clone(),
        },
    };
    let referrers = repository.referrer_tree(&digest, wanted.artifact_type).await?;
    Ok(Listed { reference: text, digest, referrers })
}

async fn locally(location: &Location, wanted: &Wanted<'_>, settings: &Settings) -> Result<Listed> {
    let OpenedLocation { source, name, reference, .. } = open_location(location, settings).await?;
    let digest = match wanted.manifest(&*source, &name, &reference, settings).await? {
        Some(digest) => digest,
        None => source.resolve(&name).await?.digest().clone(),
    };
    let seen = &mut HashSet::new();
    let referrers = local_tree(&*source, &digest, wanted.artifact_type, (0, seen)).await?;
    Ok(Listed { reference, digest, referrers })
}

/// The referrers in a layout or archive and their referrers, each once. What a layout lists is finite.
fn local_tree<'a>(
    source: &'a dyn Source,
    subject: &'a Digest,
    artifact_type: Option<&'a str>,
    (depth, seen): (usize, &'a mut HashSet<Digest>),
) -> BoxFuture<'a, Result<Vec<Referrer>>> {
    Box::pin(async move {
        if depth > MAX_REFERRER_DEPTH {
            return Err(
                Exceeded::Depth { depth: MAX_REFERRER_DEPTH, what: "referrers" }.error("referrers")
            );
        }
        let Presence::Present(listed) = source.referrers(subject).await? else {
            return Err(Error::new(ErrorKind::Unsupported, "referrers")
                .at(&source.endpoint().location)
                .with_reason("this kind of location has no list of referrers")
                .with_hint("name the image in a registry, store or layout"));
        };
        let mut found = Vec::new();
        for descriptor in listed {
            let is_wanted = artifact_type
                .is_none_or(|wanted| descriptor.artifact_type.as_deref() == Some(wanted));
            if is_wanted && seen.insert(descriptor.digest.clone()) {
                let digest = descriptor.digest.clone();
                let referrers =
                    local_tree(source, &digest, artifact_type, (depth + 1, &mut *seen)).await?;
                found.push(Referrer { descriptor, referrers });
            }
        }
        Ok(found)
    })
}

impl Listed {
    fn print(&self, artifact_type: Option<&str>, settings: &Settings) -> Result<ExitCode> {
        let Self { reference, digest, referrers } = self;
        if settings.json {
            let all: Vec<Value> = referrers.iter().map(value).collect();
            let document = json!({ "reference": reference, "digest": digest, "referrers": all });
            let rows: Vec<Value> = flat(referrers).into_iter().map(value).collect();
            output::json_of_rows(&document, &rows)?;
        } else if settings.quiet {
            let mut rows = flat(referrers).into_iter();
            rows.try_for_each(|row| output::line(row.descriptor.digest.as_str()))?;
        } else {
            let terminal = terminal_width();
            let is_narrow = terminal.is_some_and(|columns| columns < width(digest.as_str()));
            let subject = if is_narrow { digest.short() } else { digest.as_str() };
            output::text(&format!("{subject}\n{}", tree(referrers, "", terminal)))?;
            if referrers.is_empty() {
                let kind = artifact_type.map(|kind| format!(" of type {kind}")).unwrap_or_default();
                note(&format!("no referrers{kind} of {reference}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// All referrers, each before its own.
fn flat(referrers: &[Referrer]) -> Vec<&Referrer> {
    let mut all = Vec::new();
    for one in referrers {
        all.push(one);
        all.extend(flat(&one.referrers));
    }
    all
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

/// Formats one line per referrer, with its own referrers indented below it. A narrow terminal gets short digests.
fn tree(referrers: &[Referrer], indent: &str, terminal: Option<usize>) -> String {
    let last = referrers.len().saturating_sub(1);
    let branch = |(at, Referrer { descriptor, referrers }): (usize, &Referrer)| {
        let (fork, below) =
            if at == last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let named = descriptor.artifact_type.as_deref().filter(|name| !name.is_empty());
        let kind = named.unwrap_or(descriptor.media_type.as_str());
        let (kind, digest) = (crate::escape(kind), &descriptor.digest);
        let inner = tree(referrers, &format!("{indent}{below}"), terminal);
        let line =
            |digest: &str| format!("{indent}{fork}{kind} {digest} {}", size(descriptor.size));
        let whole = line(digest.as_str());
        let line = match terminal.filter(|columns| width(&whole) > *columns) {
            Some(columns) => truncate(&line(digest.short()), columns),
            None => whole,
        };
        format!("{line}\n{inner}")
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
        let text = tree(&all, "", None).replace(digest.as_str(), "D");
        assert_eq!(
            text,
            "├── a/sbom D 0 B\n│   └── a/sig D 0 B\n├── \\u{1b}[2J D 0 B\n│   └── a/sig D 0 B\n\
             └── application/vnd.oci.image.manifest.v1+json D 0 B\n"
        );
    }
}
