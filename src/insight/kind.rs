//! Kinds of layers, by what created them.

use std::fmt;

use serde::Serialize;

/// What created a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LayerKind {
    /// The bottom layer, however it was created.
    Base,
    /// A command run during the build.
    Run,
    /// Files copied as they are: `COPY`, and tools that only copy (Bazel, jib, ko, Nix, buildpacks).
    Copy,
    /// Files added by `ADD`, which may fetch or unpack them.
    Add,
    /// An instruction for the config that created a layer nevertheless: `WORKDIR` creates a directory, and some
    /// builders write a layer for every instruction.
    Metadata,
    /// A foreign layer, such as the base of Windows images.
    Foreign,
    /// Created by an unknown command, or without history.
    Other,
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Run => "run",
            Self::Copy => "copy",
            Self::Add => "add",
            Self::Metadata => "metadata",
            Self::Foreign => "foreign",
            Self::Other => "other",
        })
    }
}
