//! Tests of paths by their components.

use crate::layer::is_below;

/// Whether the components of `part` are in the path, one after the other.
pub(super) fn runs_through(path: &[u8], part: &[u8]) -> bool {
    directory_through(path, part).is_some()
}

/// The beginning of the path that ends with the components of `part`, if they are in it.
pub(super) fn directory_through<'a>(path: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    let starts = std::iter::once(0)
        .chain(path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1));
    starts
        .filter(|at| path.get(*at..).is_some_and(|rest| is_below(rest, part)))
        .find_map(|at| path.get(..at + part.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::split;

    #[test]
    fn path_components_are_compared_whole() {
        let through = |path: &'static str, part: &str| {
            directory_through(path.as_bytes(), part.as_bytes()).map(String::from_utf8_lossy)
        };
        assert_eq!(through("a/.git/config", ".git").as_deref(), Some("a/.git"));
        assert_eq!(through(".git", ".git").as_deref(), Some(".git"));
        assert_eq!(through("a/b.git/c", ".git"), None);
        assert_eq!(through("a/.gitx/.git/c", ".git").as_deref(), Some("a/.gitx/.git"));
        assert_eq!(through("x/target/debug/a", "target/debug").as_deref(), Some("x/target/debug"));
        assert!(is_below(b"tmp", b"tmp") && !is_below(b"tmpx", b"tmp"));
        assert_eq!((split(b"a/b").1, split(b"b").1), (&b"b"[..], &b"b"[..]));
    }
}
