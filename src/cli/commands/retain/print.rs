//! What `retain` prints.

use std::collections::HashSet;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::delete::Deleted;
use super::plan::{PlannedTag, Reason, RetentionPlan, SafetyReason};
use crate::cli::age::age;
use crate::cli::exit;
use crate::cli::output::{self, Lines, note};
use crate::cli::run::report::json_of;
use crate::cli::settings::Settings;
use crate::cli::size::plural;
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::wrap::wrap_line;
use crate::content::RequestCounts;
use crate::digest::Digest;
use crate::error::Result;
use crate::mirror::KeptBy;

pub(super) struct Printer<'a> {
    /// `registry/repository`
    repository: &'a str,
    settings: &'a Settings,
}

impl<'a> Printer<'a> {
    pub(super) fn new(repository: &'a str, settings: &'a Settings) -> Self {
        Self { repository, settings }
    }

    /// Prints what would be done.
    pub(super) fn plan(&self, plan: &RetentionPlan, requests: RequestCounts) -> Result<ExitCode> {
        if self.settings.json {
            let outcome = |tag: &PlannedTag| match tag.kept {
                None => ("delete", None),
                kept => ("keep", kept),
            };
            output::json(&self.value(plan, outcome, plan.manifests.len() as u64, requests))?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.settings.quiet {
            return self.names(plan.to_delete()).map(|()| ExitCode::SUCCESS);
        }
        output::text(&plan_table(plan))?;
        let (to_delete, to_keep) =
            (plan.to_delete().count(), plan.tags.len() - plan.to_delete().count());
        let line = format!(
            "would delete {} and {}, keep {}; {} for this plan",
            plural(to_delete as u64, "tag"),
            plural(plan.manifests.len() as u64, "manifest"),
            plural(to_keep as u64, "tag"),
            plural(requests.total(), "request"),
        );
        output::text(&(wrap_line(&line, terminal_width()) + "\n"))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Prints what was done, and the errors.
    pub(super) fn finished(
        &self,
        plan: &RetentionPlan,
        deleted: &Deleted,
        requests: RequestCounts,
    ) -> Result<ExitCode> {
        if self.settings.json {
            let outcome = |tag: &PlannedTag| match (tag.kept, deleted.kept_reason(&tag.name)) {
                (Some(kept), _) | (None, Some(kept)) => ("kept", Some(kept)),
                (None, None) if deleted.tags.contains(&tag.name) => ("deleted", None),
                (None, None) => ("failed", None),
            };
            let value = self.value(plan, outcome, deleted.manifests, requests);
            let first = exit::deciding(deleted.errors.iter().map(|(_, error)| error));
            output::json(&json_of(&value, first)?)?;
        } else {
            self.names(plan.to_delete().filter(|tag| deleted.tags.contains(&tag.name)))?;
        }
        for (what, error) in &deleted.errors {
            exit::report_for(what, error);
        }
        if !deleted.kept.is_empty() {
            let kept: Vec<&str> = deleted.kept.keys().map(String::as_str).collect();
            tracing::warn!(
                "this registry cannot delete a tag alone; kept, because their manifests are needed: {}",
                kept.join(", ")
            );
        }
        if !self.settings.quiet {
            let (all, gone) = (plan.tags.len(), deleted.tags.len());
            let line = format!(
                "deleted {} and {}, kept {}; {}",
                plural(gone as u64, "tag"),
                plural(deleted.manifests, "manifest"),
                plural((all - gone) as u64, "tag"),
                plural(requests.total(), "request"),
            );
            note(&line);
        }
        Ok(exit::code_of_all(deleted.errors.iter().map(|(_, error)| error)))
    }

    pub(super) fn question(&self, plan: &RetentionPlan) -> String {
        format!(
            "delete {} and {} from {}?",
            plural(plan.to_delete().count() as u64, "tag"),
            plural(plan.manifests.len() as u64, "manifest"),
            crate::escape(self.repository),
        )
    }

    fn names<'t>(&self, tags: impl Iterator<Item = &'t PlannedTag>) -> Result<()> {
        let mut lines = Lines::default();
        for tag in tags {
            lines.push(&format!("{}:{}", self.repository, tag.name))?;
        }
        lines.flush()
    }

    fn value(
        &self,
        plan: &RetentionPlan,
        outcome: impl Fn(&PlannedTag) -> (&'static str, Option<Reason>),
        manifests: u64,
        requests: RequestCounts,
    ) -> Value {
        let tag = |tag: &PlannedTag| {
            let (outcome, reason) = outcome(tag);
            json!({
                "tag": tag.name, "digest": tag.digest, "created": tag.created,
                "outcome": outcome, "why": reason,
            })
        };
        json!({
            "repository": self.repository,
            "tags": plan.tags.iter().map(tag).collect::<Vec<_>>(),
            "manifests": manifests,
            "requests": requests.total(),
        })
    }
}

/// The tags to delete, then those to keep, with the reasons.
pub(super) fn plan_table(plan: &RetentionPlan) -> String {
    let manifests: HashSet<&Digest> = plan.manifests.iter().collect();
    let row = |tag: &PlannedTag| {
        let result = match (tag.kept, &tag.digest) {
            (Some(kept), _) => format!("keep: {}", reason_text(kept)),
            (None, Some(digest)) if !manifests.contains(digest) => "delete the tag alone".into(),
            (None, _) => "delete".into(),
        };
        let digest = tag.digest.as_ref().map(|digest| digest.short().to_owned());
        let created = tag.created.as_deref().map(age).unwrap_or_default();
        [tag.name.clone(), digest.unwrap_or_default(), created, result]
    };
    let to_keep = plan.tags.iter().filter(|tag| tag.kept.is_some());
    let rows: Vec<[String; 4]> = plan.to_delete().chain(to_keep).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = [
        Column::cut_start("TAG", 16),
        Column::whole("DIGEST").optional(2),
        Column::whole("CREATED").optional(1),
        Column::whole("RESULT"),
    ];
    table(columns, &rows, terminal_width())
}

fn reason_text(kept: Reason) -> &'static str {
    match kept {
        Reason::Rule(KeptBy::Version) => "highest version",
        Reason::Rule(KeptBy::Pattern) => "matches",
        Reason::Rule(KeptBy::Age) => "young",
        Reason::Rule(KeptBy::UnknownAge) => "age unknown",
        Reason::Safety(SafetyReason::DigestTag) => "belongs to an image",
        Reason::Safety(SafetyReason::Unreadable) => "unreadable",
        Reason::Safety(SafetyReason::Manifest) => "shared manifest",
    }
}
