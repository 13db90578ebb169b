//! What runs transferred and shared, over time.

use jiff::civil::Date;
use maud::{Markup, html};

use crate::cli::page::bars::{legend, percentage};
use crate::cli::page::table::{PageColumn, behind, table};
use crate::cli::page::{numbers, shown};
use crate::cli::run::ledger::{open_ledger, warn_of_damaged};
use crate::cli::settings::Settings;
use crate::cli::size::{percent, plural, size};
use crate::error::Result;
use crate::layout::ledger::{GroupBy, Summary, Sums};

/// Maximum bars over time.
const MAX_BARS: i64 = 60;

/// Maximum rows of the table of repositories.
const MAX_REPOSITORIES: usize = 50;

/// The chart is at least as wide as this many bars: few days are no wall of color.
const MIN_BARS: u32 = 12;

const HEIGHT: f64 = 180.0;

/// The sums of a ledger.
pub(super) struct LedgerSums {
    days: Summary,
    repositories: Summary,
}

/// Bytes of some days in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Period {
    transferred: u64,
    shared: u64,
}

impl LedgerSums {
    pub(super) fn read(settings: &Settings) -> Result<Self> {
        let mut days = Summary::new(Some(GroupBy::Day));
        let mut repositories = Summary::new(Some(GroupBy::Repository));
        let damaged = open_ledger(settings)?.read(|record| {
            days.add(&record);
            repositories.add(&record);
        })?;
        warn_of_damaged(&damaged);
        Ok(Self { days, repositories })
    }

    pub(super) fn section(&self) -> Markup {
        let total = self.days.total();
        let dates = self.days.period().map(|(first, last)| (first.day(), last.day()));
        html! {
            section aria-labelledby="stats" {
                h2 #stats { "Transferred and shared" }
                @if let Some((first, last)) = dates {
                    (total_numbers(total))
                    (self.chart(first, last))
                    (legend(&[("own", "transferred, deltas included"), ("all", "shared, mounted, resumed, or saved by deltas")]))
                    (behind("Days as a table", &self.day_table()))
                    (behind("Repositories as a table", &self.repository_table()))
                } @else {
                    p { "The ledger has no runs." }
                }
            }
        }
    }

    fn chart(&self, first: &str, last: &str) -> Markup {
        let days = self.days.groups().filter_map(|(day, sums)| Some((day.parse().ok()?, *sums)));
        let (length, periods) = periods(&days.collect::<Vec<_>>());
        let highest = periods.iter().map(|period| period.transferred.saturating_add(period.shared));
        let highest = highest.max().unwrap_or_default();
        let width = 100.0 / f64::from(u32::try_from(periods.len()).unwrap_or(1).max(MIN_BARS));
        let unit = if length == 1 { "a day".to_owned() } else { format!("{length} days") };
        let label = format!("Bytes from {first} to {last}; the highest bar is {}", size(highest));
        html! {
            h3 { "Over time" }
            p.hint { "Each bar is " (unit) ", the highest " (size(highest)) "." }
            svg.chart role="img" aria-label=(shown(&label)) width="100%" height=(HEIGHT) {
                @for (at, period) in (0_u32..).zip(&periods) { (column(f64::from(at) * width, width, period, highest)) }
            }
            p.axis { span { (shown(first)) } span { (shown(last)) } }
        }
    }

    fn day_table(&self) -> Markup {
        let rows: Vec<_> = self.days.groups().map(|(day, sums)| row(day, sums)).collect();
        table("Days with runs", columns("Day"), &rows)
    }

    fn repository_table(&self) -> Markup {
        let mut groups: Vec<_> = self.repositories.groups().collect();
        groups.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.referenced));
        let rows: Vec<_> =
            groups.iter().take(MAX_REPOSITORIES).map(|(name, sums)| row(name, sums)).collect();
        table("Repositories, the largest first", columns("Repository"), &rows)
    }
}

fn total_numbers(total: &Sums) -> Markup {
    let share = |bytes: u64| percent(bytes, total.referenced);
    let failed =
        if total.failed > 0 { format!(", {} failed", total.failed) } else { String::new() };
    let images = plural(total.images, "image");
    let mut all = vec![
        ("Runs", total.runs.to_string(), format!("{images}{failed}")),
        ("Referenced", size(total.referenced), "by the images".to_owned()),
        ("Transferred", size(total.transferred), share(total.transferred)),
        ("Shared", size(total.shared), share(total.shared)),
    ];
    if total.delta_bytes > 0 {
        let wasted = format!("{} wasted", size(total.delta_wasted));
        all.push(("Rebuilt", size(total.rebuilt), share(total.rebuilt)));
        all.push(("Deltas", size(total.delta_bytes), wasted));
        all.push(("Saved", size(total.delta_saved()), "by deltas".to_owned()));
    }
    all.push(("Requests", total.requests.to_string(), String::new()));
    numbers(&all)
}

/// Sums days into at most [`MAX_BARS`] periods of the same length, without gaps. Returns the length in days.
fn periods(days: &[(Date, Sums)]) -> (i64, Vec<Period>) {
    let Some(first) = days.iter().map(|(day, _)| *day).min() else { return (1, Vec::new()) };
    let since = |day: Date| day.duration_since(first).as_hours() / 24;
    let last = days.iter().map(|(day, _)| since(*day)).max().unwrap_or_default();
    let length = (last + MAX_BARS) / MAX_BARS;
    let count = usize::try_from(last / length).unwrap_or_default() + 1;
    let mut periods = vec![Period::default(); count];
    for (day, sums) in days {
        let at = usize::try_from(since(*day) / length).unwrap_or_default();
        if let Some(period) = periods.get_mut(at) {
            let kept = [sums.mounted, sums.resumed, sums.delta_saved()];
            let kept = kept.into_iter().fold(sums.shared, u64::saturating_add);
            // A wasted delta is as little part of what images reference as what was resent.
            let used = sums.rebuilt.saturating_sub(sums.delta_saved());
            let transferred = sums.transferred.saturating_add(used);
            period.transferred = period.transferred.saturating_add(transferred);
            period.shared = period.shared.saturating_add(kept);
        }
    }
    (length, periods)
}

/// One bar: what was transferred below what was shared.
fn column(x: f64, width: f64, period: &Period, highest: u64) -> Markup {
    let height = |bytes: u64| HEIGHT * percentage(bytes, highest) / 100.0;
    let (below, above) = (height(period.transferred), height(period.shared));
    let parts = [
        ("own", "transferred", period.transferred, HEIGHT - below, below),
        ("all", "shared", period.shared, HEIGHT - below - above, above),
    ];
    html! {
        @for (class, name, bytes, y, height) in parts {
            @if bytes > 0 {
                rect class=(class) x=(format!("{x:.4}%")) y=(format!("{y:.2}"))
                    width=(format!("{width:.4}%")) height=(format!("{height:.2}")) {
                    title { (name) ": " (size(bytes)) }
                }
            }
        }
    }
}

fn row(name: &str, sums: &Sums) -> [String; 6] {
    [
        name.to_owned(),
        sums.runs.to_string(),
        size(sums.transferred),
        size(sums.shared),
        percent(sums.shared, sums.referenced),
        sums.requests.to_string(),
    ]
}

fn columns(first: &'static str) -> [PageColumn; 6] {
    [
        PageColumn::Text(first),
        PageColumn::Number("Runs"),
        PageColumn::Number("Transferred"),
        PageColumn::Number("Shared"),
        PageColumn::Number("Share"),
        PageColumn::Number("Requests"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str, transferred: u64, shared: u64) -> (Date, Sums) {
        let mut sums = Sums::default();
        (sums.transferred, sums.shared) = (transferred, shared);
        (text.parse().unwrap(), sums)
    }

    #[test]
    fn periods_cover_all_days_without_gaps() {
        let (length, few) = periods(&[day("2026-02-27", 1, 2), day("2026-03-02", 3, 4)]);
        assert_eq!((length, few.len()), (1, 4));
        assert_eq!(few[3], Period { transferred: 3, shared: 4 });
        let (length, many) = periods(&[day("2020-01-01", 1, 2), day("2026-03-02", 3, u64::MAX)]);
        assert!(many.len() <= 60 && length > 30, "{length} {}", many.len());
        let sum: u64 = many.iter().map(|period| period.transferred).sum();
        assert_eq!(sum, 4);
        assert_eq!(periods(&[]), (1, Vec::new()));
        let mut rebuilt = day("2026-03-02", 3, 4);
        (rebuilt.1.rebuilt, rebuilt.1.delta_bytes, rebuilt.1.delta_wasted) = (50, 7, 2);
        assert_eq!(periods(&[rebuilt]).1, [Period { transferred: 8, shared: 49 }]);
        let hostile = [day("-009999-01-01", 1, 1), day("9999-12-31", 1, 1)];
        assert!(periods(&hostile).1.len() <= 60);
    }
}
