//! Directories of the user, by the XDG base directory specification.

use std::ffi::OsString;
use std::path::PathBuf;

/// The directory in the environment variable `xdg`, or else this one in the home directory; `None` if neither is known.
///
/// A relative path is ignored, because it would mean another directory in each working directory.
pub(crate) fn user_dir(
    variable: impl Fn(&str) -> Option<OsString>,
    xdg: &str,
    in_home: &str,
) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(xdg).or_else(|| Some(absolute("HOME")?.join(in_home)))
}
