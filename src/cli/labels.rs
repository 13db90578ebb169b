//! Progress texts that differ between pull, push and copy, and those of phases.

use crate::progress::Phase;

/// The texts of one kind of run.
#[derive(Debug)]
pub(super) struct ProgressLabels {
    /// State of the image: `alpine:3.14: pulling`.
    pub(super) running: &'static str,
    /// Plan for the missing blobs: `3 of 7 blobs to fetch`.
    pub(super) to_do: &'static str,
    /// A blob whose bytes are being transferred.
    pub(super) moving: &'static str,
    /// A blob whose bytes have all been transferred, before it is verified and committed.
    pub(super) finishing: &'static str,
    pub(super) done: &'static str,
}

/// What is being done in a phase.
pub(super) fn phase_label(phase: Phase) -> &'static str {
    match phase {
        Phase::Recheck => "checking after a restart",
        Phase::Verify => "verifying",
        Phase::Scan => "reading the archive",
        Phase::Pack => "writing the archive",
        Phase::Unpack => "unpacking",
        Phase::Flatten | Phase::Read => "reading",
        Phase::Export => "exporting",
    }
}

pub(super) const PULL: ProgressLabels = ProgressLabels {
    running: "pulling",
    to_do: "fetch",
    moving: "downloading",
    finishing: "verifying",
    done: "pull complete",
};

pub(super) const PUSH: ProgressLabels = ProgressLabels {
    running: "pushing",
    to_do: "send",
    moving: "uploading",
    finishing: "waiting for the registry",
    done: "pushed",
};

pub(super) const COPY: ProgressLabels = ProgressLabels {
    running: "copying",
    to_do: "copy",
    moving: "copying",
    finishing: "finishing",
    done: "copied",
};

pub(super) const SAVE: ProgressLabels = ProgressLabels {
    running: "saving",
    to_do: "save",
    moving: "saving",
    finishing: "finishing",
    done: "saved",
};

pub(super) const LOAD: ProgressLabels = ProgressLabels {
    running: "loading",
    to_do: "load",
    moving: "loading",
    finishing: "verifying",
    done: "loaded",
};
