//! Sums over the records of a ledger.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::record::LedgerRecord;
use super::utc_time::UtcTime;

/// Name of the group of records without a registry.
pub const LOCAL_GROUP: &str = "(local)";

/// How to group the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupBy {
    /// By registry: `docker.io`.
    Registry,
    /// By repository: `docker.io/library/alpine`.
    Repository,
    /// By day in UTC: `2026-11-28`.
    Day,
}

impl GroupBy {
    fn key(self, record: &LedgerRecord) -> &str {
        match self {
            Self::Registry => record.registry().unwrap_or(LOCAL_GROUP),
            Self::Repository => record.repository.as_deref().unwrap_or(LOCAL_GROUP),
            Self::Day => record.time.day(),
        }
    }
}

/// Sums over records. Always: referenced = transferred + resumed + mounted + shared + rebuilt + missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Sums {
    /// Number of runs.
    pub runs: u64,
    /// Number of images, once per run.
    pub images: u64,
    /// Those that failed.
    pub failed: u64,
    /// Bytes of all blobs that the images reference.
    pub referenced: u64,
    /// Bytes that were moved, and kept.
    pub transferred: u64,
    /// Bytes that were kept from an earlier run.
    pub resumed: u64,
    /// Bytes that registries mounted.
    pub mounted: u64,
    /// Bytes that were already at the target.
    pub shared: u64,
    /// Bytes that were rebuilt from layers of the target and deltas.
    pub rebuilt: u64,
    /// Bytes that were not at the target when the run ended.
    pub missing: u64,
    /// Bytes that were moved, and discarded; not part of `referenced`.
    pub resent: u64,
    /// Bytes that were moved for deltas; not part of `referenced`.
    pub delta_bytes: u64,
    /// Those of them that did not fit.
    pub delta_wasted: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Duration of the runs in milliseconds. A run with images in several groups counts in each of them.
    pub elapsed_ms: u64,
}

impl Sums {
    /// Bytes of rebuilt blobs beyond those of the deltas that they were made of.
    pub fn delta_saved(&self) -> u64 {
        self.rebuilt.saturating_sub(self.delta_bytes.saturating_sub(self.delta_wasted))
    }

    /// Adds a record. Sums of damaged or hostile numbers stay at the maximum.
    fn add(&mut self, record: &LedgerRecord, is_new_run: bool) {
        let bytes = &record.bytes;
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.images, 1);
        add(&mut self.failed, u64::from(record.error.is_some()));
        add(&mut self.referenced, bytes.total);
        add(&mut self.transferred, bytes.transferred);
        add(&mut self.resumed, bytes.resumed);
        add(&mut self.mounted, bytes.mounted);
        add(&mut self.shared, bytes.shared);
        add(&mut self.rebuilt, bytes.rebuilt);
        add(&mut self.delta_bytes, bytes.delta_bytes);
        add(&mut self.delta_wasted, bytes.delta_wasted);
        add(&mut self.missing, bytes.missing);
        add(&mut self.resent, bytes.resent);
        add(&mut self.requests, record.requests);
        if is_new_run {
            add(&mut self.runs, 1);
            add(&mut self.elapsed_ms, record.elapsed_ms);
        }
    }
}

/// Sums in total and per group.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    by: Option<GroupBy>,
    total: Sums,
    groups: BTreeMap<String, Sums>,
    /// The runs that were counted in each group.
    runs: HashMap<String, HashSet<String>>,
    first: Option<UtcTime>,
    last: Option<UtcTime>,
}

impl Summary {
    /// No records yet. Without `by` there are no groups.
    pub fn new(by: Option<GroupBy>) -> Self {
        Self { by, ..Self::default() }
    }

    /// Adds a record.
    pub fn add(&mut self, record: &LedgerRecord) {
        let is_new = self.is_new_run("", &record.run);
        self.total.add(record, is_new);
        if let Some(by) = self.by {
            let key = by.key(record);
            let is_new = self.is_new_run(key, &record.run);
            self.groups.entry(key.to_owned()).or_default().add(record, is_new);
        }
        let time = &record.time;
        if self.first.as_ref().is_none_or(|first| time < first) {
            self.first = Some(time.clone());
        }
        if self.last.as_ref().is_none_or(|last| time > last) {
            self.last = Some(time.clone());
        }
    }

    /// Whether this group has no record of the run yet.
    fn is_new_run(&mut self, group: &str, run: &str) -> bool {
        if let Some(runs) = self.runs.get_mut(group) {
            return !runs.contains(run) && runs.insert(run.to_owned());
        }
        self.runs.insert(group.to_owned(), HashSet::from([run.to_owned()]));
        true
    }

    /// The sums over all records.
    pub fn total(&self) -> &Sums {
        &self.total
    }

    /// The groups with their sums, by name: days in their order.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &Sums)> {
        self.groups.iter().map(|(key, sums)| (key.as_str(), sums))
    }

    /// Times of the first and of the last record; `None` without records.
    pub fn period(&self) -> Option<(&UtcTime, &UtcTime)> {
        Some((self.first.as_ref()?, self.last.as_ref()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::tests::pull;
    use super::*;

    fn summary(by: GroupBy, records: &[LedgerRecord]) -> Summary {
        let mut summary = Summary::new(Some(by));
        for record in records {
            summary.add(record);
        }
        summary
    }

    #[test]
    fn summary_groups_by_registry_repository_and_day() {
        let mut records = vec![
            pull("2026-11-27T23:59:59Z", "r/a", 10),
            pull("2026-11-28T00:00:00Z", "r/b", 100),
            pull("2026-11-28T00:00:00Z", "s/b", 1000),
        ];
        records.push(LedgerRecord {
            repository: None,
            error: Some("store".into()),
            ..records[0].clone()
        });
        let transferred = |by: GroupBy| {
            let summary = summary(by, &records);
            let of = |(key, sums): (&str, &Sums)| (key.to_owned(), sums.transferred);
            summary.groups().map(of).collect::<Vec<_>>()
        };
        let expect = |rows: &[(&str, u64)]| {
            rows.iter().map(|(key, sum)| ((*key).to_owned(), *sum)).collect::<Vec<_>>()
        };
        assert_eq!(
            transferred(GroupBy::Registry),
            expect(&[("(local)", 10), ("r", 110), ("s", 1000)])
        );
        let repositories = [("(local)", 10), ("r/a", 10), ("r/b", 100), ("s/b", 1000)];
        assert_eq!(transferred(GroupBy::Repository), expect(&repositories));
        assert_eq!(transferred(GroupBy::Day), expect(&[("2026-11-27", 20), ("2026-11-28", 1100)]));
        let summary = summary(GroupBy::Day, &records);
        assert_eq!((summary.total().images, summary.total().failed), (4, 1));
        let (first, last) = summary.period().unwrap();
        assert_eq!((first.day(), last.day()), ("2026-11-27", "2026-11-28"));
        assert!(Summary::new(None).period().is_none());
    }

    #[test]
    fn summary_counts_time_of_run_once_per_group() {
        let one = pull("2026-11-28T00:00:00Z", "r/a", 1);
        let other = pull("2026-11-28T00:00:00Z", "s/b", 1);
        let summary = summary(GroupBy::Registry, &[one.clone(), other, one]);
        assert_eq!((summary.total().runs, summary.total().elapsed_ms), (1, 500));
        assert_eq!((summary.total().images, summary.total().requests), (3, 9));
        assert!(summary.groups().all(|(_, sums)| (sums.runs, sums.elapsed_ms) == (1, 500)));
    }

    #[test]
    fn summary_of_huge_numbers_does_not_overflow() {
        let mut record = pull("2026-11-28T00:00:00Z", "r/a", 1);
        record.bytes.total = u64::MAX;
        let summary = summary(GroupBy::Day, &[record.clone(), record]);
        assert_eq!(summary.total().referenced, u64::MAX);
    }

    proptest! {
        #[test]
        fn summary_groups_add_up_to_total(rows in proptest::collection::vec((0_u8..4, 0_u8..3, 0_u64..1000), 0..30)) {
            let records: Vec<_> = rows.iter().map(|(day, repository, bytes)| {
                pull(&format!("2026-11-2{day}T00:00:00Z"), &format!("r{repository}/a"), *bytes)
            }).collect();
            for by in [GroupBy::Registry, GroupBy::Repository, GroupBy::Day] {
                let summary = summary(by, &records);
                let sum = |of: fn(&Sums) -> u64| summary.groups().map(|(_, sums)| of(sums)).sum::<u64>();
                let total = summary.total();
                prop_assert_eq!(sum(|sums| sums.transferred), total.transferred);
                prop_assert_eq!(sum(|sums| sums.images), total.images);
                prop_assert_eq!(sum(|sums| sums.requests), total.requests);
                prop_assert_eq!(total.referenced, total.transferred + total.shared);
            }
        }
    }
}
