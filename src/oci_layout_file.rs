//! The file `oci-layout`, which makes a directory or an archive an OCI image layout.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::json::Object;

pub(crate) const NAME: &str = "oci-layout";

/// Its content.
pub(crate) const TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The only version of the specification.
const VERSION: &str = "1.0.0";

/// Maximum size, in bytes.
pub(crate) const MAX_BYTES: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OciLayoutFile {
    image_layout_version: String,
}

/// Checks the content that was found.
///
/// # Errors
/// What `refuse` makes of the reason, if it is not JSON or has another version.
pub(crate) fn check(content: &[u8], refuse: impl Fn(&str) -> Error) -> Result<()> {
    let Object(file): Object<OciLayoutFile> =
        serde_json::from_slice(content).map_err(|error| refuse("is corrupt").with_source(error))?;
    if file.image_layout_version == VERSION {
        return Ok(());
    }
    let found = file.image_layout_version;
    Err(refuse(&format!("unsupported layout version {found}, expected {VERSION}")))
}
