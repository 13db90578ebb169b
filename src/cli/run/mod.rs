//! Common parts of the commands that move images: destination, run, plan and report.

pub(super) mod conversion;
pub(super) mod deltas;
pub(super) mod destination;
pub(super) mod ledger;
pub(super) mod new_archive;
pub(super) mod new_layout;
pub(super) mod omit_list;
pub(super) mod path_checks;
pub(super) mod plan;
pub(super) mod put_document;
pub(super) mod removals;
pub(super) mod report;
pub(super) mod save_deltas;
pub(super) mod transfer_run;
