//! Names inside an archive. They are compared, never opened.

/// The name without what says nothing: `./a//b` is `a/b`; `None` where it leads out of the archive.
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

/// Where a symbolic link of this name leads.
pub(super) fn resolve(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return clean(target);
    }
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    clean(&format!("{folder}/{target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_normalized_and_escape_is_rejected() {
        for (name, wanted) in [
            ("./a//b/", Some("a/b")),
            ("/etc/passwd", Some("etc/passwd")),
            ("a/../b", Some("b")),
            ("..", None),
            ("a/../../b", None),
            ("", Some("")),
        ] {
            assert_eq!(clean(name).as_deref(), wanted, "{name}");
        }
        assert_eq!(resolve("id/layer.tar", "../hex.tar").as_deref(), Some("hex.tar"));
        assert_eq!(resolve("id/layer.tar", "other.tar").as_deref(), Some("id/other.tar"));
        assert_eq!(resolve("id/layer.tar", "/other.tar").as_deref(), Some("other.tar"));
        assert_eq!(resolve("layer.tar", "../../etc/passwd"), None);
    }
}
