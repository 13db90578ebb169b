//! Partials with gaps: the next pull requests what is missing, and whatever the list of ranges says, the bytes are right.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rpull::content::{BlobPresence, BlobWriter, Effort, Lookup as _};
use rpull::layout::{Layout, LayoutOptions, PruneOptions};

use super::Scenario;
use super::ranges_over_http::slow;
use crate::support::http::Reply;
use crate::support::wait::wait_until;
use crate::support::writing;

const SIZE: usize = 50_000;

/// The ranges of a blob that are there.
const PRESENT: [std::ops::Range<usize>; 3] = [0..1000, 2000..3000, 10_000..20_000];

impl Scenario {
    fn layout(&self) -> Layout {
        Layout::create(&self.store(), LayoutOptions::default()).unwrap()
    }

    fn partial(&self) -> PathBuf {
        let digest = self.held.layers[0].digest();
        self.store().join("ingest").join(format!("sha256-{}", digest.encoded()))
    }

    fn list(&self) -> PathBuf {
        self.partial().with_extension("ranges")
    }

    /// Opens the layer in the store, and leaves a partial behind once it is dropped, as an interrupted run does.
    async fn writer(&self) -> Box<dyn BlobWriter> {
        let layer = &self.held.layers[0].descriptor;
        writing::open(&*writing::begin(&self.layout()).await, layer).await
    }

    async fn with_gaps() -> Self {
        let scenario = Self::new(SIZE).await;
        let blob = &scenario.held.layers[0];
        let mut writer = scenario.writer().await;
        let ranges = writer.ranges().unwrap();
        let [first, early @ ..] = PRESENT;
        writer.write(blob.bytes.slice(first)).await.unwrap();
        for range in early {
            ranges.write_at(range.start as u64, &blob.bytes.slice(range)).unwrap();
        }
        scenario
    }

    fn change_byte(&self, position: u64) {
        let file = std::fs::File::options().read(true).write(true).open(self.partial()).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, position).unwrap();
        file.write_all_at(&[byte[0] ^ 1], position).unwrap();
    }

    /// As if the machine had been restarted since.
    fn restart(&self) {
        let mut list = std::fs::read(self.list()).unwrap();
        list[15..47].fill(b'0');
        std::fs::write(self.list(), list).unwrap();
    }

    fn assert_nothing_left(&self) {
        assert_eq!(std::fs::read_dir(self.store().join("ingest")).unwrap().count(), 0);
    }

    fn requested(&self, ranges: &[(u64, u64)]) -> Vec<Option<String>> {
        let last = |end: u64| if end == 0 { self.size() - 1 } else { end - 1 };
        ranges.iter().map(|(start, end)| Some(format!("bytes={start}-{}", last(*end)))).collect()
    }
}

#[tokio::test]
async fn gaps_are_all_the_next_pull_requests() {
    let scenario = Scenario::with_gaps().await;
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    let gaps = scenario.requested(&[(1000, 2000), (3000, 10_000), (20_000, 0)]);
    assert_eq!(scenario.ranges(), gaps);
    let bytes = finished.report.bytes;
    assert_eq!((bytes.resumed, bytes.resent), (12_000, 0));
    scenario.assert_nothing_left();
}

#[tokio::test]
async fn gaps_are_requested_once_by_two_runs_at_once() {
    let scenario = Scenario::with_gaps().await;
    let (one, other) = tokio::join!(scenario.pull(), scenario.pull());
    scenario.assert_arrived(&one);
    scenario.assert_arrived(&other);
    let mut ranges = scenario.ranges();
    ranges.sort();
    let mut gaps = scenario.requested(&[(1000, 2000), (3000, 10_000), (20_000, 0)]);
    gaps.sort();
    assert_eq!(ranges, gaps);
    let mut both = one.report.bytes;
    both += other.report.bytes;
    assert_eq!((both.resumed, both.resent, both.shared), (12_000, 0, both.total / 2));
    scenario.assert_nothing_left();
}

#[tokio::test]
async fn gaps_with_wrong_byte_restart_once() {
    for position in [500, 2500] {
        let scenario = Scenario::with_gaps().await;
        scenario.change_byte(position);
        let finished = scenario.pull().await;
        scenario.assert_arrived(&finished);
        let bytes = finished.report.bytes;
        assert_eq!((bytes.resumed, bytes.resent), (0, scenario.size() - 12_000));
        assert_eq!((scenario.ranges().len(), scenario.ranges().last()), (4, Some(&None)));
        scenario.assert_nothing_left();
    }
}

#[tokio::test]
async fn gaps_after_power_failure_include_damaged_ranges() {
    for (position, gaps, resumed) in [
        (500, [(0, 2000), (3000, 10_000), (20_000, 0)].as_slice(), 11_000),
        (2500, &[(1000, 10_000), (20_000, 0)], 11_000),
        (19_999, &[(1000, 2000), (3000, 0)], 2000),
    ] {
        let scenario = Scenario::with_gaps().await;
        scenario.change_byte(position);
        scenario.restart();
        let finished = scenario.pull().await;
        scenario.assert_arrived(&finished);
        assert_eq!(scenario.ranges(), scenario.requested(gaps));
        let bytes = finished.report.bytes;
        assert_eq!((bytes.resumed, bytes.resent), (resumed, 0));
        scenario.assert_nothing_left();
    }
}

#[tokio::test]
async fn gaps_of_source_without_ranges_cost_one_request() {
    let scenario = Scenario::with_gaps().await;
    let whole = scenario.held.layers[0].bytes.clone();
    scenario.override_response(0..100, move |_| Reply::new(200, whole.clone()));
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    assert_eq!(scenario.ranges().len(), 1, "{:?}", scenario.ranges());
    assert_eq!((finished.report.bytes.resumed, finished.report.bytes.resent), (1000, 1000));
    scenario.assert_nothing_left();
}

#[tokio::test]
async fn partial_with_refused_ranges_completes_by_the_whole() {
    for status in [416, 400, 501, 403, 404, 405, 200] {
        let scenario = Scenario::new(3_000_000).await;
        let blob = &scenario.held.layers[0];
        scenario.writer().await.write(blob.bytes.slice(..1_000_000)).await.unwrap();
        let whole = blob.bytes.clone();
        scenario.registry.disturb(move |request, reply| match request.header("range") {
            Some(_) if status == 200 => Reply::new(200, whole.clone()),
            Some(_) => Reply::new(status, ""),
            None => reply,
        });
        let finished = scenario.pull().await;
        scenario.assert_arrived(&finished);
        assert!(scenario.ranges().len() <= 3, "{status}: {:?}", scenario.ranges());
    }
}

#[tokio::test]
async fn gaps_are_known_to_df_plan_and_prune() {
    let scenario = Scenario::with_gaps().await;
    let layout = scenario.layout();
    let usage = layout.usage().unwrap();
    assert_eq!((usage.partials, usage.partial), (1, 12_000));
    let blob = layout.blob(&scenario.held.layers[0].descriptor, Effort::Local).await.unwrap();
    assert_eq!(blob, BlobPresence::Partial(12_000));
    let pruned = layout.prune(PruneOptions::default().partials()).unwrap();
    assert_eq!((pruned.partials, pruned.partial_bytes), (1, 12_000));
    scenario.assert_nothing_left();
    std::fs::write(scenario.list(), "left over").unwrap();
    layout.prune(PruneOptions::default().partials()).unwrap();
    scenario.assert_nothing_left();
}

#[tokio::test]
async fn gaps_in_hostile_list_are_harmless() {
    let line = |text: &str| format!("{text:<63}\n");
    let header = line("rpull-ranges 1 0");
    let zeros = |length: usize| vec![0; length];
    let lists: Vec<Vec<u8>> = vec![
        Vec::new(),
        zeros(64),
        zeros(5 << 20),
        header.clone().into(),
        header[..40].into(),
        [header.as_str(), &line("0 ffff - 00000000")].concat().into(),
        [header.as_str(), &line("zzzz"), "\u{fffd}"].concat().into(),
        line("rpull-ranges 2 0").into(),
        [header.as_bytes(), &[255; 640][..]].concat(),
    ];
    for list in lists {
        let scenario = Scenario::with_gaps().await;
        std::fs::write(scenario.list(), &list).unwrap();
        scenario.assert_arrived(&scenario.pull().await);
        scenario.assert_nothing_left();
    }
    // Lines of the list itself, repeated, damaged or without the rest.
    for at in 0..12 {
        let scenario = Scenario::with_gaps().await;
        let mut list = std::fs::read(scenario.list()).unwrap();
        match at {
            0..4 => list.truncate(64 * at + 40),
            4..8 => list[64 * (at - 4) + 20] ^= 1,
            _ => list.extend_from_within(64 * (at - 8)..64 * (at - 8) + 64),
        }
        std::fs::write(scenario.list(), &list).unwrap();
        scenario.assert_arrived(&scenario.pull().await);
        scenario.assert_nothing_left();
    }
    // One that leads elsewhere.
    let scenario = Scenario::with_gaps().await;
    let elsewhere = scenario.dir.path().join("elsewhere");
    std::fs::rename(scenario.list(), &elsewhere).unwrap();
    let before = std::fs::read(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, scenario.list()).unwrap();
    scenario.assert_arrived(&scenario.pull().await);
    assert_eq!(std::fs::read(&elsewhere).unwrap(), before);
}

#[tokio::test]
async fn gaps_of_interrupted_pull_are_resumed() {
    let scenario = slow().await;
    let has_gaps = wait_until("no range arrives", async || {
        std::fs::read(scenario.list()).is_ok_and(|list| list.len() > 3 * 64)
    });
    tokio::select! {
        _ = scenario.pull() => panic!("the pull is too fast"),
        () = has_gaps => {}
    }
    let left = scenario.layout().usage().unwrap().partial;
    assert!(left < scenario.partial().metadata().unwrap().len(), "it has gaps");
    scenario.override_response(0..100, |reply| Reply { fault: None, ..reply });
    let finished = scenario.pull().await;
    scenario.assert_arrived(&finished);
    assert_eq!(finished.report.bytes.resumed, left);
    scenario.assert_nothing_left();
}
