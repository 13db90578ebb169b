//! The kinds of layers.

use std::fmt;

use serde::Serialize;

/// What made a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LayerKind {
    /// The bottom layer, whatever made it: all others stand on it.
    Base,
    /// A command that ran.
    Run,
    /// Files put in as they were: `COPY`, and tools that know nothing else (Bazel, jib, ko, Nix, buildpacks).
    Copy,
    /// Files put in by `ADD`: fetched or unpacked on the way.
    Add,
    /// An instruction about the image that left a layer all the same: `WORKDIR` makes a directory, and some builders
    /// write a layer for every instruction.
    Metadata,
    /// A layer that registries need not hold: Windows' own.
    Foreign,
    /// Made by something that this does not know, or without a word about how.
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
