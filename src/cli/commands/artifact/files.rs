//! Reads files into an artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::title::{DIRECTORY, TAR_DIGEST, Title, UNPACK};
use crate::annotation;
use crate::artifact::{Artifact, ArtifactBuilder};
use crate::cli::args::artifact::ArtifactContent;
use crate::cli::cutoff::epoch_timestamp;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::edit::{LayerOptions, NewLayer};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;

/// The type of a file without one.
const FILE: &str = "application/octet-stream";

/// The keys of the annotations of the manifest and of the config, as in files for oras.
const MANIFEST: &str = "$manifest";
const CONFIG: &str = "$config";

/// What a file of annotations says: by title, by key.
type Annotations = BTreeMap<String, BTreeMap<String, String>>;

/// A file to push.
#[derive(Debug, PartialEq, Eq)]
struct TypedFile {
    path: PathBuf,
    media_type: Option<String>,
}

impl TypedFile {
    /// `FILE[:TYPE]`: a type has a slash.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a malformed type.
    fn parse(text: &str) -> Result<Self> {
        match text.rsplit_once(':') {
            Some((path, kind)) if kind.contains('/') && !path.is_empty() => {
                if !MediaType::from(kind).is_well_formed() {
                    return Err(Error::new(ErrorKind::InvalidInput, format!("type `{kind}`"))
                        .with_reason("expected TYPE/SUBTYPE without parameters"));
                }
                Ok(Self { path: path.into(), media_type: Some(kind.to_owned()) })
            }
            _ => Ok(Self { path: text.into(), media_type: None }),
        }
    }

    /// The hint if the file is missing, because a type without a slash is taken for a part of its name.
    fn hint_if_missing(&self, error: Error) -> Error {
        let text = self.path.to_string_lossy();
        match text.rsplit_once(':') {
            Some((path, kind))
                if error.kind() == ErrorKind::NotFound && Path::new(path).exists() =>
            {
                error.with_hint(format!(
                    "`{kind}` is not a type: write TYPE/SUBTYPE, e.g. `{path}:text/plain`"
                ))
            }
            _ => error,
        }
    }
}

/// Builds the artifact. Blocks.
pub(super) fn build(
    artifact_type: &str,
    content: &ArtifactContent,
    subject: Option<&Descriptor>,
    control: &Control,
) -> Result<Artifact> {
    let mut annotations = match &content.annotation_file {
        Some(path) => read_annotations(path)?,
        None => Annotations::new(),
    };
    let mut builder = Artifact::builder(artifact_type);
    let own = annotations.remove(MANIFEST).unwrap_or_default();
    for (key, value) in own.into_iter().chain(content.annotation.iter().cloned()) {
        builder = builder.annotation(key, value);
    }
    for (key, value) in annotations.remove(CONFIG).unwrap_or_default() {
        builder = builder.config_annotation(key, value);
    }
    if let Some(subject) = subject {
        builder = builder.subject(subject);
    }
    let files = content.files.iter().map(|text| TypedFile::parse(text));
    let mut titles = BTreeSet::new();
    for file in files.collect::<Result<Vec<_>>>()? {
        let own = Title::from_path(&file.path)?;
        let mut more = annotations.remove(&own.to_string()).unwrap_or_default();
        let title = more.remove(annotation::TITLE).map(|text| other_title(&text)).transpose()?;
        let title = title.unwrap_or(own);
        builder = add(builder, &file, &title, more, control)?;
        if !titles.insert(title.clone()) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("title `{title}`"))
                .with_reason("used by two files"));
        }
    }
    if let Some(title) = annotations.into_keys().next() {
        return Err(Error::new(ErrorKind::InvalidInput, "`--annotation-file`")
            .with_reason(format!("no file has the title `{title}`")));
    }
    builder.build()
}

fn add(
    builder: ArtifactBuilder,
    file: &TypedFile,
    title: &Title,
    mut annotations: BTreeMap<String, String>,
    control: &Control,
) -> Result<ArtifactBuilder> {
    let mut annotate = |key: &str, value: String| annotations.insert(key.to_owned(), value);
    annotate(annotation::TITLE, title.to_string());
    if !file.path.is_dir() {
        let media_type = file.media_type.as_deref().unwrap_or(FILE);
        let added = builder.open_file(&file.path, media_type, annotations);
        return added.map_err(|error| file.hint_if_missing(error));
    }
    let clamp_time = epoch_timestamp()?;
    let options = LayerOptions { prefix: title.to_string(), compression: None, clamp_time };
    let tar = NewLayer::from_dir(&file.path, &options, control)?;
    annotate(TAR_DIGEST, tar.diff_id().to_string());
    annotate(UNPACK, "true".to_owned());
    let media_type = file.media_type.as_deref().map_or(DIRECTORY, MediaType::from);
    Ok(builder.tar(media_type, tar, annotations))
}

/// A title that the file of annotations gives.
fn other_title(text: &str) -> Result<Title> {
    Title::parse_or_reason(text).map_err(|reason| {
        Error::new(ErrorKind::InvalidInput, "`--annotation-file`")
            .with_reason(format!("title `{text}` {reason}"))
    })
}

fn read_annotations(path: &Path) -> Result<Annotations> {
    let invalid = || {
        Error::new(ErrorKind::InvalidInput, "`--annotation-file`").at(path.display().to_string())
    };
    let text = std::fs::read(path).map_err(|error| invalid().with_source(error))?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| invalid().with_source(error))?;
    serde_json::from_value(value).map_err(|error| {
        invalid().with_reason("expected titles with annotations").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_follows_the_last_colon_and_has_a_slash() {
        for (text, path, media_type) in [
            ("a.txt:text/plain", "a.txt", Some("text/plain")),
            ("a:b.txt:text/plain", "a:b.txt", Some("text/plain")),
            ("a:b", "a:b", None),
            ("a.txt", "a.txt", None),
            (":x/y", ":x/y", None),
        ] {
            let media_type = media_type.map(str::to_owned);
            let parsed = TypedFile::parse(text).unwrap();
            assert_eq!(parsed, TypedFile { path: path.into(), media_type });
        }
        let refused = TypedFile::parse("a.txt:text/plain; charset=utf-8").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}
