//! Opens an archive for writing.

use std::sync::Arc;

use super::docker_target::DockerTarget;
use super::oci_target::OciTarget;
use super::options::{Output, WriteOptions};
use super::{Form, MOST};
use crate::content::Target;
use crate::error::{Error, ErrorKind, Result};

/// Opens an archive for writing. Nothing is written, not even a file made, before the first blob is on its way.
///
/// # Errors
/// [`ErrorKind::Reference`] for more images than are read back, [`ErrorKind::Unsupported`] for a docker-archive on standard output: its sizes are known only at its end.
pub fn write(output: Output, options: WriteOptions) -> Result<Arc<dyn Target>> {
    if options.images > MOST {
        let why = format!("holds no more than {MOST} images");
        return Err(Error::new(ErrorKind::Reference, "an archive").because(why));
    }
    match (options.form, output) {
        (Form::Oci, output) => Ok(Arc::new(OciTarget::new(output, options))),
        (Form::Docker, Output::File(path)) => Ok(Arc::new(DockerTarget::new(path, options))),
        (Form::Docker, Output::Stdout) => {
            Err(Error::new(ErrorKind::Unsupported, "docker-archive on standard output")
                .because("`rpull save -o -` writes what docker load reads"))
        }
    }
}
