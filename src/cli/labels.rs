//! Progress texts that differ between pull, push and copy, and those of phases.

use crate::progress::Phase;

/// The texts of one kind of run.
#[derive(Debug)]
pub(super) struct ProgressLabels {
    /// State of the image: `alpine:3.14: pulling`.
    pub(super) running: &'static str,
    /// Plan for the missing blobs: `3 of 7 blobs to fetch`.
    pub(super) to_do: &'static str,
    /// Whether the target is a registry, which is asked for each blob later: the plan does not know what it has.
    pub(super) to_registry: bool,
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
        Phase::Export => "writing the tar",
        Phase::Fetch => "downloading",
    }
}

pub(super) const PULL: ProgressLabels = ProgressLabels {
    running: "pulling",
    to_do: "fetch",
    to_registry: false,
    moving: "downloading",
    finishing: "verifying",
    done: "pull complete",
};

pub(super) const PUSH: ProgressLabels = ProgressLabels {
    running: "pushing",
    to_do: "send",
    to_registry: true,
    moving: "uploading",
    finishing: "waiting for the registry",
    done: "pushed",
};

pub(super) const COPY: ProgressLabels = ProgressLabels {
    running: "copying",
    to_do: "copy",
    to_registry: false,
    moving: "copying",
    finishing: "finishing",
    done: "copied",
};

pub(super) const COPY_TO_REGISTRY: ProgressLabels = ProgressLabels { to_registry: true, ..COPY };

pub(super) const MIRROR: ProgressLabels =
    ProgressLabels { running: "mirroring", done: "mirrored", ..COPY_TO_REGISTRY };

pub(super) const SAVE: ProgressLabels = ProgressLabels {
    running: "saving",
    to_do: "save",
    to_registry: false,
    moving: "saving",
    finishing: "finishing",
    done: "saved",
};

pub(super) const LOAD: ProgressLabels = ProgressLabels {
    running: "loading",
    to_do: "load",
    to_registry: false,
    moving: "loading",
    finishing: "verifying",
    done: "loaded",
};
