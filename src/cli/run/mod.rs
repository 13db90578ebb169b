//! What the verbs that move images have in common: where they go, the run, its plan and its report.

pub(super) mod destination;
pub(super) mod new_archive;
pub(super) mod omit_list;
pub(super) mod path_checks;
pub(super) mod plan;
pub(super) mod report;
pub(super) mod transfer_run;
