//! `stats`: sums over the ledger.

use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::args::{Stats, StatsGroup};
use crate::cli::chart::bar;
use crate::cli::cutoff::{parse_cutoff, utc_second};
use crate::cli::output;
use crate::cli::run::ledger::{open_ledger, warn_of_damaged};
use crate::cli::run::report::json_of;
use crate::cli::settings::Settings;
use crate::cli::size::{percent, plural, size};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::cli::text_width::truncate_start;
use crate::error::Result;
use crate::layout::ledger::{DamagedLine, GroupBy, Summary, Sums, UtcTime};

/// Characters of a bar if the width of the screen is not known.
const BAR_WIDTH: usize = 24;

/// Characters of a bar that still shows something.
const MIN_BAR_WIDTH: usize = 8;

/// Characters of the columns beside name and bar, with their gaps, if requests and time are shown.
const WIDE_COLUMNS: usize = 54;

/// Columns beside name and bar without requests and time.
const NARROW_COLUMNS: usize = 29;

/// Minimum characters of a group's name.
const MIN_NAME_WIDTH: usize = 10;

const TRANSFERRED: char = '█';
const SHARED: char = '░';

pub(in crate::cli) fn run(args: &Stats, settings: &Settings) -> Result<ExitCode> {
    let since = args.since.as_deref();
    let since = since.map(|text| parse_cutoff("--since", text, Timestamp::now())).transpose()?;
    let since = since.map(utc_second);
    let by = args.by.map(|group| match group {
        StatsGroup::Registry => GroupBy::Registry,
        StatsGroup::Repository => GroupBy::Repository,
        StatsGroup::Day => GroupBy::Day,
    });
    let mut summary = Summary::new(by);
    let damaged = open_ledger(settings)?.read(|record| {
        if since.as_ref().is_none_or(|since| record.time >= *since) {
            summary.add(&record);
        }
    })?;
    warn_of_damaged(&damaged);
    if settings.json {
        output::json(&json_value(&summary, by, since.as_ref(), &damaged)?)?;
    } else {
        output::text(&text(&summary, by, terminal_width()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json_value(
    summary: &Summary,
    by: Option<GroupBy>,
    since: Option<&UtcTime>,
    damaged: &[DamagedLine],
) -> Result<Value> {
    let mut value = sums_value(summary.total())?;
    let groups = summary.groups().map(|(key, sums)| {
        let mut value = sums_value(sums)?;
        if let Some(object) = value.as_object_mut() {
            object.shift_insert(0, "key".to_owned(), json!(key));
        }
        Ok(value)
    });
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let period = summary.period();
    if let Some(object) = value.as_object_mut() {
        object.insert("since".to_owned(), json!(since));
        object.insert("first".to_owned(), json!(period.map(|(first, _)| first)));
        object.insert("last".to_owned(), json!(period.map(|(_, last)| last)));
        object.insert("by".to_owned(), json!(by.map(name)));
        object.insert("groups".to_owned(), json!(groups));
        object.insert("damaged".to_owned(), json!(damaged));
    }
    Ok(value)
}

fn sums_value(sums: &Sums) -> Result<Value> {
    let mut value = json_of(sums, None)?;
    if let Some(object) = value.as_object_mut() {
        object.shift_remove("elapsed_ms");
        object.insert("delta_saved".to_owned(), json!(sums.delta_saved()));
        object.insert("seconds".to_owned(), json!(seconds(sums)));
    }
    Ok(value)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of thousands of years are exact")]
fn seconds(sums: &Sums) -> f64 {
    sums.elapsed_ms as f64 / 1000.0
}

fn name(by: GroupBy) -> &'static str {
    match by {
        GroupBy::Registry => "registry",
        GroupBy::Repository => "repository",
        GroupBy::Day => "day",
    }
}

/// The sums for people. Without a `width` nothing is cut off.
fn text(summary: &Summary, by: Option<GroupBy>, width: Option<usize>) -> String {
    let total = summary.total();
    let Some((first, last)) = summary.period() else { return "no runs\n".to_owned() };
    let mut text = format!("{}, {}", plural(total.runs, "run"), plural(total.images, "image"));
    // Writing to a `String` cannot fail.
    if total.failed > 0 {
        _ = write!(text, " ({} failed)", total.failed);
    }
    let period = match (first.day(), last.day()) {
        (first, last) if first == last => first.to_owned(),
        (first, last) => format!("{first} to {last}"),
    };
    let requests = plural(total.requests, "request");
    _ = writeln!(text, ", {period}\n{requests}, {:.1} s\n", seconds(total));
    text.push_str(&total_rows(total, width));
    if let Some(by) = by {
        text.push('\n');
        text.push_str(&group_rows(summary, by, width));
    }
    text
}

/// One line per kind of bytes, with its share of what the images reference.
fn total_rows(total: &Sums, width: Option<usize>) -> String {
    let bar_width = width.map_or(BAR_WIDTH, |width| width.saturating_sub(38).min(BAR_WIDTH * 2));
    let row = |name: &str, bytes: u64, character: char| {
        let bar = bar(&[(bytes, character)], total.referenced, bar_width);
        let share =
            if total.referenced > 0 { percent(bytes, total.referenced) } else { String::new() };
        format!("{name:<12} {:>11} {share:>6}  {bar}", size(bytes)).trim_end().to_owned() + "\n"
    };
    let mut text = format!("{:<12} {:>11}\n", "referenced", size(total.referenced));
    for (name, bytes, is_always, character) in [
        ("transferred", total.transferred, true, TRANSFERRED),
        ("shared", total.shared, true, SHARED),
        ("mounted", total.mounted, false, SHARED),
        ("resumed", total.resumed, false, SHARED),
        ("rebuilt", total.rebuilt, false, SHARED),
        ("missing", total.missing, false, SHARED),
    ] {
        if is_always || bytes > 0 {
            text.push_str(&row(name, bytes, character));
        }
    }
    for (name, bytes, remark) in [
        ("deltas", total.delta_bytes, "in addition"),
        ("saved", total.delta_saved(), "by deltas"),
        ("wasted", total.delta_wasted, "of deltas"),
        ("resent", total.resent, "in addition"),
    ] {
        if bytes > 0 {
            _ = writeln!(text, "{name:<12} {:>11}  {remark}", size(bytes));
        }
    }
    text
}

/// A table of the groups, with a bar each: days in their order, others by what they reference.
fn group_rows(summary: &Summary, by: GroupBy, width: Option<usize>) -> String {
    let mut groups: Vec<(&str, &Sums)> = summary.groups().collect();
    if by != GroupBy::Day {
        groups.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.referenced));
    }
    let largest = groups.iter().map(|(_, sums)| sums.referenced).max().unwrap_or_default();
    let longest = groups.iter().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
    let is_wide = width.is_none_or(|width| width >= longest + WIDE_COLUMNS + MIN_BAR_WIDTH);
    let others = if is_wide { WIDE_COLUMNS } else { NARROW_COLUMNS };
    let key_width = width.map_or(longest, |width| {
        longest.min(width.saturating_sub(others + MIN_BAR_WIDTH)).max(MIN_NAME_WIDTH)
    });
    let bar_width = width.map_or(BAR_WIDTH, |width| width.saturating_sub(others + key_width));
    let cells = |key: &str, sums: &Sums| {
        let kept = sums.referenced.saturating_sub(sums.transferred).saturating_sub(sums.missing);
        let parts = [(sums.transferred, TRANSFERRED), (kept, SHARED)];
        let bar = bar(&parts, largest, bar_width.min(BAR_WIDTH * 2));
        (truncate_start(key, key_width), size(sums.transferred), size(sums.shared), bar)
    };
    let heading = name(by).to_uppercase();
    if is_wide {
        let rows = groups.iter().map(|(key, sums)| {
            let (key, transferred, shared, bar) = cells(key, sums);
            let seconds = format!("{:.1} s", seconds(sums));
            [key, transferred, shared, sums.requests.to_string(), seconds, bar]
        });
        let heading = [&heading, "TRANSFERRED", "SHARED", "REQUESTS", "TIME", ""];
        return table(heading.map(Column::whole), &rows.collect::<Vec<_>>(), width);
    }
    let rows: Vec<[String; 4]> =
        groups.iter().map(|(key, sums)| <[String; 4]>::from(cells(key, sums))).collect();
    let [transferred, shared, bar] = ["TRANSFERRED", "SHARED", ""].map(Column::whole);
    table([Column::cut_start(&heading, 8), transferred, shared, bar.optional(1)], &rows, width)
}
