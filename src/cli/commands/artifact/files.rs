//! Reads files into an artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::title::{DIRECTORY, TAR_DIGEST, Title, UNPACK};
use crate::annotation;
use crate::artifact::{Artifact, ArtifactBuilder};
use crate::cli::args::artifact::ArtifactContent;
use crate::cli::cutoff::source_date_epoch;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::edit::{LayerOptions, NewLayer};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Timestamp;
use crate::media::MediaType;

/// The type of a file without one.
const FILE: &str = "application/octet-stream";

/// The key of the annotations of the manifest, as in files for oras.
const MANIFEST: &str = "$manifest";

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
    fn parse(text: &str) -> Self {
        match text.rsplit_once(':') {
            Some((path, kind)) if kind.contains('/') && !path.is_empty() => {
                Self { path: path.into(), media_type: Some(kind.to_owned()) }
            }
            _ => Self { path: text.into(), media_type: None },
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
    if let Some(subject) = subject {
        builder = builder.subject(subject);
    }
    let mut titles = BTreeSet::new();
    for text in &content.files {
        let file = TypedFile::parse(text);
        let title = Title::of_file(&file.path)?;
        let more = annotations.remove(&title.to_string()).unwrap_or_default();
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
        return builder.open_file(&file.path, media_type, annotations);
    }
    let clamp_time = source_date_epoch()?.map(|seconds| Timestamp {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanoseconds: 0,
    });
    let options = LayerOptions { prefix: title.to_string(), compression: None, clamp_time };
    let tar = NewLayer::from_dir(&file.path, &options, control)?;
    annotate(TAR_DIGEST, tar.diff_id().to_string());
    annotate(UNPACK, "true".to_owned());
    let media_type = file.media_type.as_deref().map_or(DIRECTORY, MediaType::from);
    Ok(builder.tar(media_type, tar, annotations))
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
            assert_eq!(TypedFile::parse(text), TypedFile { path: path.into(), media_type });
        }
    }
}
