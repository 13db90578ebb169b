//! Prefixes of locations of skopeo and regctl that rpull does not have.

use crate::error::{Error, ErrorKind, Result};

/// Refuses them, and names the location to use. An image on Docker Hub with such a name needs its whole name.
pub(crate) fn check(text: &str) -> Result<()> {
    let Some((prefix, rest)) = text.split_once(':') else { return Ok(()) };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let hint = match prefix {
        "ocidir" => format!("write `oci:{path}` for a layout"),
        "ocifile" => format!("write `oci-archive:{path}` for a tar of a layout"),
        "dir" | "containers-storage" | "ostree" | "sif" | "tarball" => {
            "rpull reads and writes oci:DIR, oci-archive:FILE and docker-archive:FILE; \
             `rpull append` makes an image of a tar"
                .to_owned()
        }
        _ => return Ok(()),
    };
    let reason = format!("`{prefix}:` is a location of other tools");
    Err(Error::new(ErrorKind::InvalidInput, text).with_reason(reason).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_of_regctl_keeps_its_path() {
        for (text, hint) in [
            ("ocidir://layout:1", "write `oci:layout:1` for a layout"),
            ("ocidir:///srv/in", "write `oci:/srv/in` for a layout"),
            ("ocifile://a.tar", "write `oci-archive:a.tar` for a tar of a layout"),
        ] {
            assert_eq!(check(text).unwrap_err().hint(), Some(hint));
        }
        assert!(check("localhost:5000/a").is_ok());
    }
}
