//! The file of `rpull mirror`: which images go where. Decisions without I/O.
//!
//! ```text
//! file        the file as users write it, checked and with its defaults
//!   yaml        YAML with errors that name line and key
//! lines       the same from lines of text
//! tag_rules   which tags of a repository are selected
//!   version     versions in tags, and ranges of them
//! template    the name that an image gets at a target
//! ```

mod file;
mod lines;
mod tag_rules;
mod template;
mod version;
mod yaml;

pub(crate) use self::file::{EntrySource, MirrorEntry, MirrorFile, RegistrySettings};
pub(crate) use self::template::ImageParts;

/// The JSON schema of the file.
pub(crate) const SCHEMA: &str = include_str!("schema.json");
