//! A failed run as an error that carries its whole report.

use std::fmt;

use super::report::{ImageResult, RunReport};
use crate::error::{Error, ErrorKind};

/// At least one image of a run failed, or was stored without some of its referrers and digest tags.
///
/// Its text is that of the first error, in the order in which the images were added, with its causes. The report has the result
/// of each image.
pub struct RunError {
    first: Error,
    report: Box<RunReport>,
}

impl RunError {
    /// What the first error in the order of the images means.
    pub fn kind(&self) -> ErrorKind {
        self.first.kind()
    }

    /// Results of all images, including those that succeeded.
    pub fn report(&self) -> &RunReport {
        &self.report
    }

    /// Results of all images, including those that succeeded.
    pub fn into_report(self) -> RunReport {
        *self.report
    }
}

impl RunReport {
    /// Returns the report if every image is complete, with its referrers and digest tags.
    ///
    /// # Errors
    /// Otherwise the first error in the order of the images, which carries the report.
    pub fn into_result(self) -> Result<Self, RunError> {
        match self.images.iter().find_map(ImageResult::first_error) {
            Some(error) => Err(RunError { first: error.clone_for(), report: Box::new(self) }),
            None => Ok(self),
        }
    }
}

impl ImageResult {
    /// Why the image is missing, or else why some of its referrers and digest tags are.
    pub fn first_error(&self) -> Option<&Error> {
        self.error.as_ref().or(self.incomplete.as_ref())
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.first, f)
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.first, f)
    }
}

impl std::error::Error for RunError {}
