//! Opens an archive for writing.

use std::sync::Arc;

use super::docker_target::DockerTarget;
use super::format::ArchiveFormat;
use super::image::MAX_IMAGES;
use super::oci_target::OciTarget;
use super::options::{ArchiveOutput, WriteOptions};
use crate::content::Target;
use crate::error::{Error, ErrorKind, Result};

/// Opens an archive for writing. Nothing is written, not even a file made, before the first blob is on its way.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for more images than are read back, [`ErrorKind::Unsupported`] for a docker-archive on standard output: its sizes are known only at its end.
pub fn write(output: ArchiveOutput, options: WriteOptions) -> Result<Arc<dyn Target>> {
    if options.expected_images > MAX_IMAGES {
        let reason = format!("can hold at most {MAX_IMAGES} images");
        return Err(Error::new(ErrorKind::InvalidInput, "an archive").with_reason(reason));
    }
    match (options.format, output) {
        (ArchiveFormat::Oci, output) => Ok(Arc::new(OciTarget::new(output, options))),
        (ArchiveFormat::Docker, ArchiveOutput::File(path)) => {
            Ok(Arc::new(DockerTarget::new(path, options)))
        }
        (ArchiveFormat::Docker, ArchiveOutput::Stdout) => {
            Err(Error::new(ErrorKind::Unsupported, "docker-archive on standard output")
                .with_reason("unsupported")
                .with_hint("use `rpull save -o -` for an archive that `docker load` reads"))
        }
    }
}
