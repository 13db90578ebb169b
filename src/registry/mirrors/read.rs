//! Asks the mirrors of a repository and then the registry, until one of them answers.

use std::fmt::Write as _;

use crate::content::{BlobPresence, Presence};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::registry::repository::{Mirror, MirrorSet, Repository};

/// Log target of notices, which are shown like warnings but do not report a problem.
pub(crate) const NOTICE: &str = "rpull::notice";

/// What a mirror must be able to give.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) enum Need<'a> {
    Tag,
    Digest(&'a Digest),
    Referrers,
}

impl<'a> Need<'a> {
    pub(in crate::registry) fn of_name(name: &'a ImageName) -> Self {
        match name {
            ImageName::Digest(digest) => Self::Digest(digest),
            _ => Self::Tag,
        }
    }
}

/// Whether an answer is final. If a mirror lacks the content or cannot tell, the next host is asked.
pub(in crate::registry) trait Answer {
    fn is_answer(&self) -> bool;
}

impl<T> Answer for Presence<T> {
    fn is_answer(&self) -> bool {
        matches!(self, Self::Present(_))
    }
}

impl Answer for BlobPresence {
    fn is_answer(&self) -> bool {
        matches!(self, Self::Complete)
    }
}

impl Answer for crate::document::Document {
    fn is_answer(&self) -> bool {
        true
    }
}

/// Referrers. A mirror may not have copied them.
impl Answer for Vec<Descriptor> {
    fn is_answer(&self) -> bool {
        !self.is_empty()
    }
}

/// Asks one host after the other; the result of the registry is final.
pub(in crate::registry) async fn first_answer<'r, T: Answer, F>(
    repository: &'r Repository,
    need: Need<'r>,
    ask: impl Fn(&'r Repository) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let Some(set) = repository.mirrors.as_deref() else { return ask(repository).await };
    let mut failures = Failures::default();
    for (at, mirror) in set.capable(need) {
        match ask(&mirror.repository).await {
            Ok(answer) if answer.is_answer() => {
                set.record_use(mirror);
                return Ok(answer);
            }
            Ok(_) => {}
            Err(error) => {
                if let Need::Digest(digest) = need {
                    set.blobs.exclude(digest, at);
                }
                failures.add(set, mirror, &error);
            }
        }
    }
    ask(repository).await.map_err(|error| failures.explain(error))
}

impl MirrorSet {
    /// The mirrors to ask for this, with their positions.
    pub(in crate::registry) fn capable<'s>(
        &'s self,
        need: Need<'s>,
    ) -> impl Iterator<Item = (usize, &'s Mirror)> {
        self.mirrors.iter().enumerate().filter(move |(at, mirror)| {
            let has = mirror.capabilities;
            let is_capable = match need {
                Need::Tag => has.pull && has.resolve,
                Need::Digest(digest) => has.pull && !self.blobs.is_excluded(digest, *at),
                Need::Referrers => has.referrers,
            };
            is_capable && !mirror.health().is_paused()
        })
    }

    /// Says once for each mirror that it is used.
    pub(in crate::registry) fn record_use(&self, mirror: &Mirror) {
        mirror.health().record_success();
        let notice = format!(
            "using the mirror {} for {} ({})",
            mirror.name(),
            self.registry,
            self.file.display()
        );
        if self.files.should_report(&notice) {
            tracing::info!(target: NOTICE, "{}", crate::escape(&notice));
        }
    }

    /// Records that the mirror failed, and says so once, and for each content that was wrong.
    pub(in crate::registry) fn record_failure(
        &self,
        mirror: &Mirror,
        error: &Error,
        has_responded: bool,
    ) {
        mirror.health().record_failure(error, has_responded);
        let text = format!("mirror {} is left out: {}", mirror.name(), error.chain());
        let is_warning = match error.kind() {
            ErrorKind::NotFound => false,
            ErrorKind::Mismatch => true,
            _ => self.files.should_report(&format!("{} failed", mirror.name())),
        };
        if is_warning {
            tracing::warn!("{text}");
        } else {
            tracing::info!("{text}");
        }
    }
}

/// Why mirrors gave no answer.
#[derive(Default)]
pub(in crate::registry) struct Failures(String);

impl Failures {
    pub(in crate::registry) fn add(&mut self, set: &MirrorSet, mirror: &Mirror, error: &Error) {
        let has_responded = error.status().is_some() || error.kind() != ErrorKind::Transport;
        set.record_failure(mirror, error, has_responded);
        if error.kind() != ErrorKind::NotFound {
            _ = write!(self.0, "; mirror {}: {}", mirror.name(), error.reason()).is_ok();
        }
    }

    /// Adds them to the error of the registry.
    pub(in crate::registry) fn explain(&self, error: Error) -> Error {
        if self.0.is_empty() {
            return error;
        }
        let reason = format!("{}{}", error.reason(), self.0);
        error.with_reason(reason)
    }
}
