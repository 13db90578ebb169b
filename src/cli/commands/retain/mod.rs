//! `retain`: deletes old tags from a repository, and nothing that others need.
//!
//! ```text
//! survey   tags, manifests, referrers, ages
//!   graph    which manifests need which
//! plan     what is kept and why, what is deleted; no I/O
//! delete   does it
//! print    table, JSON and summary
//! ```

mod delete;
mod graph;
mod plan;
mod print;
mod survey;

use std::process::ExitCode;

use self::delete::{Deleted, Deletion};
use self::plan::RetentionPlan;
use self::print::{Printer, plan_table};
use crate::cli::args::Retain;
use crate::cli::image::repository::parse_repository;
use crate::cli::output::{self, note};
use crate::cli::prompt;
use crate::cli::run::removals::excess;
use crate::cli::settings::{ForeignLayers, Settings};
use crate::cli::signals::{cancelled_by_signals, or_cancelled};
use crate::content::{Endpoint, Lookup as _};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::mirror::KeepRules;
use crate::registry::Repository;

pub(in crate::cli) async fn run(args: Retain, settings: &Settings) -> Result<ExitCode> {
    let reference = parse_repository(&args.repository)?;
    let what = format!("retain {reference}");
    let rules = KeepRules::new(args.keep, args.keep_tag.clone(), args.keep_age.clone());
    if rules.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, &what)
            .with_reason("missing rule for what to keep")
            .with_hint("pass `--keep semver:5`, `--keep-tag GLOB` or `--keep-age 90d`"));
    }
    if !args.plan && !args.yes {
        let hint = "look at it with `--plan`, then pass `--yes` to delete without asking";
        prompt::check_possible(&what, hint)?;
    }
    let client = settings.client(&reference.to_string(), ForeignLayers::Ignore)?;
    let repository = client.repository_without_mirrors(&reference)?;
    let cancel = cancelled_by_signals();
    let finding = Box::pin(find(&repository, &rules));
    let plan = or_cancelled(&cancel, "retain", finding).await??;
    let printer = Printer::new(&repository.endpoint().location, settings);
    let limit = match args.max_delete {
        Some(max) => excess(plan.to_delete().count(), max),
        None if args.plan || args.yes => keeps_nothing(&plan, repository.endpoint()),
        // The table and the question show it.
        None => None,
    };
    if args.plan {
        if let Some(error) = limit {
            tracing::warn!("nothing would be deleted: {}", error.chain());
        }
        return printer.plan(&plan, repository.requests());
    }
    if let Some(error) = limit {
        return Err(error);
    }
    if !args.yes && plan.to_delete().next().is_some() {
        output::stderr_text(&plan_table(&plan));
        let confirming = Box::pin(confirm(&printer, &plan, &repository, &rules));
        if !or_cancelled(&cancel, "retain", confirming).await?? {
            note("nothing was deleted");
            return Ok(ExitCode::FAILURE);
        }
    }
    let mut deleted = Deleted::default();
    let deleting = Box::pin(Deletion::new(&repository, &mut deleted).run(&plan));
    if cancel.run_until_cancelled(deleting).await.is_none() {
        let error = Error::new(ErrorKind::Interrupted, "retain").with_reason("interrupted");
        deleted.errors.push(("tags to delete".to_owned(), error));
    }
    printer.finished(&plan, &deleted, repository.requests())
}

/// The error of rules that keep no tag: more likely a mistake in them than what was meant.
fn keeps_nothing(plan: &RetentionPlan, endpoint: &Endpoint) -> Option<Error> {
    let to_delete = plan.to_delete().count();
    (to_delete > 0 && !plan.keeps_by_rule()).then(|| {
        Error::new(ErrorKind::Stopped, "retain")
            .at(&endpoint.location)
            .with_detail(ErrorDetail::DeletionLimit)
            .with_reason("the rules keep none of the tags")
            .with_hint(format!("check the rules; `--max-delete {to_delete}` deletes the tags"))
    })
}

async fn find(repository: &Repository, rules: &KeepRules) -> Result<RetentionPlan> {
    Ok(plan::plan(survey::survey(repository, rules).await?))
}

/// Asks, and looks again, because an answer may take long.
///
/// # Errors
/// [`ErrorKind::Unsupported`] if the plan is another one now.
async fn confirm(
    printer: &Printer<'_>,
    plan: &RetentionPlan,
    repository: &Repository,
    rules: &KeepRules,
) -> Result<bool> {
    if !prompt::confirm(&printer.question(plan)).await? {
        return Ok(false);
    }
    if find(repository, rules).await?.deletes_same(plan) {
        return Ok(true);
    }
    Err(Error::new(ErrorKind::Unsupported, "retain")
        .at(&repository.endpoint().location)
        .with_reason("the repository has changed meanwhile; nothing was deleted")
        .with_hint("run the command again"))
}
