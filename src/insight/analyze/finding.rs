//! What can be found, and how a finding is described.

use serde::{Serialize, Serializer};

use crate::digest::Digest;

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A private key, or a file whose name stands for credentials.
    Secret,
    /// Files of lower layers that a layer deletes: they stay in the image.
    DeletedLater,
    /// Files of lower layers that a layer replaces by other content.
    Overwritten,
    /// Files of lower layers that a layer contains again with the same content.
    RewrittenUnchanged,
    /// Files whose content another layer has too.
    DuplicateContent,
    /// Caches and logs of package managers.
    PackageCache,
    /// Files that came along with a build context.
    BuildContext,
    /// Commands one after the other whose layers could be one.
    ConsecutiveRuns,
    /// A command that runs again whenever a file copied before it changes.
    CopyBeforeRun,
    /// A layer that is not compressed.
    UncompressedLayer,
    /// A layer that is hardly smaller than its content, although the content is compressible.
    PoorCompression,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// A hint that may be wrong for this image.
    Note,
    /// Costs bytes or time.
    Warning,
    /// A danger.
    Error,
}

impl Severity {
    /// Its name in JSON and SARIF.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Rule {
    /// All rules, the gravest first.
    pub const ALL: [Self; 11] = [
        Self::Secret,
        Self::DeletedLater,
        Self::Overwritten,
        Self::RewrittenUnchanged,
        Self::DuplicateContent,
        Self::PackageCache,
        Self::BuildContext,
        Self::ConsecutiveRuns,
        Self::CopyBeforeRun,
        Self::UncompressedLayer,
        Self::PoorCompression,
    ];

    /// Its name in JSON and SARIF.
    pub fn id(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::DeletedLater => "deleted-later",
            Self::Overwritten => "overwritten",
            Self::RewrittenUnchanged => "rewritten-unchanged",
            Self::DuplicateContent => "duplicate-content",
            Self::PackageCache => "package-cache",
            Self::BuildContext => "build-context",
            Self::ConsecutiveRuns => "consecutive-runs",
            Self::CopyBeforeRun => "copy-before-run",
            Self::UncompressedLayer => "uncompressed-layer",
            Self::PoorCompression => "poor-compression",
        }
    }

    /// One sentence on what it finds.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Secret => "The image contains files that look like secrets",
            Self::DeletedLater => "A layer deletes files of lower layers, which stay in the image",
            Self::Overwritten => "A layer replaces files of lower layers, which stay in the image",
            Self::RewrittenUnchanged => "A layer contains files again without changing them",
            Self::DuplicateContent => "Several layers contain files with the same content",
            Self::PackageCache => "Caches and logs of package managers are in the image",
            Self::BuildContext => "Files of the build context are in the image",
            Self::ConsecutiveRuns => "Consecutive RUN instructions could be one",
            Self::CopyBeforeRun => "A large COPY invalidates the cache of an expensive RUN",
            Self::UncompressedLayer => "A layer is not compressed",
            Self::PoorCompression => "A layer is compressed badly",
        }
    }

    /// How much its findings matter.
    pub fn severity(self) -> Severity {
        match self {
            Self::Secret => Severity::Error,
            Self::DuplicateContent | Self::ConsecutiveRuns | Self::CopyBeforeRun => Severity::Note,
            _ => Severity::Warning,
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// A path of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FindingPath {
    /// The path from the root, without a leading slash; invalid UTF-8 is replaced.
    pub path: String,
    /// Bytes of the file, or of all that was in the directory.
    pub bytes: u64,
    /// What else is to be said of it.
    pub note: Option<String>,
}

/// Bytes of a finding that lie in another layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayerBytes {
    /// The layer, counted from the base.
    pub layer: usize,
    /// Uncompressed bytes.
    pub bytes: u64,
}

/// One finding, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of finding it is.
    pub rule: Rule,
    /// How much it matters.
    pub severity: Severity,
    /// The layer that causes it, counted from the base; `None` if it concerns the whole image.
    pub layer: Option<usize>,
    /// Digest of that layer.
    pub digest: Option<Digest>,
    /// The command that created the layer, in one line.
    pub command: String,
    /// Uncompressed bytes that following the tip saves; 0 if it saves nothing, or the number is unknown.
    pub bytes: u64,
    /// What was found.
    pub message: String,
    /// What helps.
    pub tip: String,
    /// The layers that contain the bytes, if they are others.
    pub from: Vec<LayerBytes>,
    /// Number of files.
    pub files: u64,
    /// The largest of the paths.
    pub paths: Vec<FindingPath>,
}
