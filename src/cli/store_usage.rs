//! What commands that show the usage of the store have in common.

use super::hint::UNREADABLE_MANIFEST;
use super::output;
use crate::layout::LayoutUsage;

/// Warns of documents that hide how much the images use.
pub(super) fn warn_of_unreadable(usage: &LayoutUsage) {
    for line in &usage.unreadable {
        tracing::warn!("{line}; what it needs is unknown");
    }
    if !usage.unreadable.is_empty() {
        output::warning_hint(UNREADABLE_MANIFEST);
    }
}

/// Bytes without an image that is known to need them, and what to call them.
pub(super) fn not_referenced(usage: &LayoutUsage) -> (u64, &'static str) {
    if usage.unreadable.is_empty() {
        (usage.unreferenced, "unreferenced")
    } else {
        (usage.unknown, "unreferenced or of unreadable images")
    }
}
