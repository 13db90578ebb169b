//! Names of images at their targets, made of parts of their names at the source: `reg.example/mirror/{{repository}}`.

use std::path::PathBuf;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::{Reference, is_tag};

/// A target with placeholders for parts of the source's name.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Registry,
    Repository,
    Name,
    Tag,
}

/// The parts of an image's name at its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageParts<'a> {
    pub(crate) registry: &'a str,
    pub(crate) repository: &'a str,
    pub(crate) tag: Option<&'a str>,
    pub(crate) digest: Option<&'a Digest>,
}

/// The text that selects an image of a layout by its name: the tag `1.2` of `docker.io/org/app:1.2`, and of `1.2`.
pub(crate) fn tag_in_layout(name: &str) -> String {
    if is_tag(name) {
        return name.to_owned();
    }
    let tag = name.parse::<Reference>().ok().and_then(|name| name.tag().map(str::to_owned));
    tag.unwrap_or_else(|| name.to_owned())
}

impl<'a> From<&'a Reference> for ImageParts<'a> {
    fn from(reference: &'a Reference) -> Self {
        Self {
            registry: reference.registry(),
            repository: reference.repository(),
            tag: reference.tag(),
            digest: reference.digest(),
        }
    }
}

impl Template {
    /// # Errors
    /// An unknown placeholder, or text that is not a location with any values.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return Err("missing `}}`".to_owned());
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name.trim() {
                "registry" => Part::Registry,
                "repository" => Part::Repository,
                "name" => Part::Name,
                "tag" => Part::Tag,
                other => {
                    return Err(format!(
                        "unknown placeholder `{other}`, expected registry, repository, name or tag"
                    ));
                }
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self(parts);
        let example =
            ImageParts { registry: "example", repository: "a/b", tag: Some("1"), digest: None };
        template.render(&example).map_err(|error| error.chain())?;
        Ok(template)
    }

    /// Returns the repository that the images of a repository go to; `None` if that depends on their tags, or is no repository.
    pub(crate) fn repository(&self, source: &ImageParts<'_>) -> Option<Reference> {
        let target = |tag| self.render(&ImageParts { tag: Some(tag), ..*source }).ok();
        let [Location::Registry(one), Location::Registry(other)] = [target("a")?, target("b")?]
        else {
            return None;
        };
        let is_same = one.registry() == other.registry() && one.repository() == other.repository();
        is_same
            .then(|| one.repository_name())
            .and_then(|name| Reference::repository_only(&name).ok())
    }

    /// Returns the layout that the images of a repository go to; `None` if that depends on their tags, or is no layout.
    pub(crate) fn layout(&self, source: &ImageParts<'_>) -> Option<PathBuf> {
        let target = |tag| self.render(&ImageParts { tag: Some(tag), ..*source }).ok();
        match [target("a")?, target("b")?] {
            [Location::Layout { path: one, .. }, Location::Layout { path: other, .. }] => {
                (one == other).then_some(one)
            }
            _ => None,
        }
    }

    /// Returns the tag that an image with this tag at the target has at its source: `1.2` of `v1.2` for `v{{tag}}`.
    pub(crate) fn source_tag<'a>(&self, tag: &'a str) -> Option<&'a str> {
        let at = self.0.iter().position(|part| *part == Part::Tag);
        let Some(at) = at else { return Some(tag) };
        let text = |part: Option<&Part>| match part {
            Some(Part::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let before = text(self.0.get(at.checked_sub(1)?))?;
        let (_, prefix) = before.rsplit_once(':')?;
        let after = text(self.0.get(at + 1)).filter(|_| self.0.len() == at + 2)?;
        tag.strip_prefix(prefix)?.strip_suffix(after.as_str())
    }

    /// Returns the target of an image. Without a tag there it keeps its own, in a registry also its digest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the image lacks a part, or the text is no location to write to.
    pub(crate) fn render(&self, image: &ImageParts<'_>) -> Result<Location> {
        let mut text = String::new();
        for part in &self.0 {
            text.push_str(match part {
                Part::Text(text) => text,
                Part::Registry => image.registry,
                Part::Repository => image.repository,
                Part::Name => image.repository.rsplit('/').next().unwrap_or_default(),
                Part::Tag => image.tag.ok_or_else(|| {
                    Error::new(ErrorKind::InvalidInput, "`{{tag}}`")
                        .with_reason("the image has no tag")
                })?,
            });
        }
        let location = keep_tag(Location::parse(&text, DefaultLocation::Registry)?, &text, image)?;
        location.check_as_target()?;
        Ok(location)
    }
}

/// Adds the tag of the image to a name that is a repository only, `text` being the whole location. The name of an image in
/// a layout may be any text, so one that is a tag itself stays as it is.
fn keep_tag(location: Location, text: &str, image: &ImageParts<'_>) -> Result<Location> {
    let name = match &location {
        Location::Registry(_) => text.strip_prefix("docker://").unwrap_or(text),
        Location::Store(_) | Location::Id { .. } => text.strip_prefix("store:").unwrap_or(text),
        Location::Layout { name: ImageName::Layout(name), .. }
        | Location::Archive { name: ImageName::Layout(name), .. }
            if is_tag(name) && !text.starts_with("docker-archive:") =>
        {
            return Ok(location);
        }
        Location::Layout { name: ImageName::Layout(name), .. }
        | Location::Archive { name: ImageName::Layout(name), .. } => name,
        _ => return Ok(location),
    };
    let Ok(repository) = Reference::repository_only(name) else { return Ok(location) };
    let tagged = |name: &str, tag: &str| ImageName::Layout(format!("{name}:{tag}"));
    Ok(match (location, image.tag, image.digest) {
        (Location::Registry(_), Some(tag), _) => Location::Registry(repository.with_tag(tag)?),
        (Location::Registry(_), None, Some(digest)) => {
            Location::Registry(format!("{repository}@{digest}").parse()?)
        }
        (Location::Store(_) | Location::Id { .. }, Some(tag), _) => {
            Location::Store(repository.with_tag(tag)?)
        }
        (Location::Layout { path, name: ImageName::Layout(name) }, Some(tag), _) => {
            Location::Layout { path, name: tagged(&name, tag) }
        }
        (Location::Archive { format, path, name: ImageName::Layout(name) }, Some(tag), _) => {
            Location::Archive { format, path, name: tagged(&name, tag) }
        }
        (location, _, _) => location,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, image: &str) -> Result<String> {
        let image: Reference = image.parse().unwrap();
        Ok(Template::parse(template).unwrap().render(&ImageParts::from(&image))?.to_string())
    }

    #[test]
    fn template_fills_in_parts_of_name() {
        let digest = Digest::sha256(b"x");
        let pinned = format!("alpine@{digest}");
        let kept = format!("reg.io/a@{digest}");
        for (template, image, expected) in [
            ("reg.io/m/{{repository}}", "alpine:3", "reg.io/m/library/alpine:3"),
            ("reg.io/{{name}}", "ghcr.io/org/app:1", "reg.io/app:1"),
            (
                "reg.io/{{registry}}/{{ repository }}",
                "ghcr.io/org/app:1",
                "reg.io/ghcr.io/org/app:1",
            ),
            ("reg.io/app:v{{tag}}", "ghcr.io/org/app:1", "reg.io/app:v1"),
            ("docker://reg.io/app", "ghcr.io/org/app:1", "reg.io/app:1"),
            ("reg.io/app:stable", "ghcr.io/org/app:1", "reg.io/app:stable"),
            ("oci:/srv/{{name}}", "ghcr.io/org/app:1", "oci:/srv/app"),
            ("oci:/srv/all:{{repository}}-{{tag}}", "r.io/app:1", "oci:/srv/all:app-1"),
            ("store:{{repository}}:{{tag}}", "r.io/app:1", "store:docker.io/library/app:1"),
            ("reg.io/a", &pinned, &kept),
            ("store:x/{{name}}", "r.io/app:v1.3", "store:docker.io/x/app:v1.3"),
            ("store:cafe{{name}}", "r.io/d:v1.3", "store:docker.io/library/cafed:v1.3"),
            ("store:x/app:stable", "r.io/app:v1.3", "store:docker.io/x/app:stable"),
            ("oci:/srv/all:x/{{name}}", "r.io/app:v1.3", "oci:/srv/all:x/app:v1.3"),
            ("oci:/srv/all:{{name}}", "r.io/app:v1.3", "oci:/srv/all:app"),
            ("oci-archive:a.tar:x/app", "r.io/app:v1.3", "oci-archive:a.tar:x/app:v1.3"),
            ("docker-archive:a.tar:{{name}}", "r.io/app:v1.3", "docker-archive:a.tar:app:v1.3"),
        ] {
            assert_eq!(render(template, image).unwrap(), expected, "{template} {image}");
        }
        assert!(render("reg.io/a:{{tag}}", &pinned).is_err(), "no tag");
    }

    #[test]
    fn template_tells_repository_and_tag_at_source() {
        let source: Reference = "ghcr.io/org/app:1".parse().unwrap();
        for (template, repository, tag) in [
            ("reg.io/m/{{name}}", Some("reg.io/m/app"), Some("v1.2-x")),
            ("reg.io/app:v{{tag}}-x", Some("reg.io/app"), Some("1.2")),
            ("reg.io/app:stable", Some("reg.io/app"), Some("v1.2-x")),
            ("reg.io/app:{{name}}-{{tag}}", Some("reg.io/app"), None),
            ("reg.io/app-{{tag}}", None, None),
            ("oci:/srv/{{name}}", None, Some("v1.2-x")),
        ] {
            let parsed = Template::parse(template).unwrap();
            let found = parsed.repository(&ImageParts::from(&source));
            assert_eq!(found.map(|found| found.to_string()).as_deref(), repository, "{template}");
            assert_eq!(parsed.source_tag("v1.2-x"), tag, "{template}");
        }
    }

    #[test]
    fn malformed_template_is_rejected() {
        for (template, reason) in [
            ("reg.io/{{repo}}", "unknown placeholder `repo`, expected registry"),
            ("reg.io/{{repository", "missing `}}`"),
            ("REG.io/{{name}}/A", "lowercase"),
            ("docker-root:/var/lib/docker", "read"),
            ("", "empty"),
        ] {
            let error = Template::parse(template).unwrap_err();
            assert!(error.contains(reason), "{template}: {error}");
        }
    }
}
