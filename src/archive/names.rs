//! Names inside an archive. They are compared, never used as paths.

/// Normalizes a name: `./a//b` is `a/b`; `None` if it points outside the archive.
pub(super) fn clean(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The target of the symbolic link with this name.
pub(super) fn resolve(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return clean(target);
    }
    let dir = link.rsplit_once('/').map_or("", |(dir, _)| dir);
    clean(&format!("{dir}/{target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_normalized_and_escape_is_rejected() {
        for (name, expected) in [
            ("./a//b/", Some("a/b")),
            ("/etc/passwd", Some("etc/passwd")),
            ("a/../b", Some("b")),
            ("..", None),
            ("a/../../b", None),
            ("", Some("")),
        ] {
            assert_eq!(clean(name).as_deref(), expected, "{name}");
        }
        assert_eq!(resolve("id/layer.tar", "../hex.tar").as_deref(), Some("hex.tar"));
        assert_eq!(resolve("id/layer.tar", "other.tar").as_deref(), Some("id/other.tar"));
        assert_eq!(resolve("id/layer.tar", "/other.tar").as_deref(), Some("other.tar"));
        assert_eq!(resolve("layer.tar", "../../etc/passwd"), None);
    }
}
