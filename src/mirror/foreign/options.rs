//! How a file is read.

use std::str::FromStr;

/// The tool that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Rpull,
    Skopeo,
    Regsync,
}

impl FromStr for FileFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rpull" => Ok(Self::Rpull),
            "skopeo" => Ok(Self::Skopeo),
            "regsync" => Ok(Self::Regsync),
            _ => Err("expected rpull, skopeo or regsync".to_owned()),
        }
    }
}

/// What a file refers to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outside<'a> {
    /// An environment variable.
    Env(&'a str),
    /// The content of a file.
    File(&'a str),
}

/// Looks up what a file refers to, or says what is wrong with it.
pub(crate) type Lookup<'a> = dyn Fn(Outside<'_>) -> Result<String, String> + 'a;

/// How a file is read.
#[derive(Clone, Copy)]
pub(crate) struct ReadOptions<'a> {
    /// The tool that it is for; otherwise recognized.
    pub(crate) from: Option<FileFormat>,
    /// Where images go, for a file that does not say it.
    pub(crate) to: Option<&'a str>,
    /// Images keep registry and repository below that place.
    pub(crate) scoped: bool,
    pub(crate) outside: &'a Lookup<'a>,
}
