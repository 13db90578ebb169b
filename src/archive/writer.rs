//! Opens an archive for writing.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::Form;
use super::docker_target::DockerTarget;
use super::oci_target::OciTarget;
use crate::content::{Label, Name, Target};
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};

/// Where an archive is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file, which appears or is replaced when the archive is whole.
    File(PathBuf),
    /// Standard output, in one pass.
    Stdout,
}

/// What an archive is to be.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Its form.
    pub form: Form,
    /// Beside a layout also a manifest.json over the same blobs, for `docker load`.
    pub hybrid: bool,
    /// Images that it must hold: with fewer it does not come to be.
    pub images: usize,
    /// Blobs that are left out, because whoever gets the archive has them.
    pub left_out: HashSet<Digest>,
    /// When its entries were modified, in seconds since 1970.
    pub modified: u64,
    /// It survives a power failure.
    pub sync: bool,
}

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

/// What the images that were put are called, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Named {
    names: BTreeMap<String, Document>,
    put: usize,
}

impl Named {
    pub(super) fn add(&mut self, document: &Document, label: &Label, place: &str) -> Result<()> {
        let (Name::Tag(name) | Name::Ref(name)) = &label.name else {
            return Err(Error::new(ErrorKind::Reference, "name")
                .at(place)
                .because("an image in an archive needs a name"));
        };
        self.names.insert(name.clone(), document.clone());
        self.put += 1;
        Ok(())
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Document> {
        match name {
            Name::Tag(name) | Name::Ref(name) => self.names.get(name),
            Name::Digest(digest) => self.names.values().find(|own| own.digest() == digest),
            Name::Sole => self.names.values().next().filter(|_| self.names.len() == 1),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Document)> {
        self.names.iter().map(|(name, document)| (name.as_str(), document))
    }

    /// Refuses an archive that lacks an image.
    pub(super) fn check(&self, images: usize, place: &str) -> Result<()> {
        if self.put >= images {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Store, "archive")
            .at(place)
            .because("is not written, because an image that it should hold failed"))
    }
}
