//! Opens an archive for writing.

use std::sync::Arc;

use super::Form;
use super::docker_target::DockerTarget;
use super::oci_target::OciTarget;
use super::options::{Output, WriteOptions};
use crate::content::Target;
use crate::error::{Error, ErrorKind, Result};

/// Opens an archive for writing. Nothing is written, not even a file made, before the first blob is on its way.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a docker-archive on standard output: its sizes are known only at its end.
pub fn write(output: Output, options: WriteOptions) -> Result<Arc<dyn Target>> {
    match (options.form, output) {
        (Form::Oci, output) => Ok(Arc::new(OciTarget::new(output, options))),
        (Form::Docker, Output::File(path)) => Ok(Arc::new(DockerTarget::new(path, options))),
        (Form::Docker, Output::Stdout) => {
            Err(Error::new(ErrorKind::Unsupported, "docker-archive on standard output")
                .because("`rpull save -o -` writes what docker load reads"))
        }
    }
}
