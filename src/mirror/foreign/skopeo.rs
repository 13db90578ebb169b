//! The file of `skopeo sync --src yaml`: images by registry, without a target.
//!
//! ```yaml
//! registry.example:
//!   images: { redis: ["7", "7.2"], team/app: [] }
//!   images-by-semver: { alpine: ">= 3.18" }
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::error::{Error, Result};
use crate::location::{DefaultLocation, Location};
use crate::mirror::file::{EntrySource, MirrorEntry, MirrorFile, RegistrySettings, regex};
use crate::mirror::tag_rules::{Patterns, TagRules};
use crate::mirror::template::Template;
use crate::mirror::version::VersionRange;
use crate::mirror::yaml::{OneOrMany, Yaml};
use crate::reference::{Reference, is_tag, registry_only};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct RawRegistry {
    images: Option<BTreeMap<String, Spanned<Option<OneOrMany>>>>,
    images_by_tag_regex: Option<BTreeMap<String, Spanned<String>>>,
    images_by_semver: Option<BTreeMap<String, Spanned<String>>>,
    credentials: Option<Spanned<RawCredentials>>,
    tls_verify: Option<bool>,
    cert_dir: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCredentials {
    username: String,
    password: String,
}

impl std::fmt::Debug for RawCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawCredentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Reads the file; its images go below `to`, by the last part of their names or, if `scoped`, by all of it.
pub(super) fn read(yaml: Yaml<'_>, to: &str, scoped: bool) -> Result<MirrorFile> {
    let registries: BTreeMap<String, Spanned<RawRegistry>> = yaml.read()?;
    let to = vec![template(to, scoped)?];
    let (mut entries, mut settings) = (Vec::new(), BTreeMap::new());
    for (host, registry) in registries {
        let (line, raw) = (registry.referenced.line(), registry.value);
        let host = registry_only(&host).map_err(|error| yaml.invalid(line, &error.chain()))?;
        let reader = RegistryReader { yaml, host: &host, to: &to };
        entries.extend(reader.entries(&raw)?);
        settings.insert(host, connection(yaml, &raw)?);
    }
    Ok(MirrorFile { entries, registries: settings, notes: Vec::new() })
}

/// The place of each image: its name follows a slash, as in skopeo.
fn template(to: &str, scoped: bool) -> Result<Template> {
    let invalid = |reason: String| {
        Error::new(crate::error::ErrorKind::InvalidInput, format!("`--to {to}`"))
            .with_reason(reason)
    };
    let name = if scoped { "{{registry}}/{{repository}}" } else { "{{name}}" };
    let base = to.trim_end_matches('/');
    let is_registry = matches!(
        Location::parse(&format!("{base}/x"), DefaultLocation::Registry),
        Ok(Location::Registry(_))
    );
    let tag = if is_registry { "" } else { ":{{tag}}" };
    Template::parse(&format!("{base}/{name}{tag}")).map_err(invalid)
}

fn connection(yaml: Yaml<'_>, raw: &RawRegistry) -> Result<RegistrySettings> {
    if let Some(dir) = &raw.cert_dir {
        let error = yaml.invalid(dir.referenced.line(), "`cert-dir` is not supported");
        return Err(error.with_hint("name the files with `--ca-file`, `--cert-file`, `--key-file`"));
    }
    let creds = raw.credentials.as_ref().map(|creds| {
        let RawCredentials { username, password } = &creds.value;
        format!("{username}:{password}").into()
    });
    Ok(RegistrySettings { insecure: raw.tls_verify == Some(false), creds, ..Default::default() })
}

/// Reads the images of one registry.
struct RegistryReader<'a> {
    yaml: Yaml<'a>,
    host: &'a str,
    to: &'a [Template],
}

impl RegistryReader<'_> {
    fn entries(&self, raw: &RawRegistry) -> Result<Vec<MirrorEntry>> {
        let mut entries = Vec::new();
        for (name, images) in raw.images.iter().flatten() {
            let line = images.referenced.line();
            let repository = self.repository(name, line)?;
            match &images.value {
                Some(list) if list.lines(line).next().is_some() => {
                    entries.extend(self.listed(&repository, line, list)?);
                }
                _ => entries.push(self.tagged(&repository, line, TagRules::default())),
            }
        }
        for (name, pattern) in raw.images_by_tag_regex.iter().flatten() {
            let line = pattern.referenced.line();
            let pattern = regex(&pattern.value).map_err(|error| self.yaml.invalid(line, &error))?;
            let included = Patterns { globs: Vec::new(), regexes: vec![pattern] };
            let rules = TagRules { included, ..TagRules::default() };
            entries.push(self.tagged(&self.repository(name, line)?, line, rules));
        }
        for (name, range) in raw.images_by_semver.iter().flatten() {
            let line = range.referenced.line();
            let range = VersionRange::parse(&range.value);
            let range = range.map_err(|error| self.yaml.invalid(line, &error))?;
            let rules = TagRules { range: Some(range), ..TagRules::default() };
            entries.push(self.tagged(&self.repository(name, line)?, line, rules));
        }
        Ok(entries)
    }

    /// Tags and digests of a repository.
    fn listed(
        &self,
        repository: &Reference,
        line: u64,
        list: &OneOrMany,
    ) -> Result<Vec<MirrorEntry>> {
        let (mut names, mut entries) = (Vec::new(), Vec::new());
        for (line, text) in list.lines(line) {
            if is_tag(text) {
                names.push(text.to_owned());
                continue;
            }
            let image = format!("{repository}@{text}").parse().map_err(|_error: Error| {
                self.yaml.invalid(line, &format!("`{text}`: neither a tag nor a digest"))
            })?;
            let from = EntrySource::Image(Location::Registry(image));
            entries.push(self.entry(from, line, TagRules::default()));
        }
        if !names.is_empty() {
            entries.insert(
                0,
                self.tagged(repository, line, TagRules { names, ..TagRules::default() }),
            );
        }
        Ok(entries)
    }

    fn repository(&self, name: &str, line: u64) -> Result<Reference> {
        let repository = Reference::repository_only(&format!("{}/{name}", self.host));
        repository.map_err(|error| self.yaml.invalid(line, &error.chain()))
    }

    fn tagged(&self, repository: &Reference, line: u64, tags: TagRules) -> MirrorEntry {
        self.entry(EntrySource::Repository(repository.clone()), line, tags)
    }

    fn entry(&self, from: EntrySource, line: u64, tags: TagRules) -> MirrorEntry {
        MirrorEntry { tags, ..MirrorEntry::new(self.yaml.place(line), from, self.to.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::template::ImageParts;

    fn read(text: &str, to: &str, scoped: bool) -> Result<MirrorFile> {
        super::read(Yaml { text, file: "s.yaml" }, to, scoped)
    }

    const FILE: &str = "
registry.example.com:5000:
    images:
        busybox: []
        redis:
            - \"1.0\"
            - 2.0
            - sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
        empty:
    images-by-tag-regex:
        nginx: ^1\\.13\\.[12]-alpine-perl$
    images-by-semver:
        alpine: \">= 3.12.0\"
    credentials:
        username: john
        password: \"secret: x\"
docker.io:
    tls-verify: false
    images:
        coreos/etcd: [latest]
        redis: [7]
";

    #[test]
    fn skopeo_file_is_read_as_it_is() {
        let file = read(FILE, "r.io/m/", false).unwrap();
        let shown = file.entries.iter().map(|entry| match &entry.from {
            EntrySource::Repository(name) => {
                let tags = ["1.0", "2.0", "3.13", "1.13.1-alpine-perl", "7", "latest"];
                let tags = entry.tags.select(&tags.map(str::to_owned));
                format!("{} {name} {}", entry.place, tags.join(","))
            }
            EntrySource::Image(location) => format!("{} {location}", entry.place),
            other => panic!("{other:?}"),
        });
        let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let host = "registry.example.com:5000";
        let all = "1.0,2.0,3.13,1.13.1-alpine-perl,7,latest";
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "s.yaml:20 docker.io/coreos/etcd latest".to_owned(),
                "s.yaml:21 docker.io/library/redis 7".to_owned(),
                format!("s.yaml:4 {host}/busybox {all}"),
                format!("s.yaml:9 {host}/empty {all}"),
                format!("s.yaml:6 {host}/redis 1.0,2.0"),
                format!("s.yaml:8 {host}/redis@{digest}"),
                format!("s.yaml:11 {host}/nginx 1.13.1-alpine-perl"),
                format!("s.yaml:13 {host}/alpine 3.13,7"),
            ]
        );
        assert!(file.registries["docker.io"].insecure && !file.registries[host].insecure);
        let creds = file.registries[host].creds.as_ref().unwrap();
        assert_eq!(creds.expose(), "john:secret: x");
    }

    #[test]
    fn target_follows_path_rule_of_skopeo() {
        for (to, scoped, image, expected) in [
            ("r.io/m", false, "quay.io/coreos/etcd:1", "r.io/m/etcd:1"),
            ("docker://r.io/m", false, "quay.io/coreos/etcd:1", "r.io/m/etcd:1"),
            ("r.io", true, "quay.io/coreos/etcd:1", "r.io/quay.io/coreos/etcd:1"),
            ("r.io/m/", true, "redis:7", "r.io/m/docker.io/library/redis:7"),
            ("oci:/srv/m", false, "quay.io/coreos/etcd:1", "oci:/srv/m/etcd:1"),
        ] {
            let image: Reference = image.parse().unwrap();
            let to = template(to, scoped).unwrap();
            let rendered = to.render(&ImageParts::from(&image)).unwrap().to_string();
            assert_eq!(rendered, expected);
        }
        assert!(template("r.io:80/A", false).is_err());
    }

    #[test]
    fn skopeo_file_errors_name_line_and_key() {
        for (text, expected) in [
            ("quay.io:\n  imags: {}", "2: unknown field `imags`, expected one of images, "),
            ("quay.io:\n  images:\n    A: []", "3: "),
            ("quay.io:\n  images:\n    a: [\"x y\"]", "3: `a`: `x y`: neither a tag nor a digest"),
            ("quay.io:\n  images-by-semver: {a: z}", "2: `images-by-semver`: "),
            ("quay.io:\n  images-by-tag-regex:\n    a: (", "3: `a`: "),
            ("quay.io:\n  cert-dir: /c", "2: `cert-dir` is not supported"),
            ("quay.io:\n  credentials: {username: a}", "2: missing field `password`"),
            ("quay.io/a: {}", "1: registry `quay.io/a`: "),
        ] {
            let error = read(text, "r.io", false).unwrap_err().chain();
            let expected = format!("mirror file: s.yaml:{expected}");
            assert!(error.starts_with(&expected), "{error}\n{expected}");
        }
    }
}
