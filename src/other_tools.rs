//! Prefixes of locations of skopeo and regctl that rpull does not have.

use crate::error::{Error, ErrorKind, Result};

/// Refuses them, and names the location to use. An image on Docker Hub with such a name needs its whole name.
pub(crate) fn check(text: &str) -> Result<()> {
    let Some((prefix, rest)) = text.split_once(':') else { return Ok(()) };
    let hint = match prefix {
        "ocidir" => format!("write `oci:{}` for a layout", rest.trim_start_matches('/')),
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
