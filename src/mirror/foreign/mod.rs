//! Files of other tools, read as they are.
//!
//! ```text
//! read        which tool a file is for
//!   skopeo      of `skopeo sync --src yaml`
//!   regsync     of regsync
//!     creds       its registries
//!     go_template what is filled into its texts
//! notes       keys that have no effect here
//! ```

mod creds;
mod go_template;
mod notes;
mod options;
mod read;
mod regsync;
mod skopeo;

pub(crate) use self::options::{FileFormat, Outside, ReadOptions};
