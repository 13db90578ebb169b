//! [`Target`] for a repository.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Repository;
use super::writer::RepositoryWriter;
use crate::content::{Target, TargetPlan, TargetProperties, TargetWriter};
use crate::error::Result;

impl Target for Repository {
    fn properties(&self) -> TargetProperties {
        TargetProperties { manifests_imply_blobs: true, ..TargetProperties::default() }
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async {
            Ok(Arc::new(RepositoryWriter::begin(self, plan)) as Arc<dyn TargetWriter>)
        })
    }
}
