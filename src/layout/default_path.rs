//! Where the user's store is.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Layout;
use crate::user_dir::user_dir;

impl Layout {
    /// The directory of the user's store: `RPULL_STORE`, else `rpull` in `XDG_DATA_HOME` or in `HOME/.local/share`; `None`
    /// if none of them is set.
    ///
    /// A relative `HOME` or `XDG_DATA_HOME` is ignored, because it would mean another store in each directory.
    pub fn default_path() -> Option<PathBuf> {
        default_path(|name| std::env::var_os(name))
    }
}

fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("RPULL_STORE")
        .or_else(|| Some(user_dir(&variable, "XDG_DATA_HOME", ".local/share")?.join("rpull")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_store_path_requires_absolute_home() {
        let path = |set: &[(&str, &str)]| {
            let variable = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            default_path(variable).map(|path| path.display().to_string()).unwrap_or_default()
        };
        let home = ("HOME", "/h");
        assert_eq!(path(&[home]), "/h/.local/share/rpull");
        assert_eq!(path(&[home, ("XDG_DATA_HOME", "/d")]), "/d/rpull");
        assert_eq!(path(&[home, ("XDG_DATA_HOME", "d")]), "/h/.local/share/rpull");
        assert_eq!(path(&[home, ("RPULL_STORE", "s")]), "s");
        for unusable in ["", "h", "."] {
            assert_eq!(path(&[("HOME", unusable)]), "");
        }
        assert_eq!(path(&[]), "");
    }
}
