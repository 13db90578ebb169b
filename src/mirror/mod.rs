//! The file of `rpull mirror`: which images go where; and the rules of `rpull retain`. Decisions without I/O.
//!
//! ```text
//! file        the file as users write it, checked and with its defaults
//!   yaml        YAML with errors that name line and key
//! cron        when `--watch` runs
//! lines       the same from lines of text
//! tag_rules   which tags of a repository are selected
//!   version     versions in tags, and ranges of them
//!   created     the age of images
//! keep        which tags of a repository `rpull retain` keeps
//! predecessors  which tag comes before which, for deltas
//! template    the name that an image gets at a target
//! foreign     the files of regsync and of `skopeo sync`
//! ```

mod created;
mod cron;
mod file;
mod foreign;
mod keep;
mod lines;
mod predecessors;
mod tag_rules;
mod template;
mod version;
mod yaml;

pub(crate) use self::created::{CreatedWithin, known_time};
pub(crate) use self::cron::Cron;
pub(crate) use self::file::{EntrySource, MirrorEntry, MirrorFile, RegistrySettings};
pub(crate) use self::foreign::{FileFormat, Outside, ReadOptions};
pub(crate) use self::keep::{KeepRules, KeepVersions, KeptBy};
pub(crate) use self::predecessors::{pairs_by_time, pairs_by_version};
pub(crate) use self::tag_rules::TagPattern;
pub(crate) use self::template::{ImageParts, tag_in_layout};
pub(crate) use self::version::sort_by_version;

/// The JSON schema of the file.
pub(crate) const SCHEMA: &str = include_str!("schema.json");
