//! What the progress of a run shows on a terminal of any size: a line for each blob as docker draws it, and a total. If there are
//! more blobs than rows, only those in transfer have a line, and the others are summed up in one line for each image.

use std::collections::HashMap;
use std::time::Instant;

use super::labels::ProgressLabels;
use super::progress_line::{blob_line, total_line};
use super::rate::Rate;
use super::size::size;
use super::text_width::{truncate, truncate_start, width};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::progress::Completion;

/// Columns that a name gets before the sums beside it.
const MIN_NAME_WIDTH: usize = 8;

/// An image of the run and the blobs that it was the first to need.
pub(super) type ImageBlobs = (String, Vec<Digest>);

/// The progress of a run.
#[derive(Debug)]
pub(super) struct Screen {
    labels: &'static ProgressLabels,
    /// References of the images.
    images: Vec<String>,
    /// The blobs of the first image, then those of the next.
    blobs: Vec<BlobRow>,
    index: HashMap<Digest, usize>,
    rate: Rate,
}

#[derive(Debug)]
struct BlobRow {
    short: String,
    /// Index of its image.
    image: usize,
    size: u64,
    position: u64,
    state: BlobState,
    /// It is rebuilt; if that fails, it starts again and is transferred.
    is_rebuilt: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum BlobState {
    Waiting,
    Moving,
    /// All bytes are there, or the next attempt is waited for; the text says it.
    Busy(String),
    Over(String),
    /// The run has ended before it began. It has no line.
    NotStarted,
}

impl BlobState {
    fn is_running(&self) -> bool {
        matches!(self, Self::Moving | Self::Busy(_))
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Over(_) | Self::NotStarted)
    }
}

/// A line, and how soon it is left out where rows are scarce: 0 never.
struct RankedLine {
    text: String,
    rank: u8,
}

impl Screen {
    /// Shows these blobs, each with the number of bytes that the target already has.
    pub(super) fn new(
        labels: &'static ProgressLabels,
        images: &[ImageBlobs],
        blobs: &[(&Descriptor, u64)],
    ) -> Self {
        let owners: HashMap<&Digest, usize> = images
            .iter()
            .enumerate()
            .flat_map(|(at, (_, digests))| digests.iter().map(move |digest| (digest, at)))
            .collect();
        let mut rows: Vec<(&Digest, BlobRow)> = blobs
            .iter()
            .map(|(blob, existing)| {
                let state = if blob.size == *existing {
                    BlobState::Over("already exists".to_owned())
                } else {
                    BlobState::Waiting
                };
                let image = owners.get(&blob.digest).copied().unwrap_or_default();
                let short = blob.digest.short().to_owned();
                let (size, position) = (blob.size, *existing);
                let row = BlobRow { short, image, size, position, state, is_rebuilt: false };
                (&blob.digest, row)
            })
            .collect();
        rows.sort_by_key(|(_, row)| row.image);
        Self {
            labels,
            images: images.iter().map(|(reference, _)| reference.clone()).collect(),
            index: rows
                .iter()
                .enumerate()
                .map(|(at, (digest, _))| ((*digest).clone(), at))
                .collect(),
            blobs: rows.into_iter().map(|(_, row)| row).collect(),
            rate: Rate::default(),
        }
    }

    fn row(&mut self, digest: &Digest) -> Option<&mut BlobRow> {
        self.blobs.get_mut(*self.index.get(digest)?)
    }

    /// Sets the position of a blob that is in transfer. Returns how many bytes it advanced.
    fn set_position(&mut self, digest: &Digest, position: u64) -> u64 {
        let finishing = self.labels.finishing;
        let Some(row) = self.row(digest) else { return 0 };
        let arrived = position.saturating_sub(row.position);
        row.position = position;
        row.state = if position < row.size {
            BlobState::Moving
        } else {
            BlobState::Busy(finishing.to_owned())
        };
        arrived
    }

    /// The blob will be rebuilt.
    pub(super) fn rebuild(&mut self, digest: &Digest) {
        if let Some(row) = self.row(digest) {
            row.is_rebuilt = true;
        }
    }

    /// A blob starts, with these bytes of an earlier run.
    pub(super) fn start(&mut self, digest: &Digest, position: u64) {
        if let Some(row) = self.row(digest) {
            row.is_rebuilt &= row.state == BlobState::Waiting;
        }
        self.set_position(digest, position);
    }

    pub(super) fn advance(&mut self, digest: &Digest, position: u64) {
        let arrived = self.set_position(digest, position);
        self.rate.add(arrived, Instant::now());
    }

    /// A blob waits for its next attempt.
    pub(super) fn wait(&mut self, digest: &Digest, text: String) {
        if let Some(row) = self.row(digest) {
            row.state = BlobState::Busy(text);
        }
    }

    pub(super) fn finish(&mut self, digest: &Digest, completion: Completion<'_>) {
        let text = match completion {
            Completion::Transferred => self.labels.done.to_owned(),
            Completion::Rebuilt => "rebuilt".to_owned(),
            Completion::Shared => "already exists".to_owned(),
            Completion::Mounted(from) => format!("mounted from {from}"),
        };
        if let Some(row) = self.row(digest) {
            row.position = row.size;
            row.state = BlobState::Over(text);
        }
    }

    /// The run has ended: nothing is in transfer any more.
    pub(super) fn stop(&mut self) {
        for row in &mut self.blobs {
            match row.state {
                BlobState::Over(_) => {}
                BlobState::Waiting if row.position == 0 => row.state = BlobState::NotStarted,
                _ => row.state = BlobState::Over(format!("stopped at {}", size(row.position))),
            }
        }
    }

    /// Returns the lines for a terminal with these columns and rows; fewer than `rows`, none longer than `columns`.
    pub(super) fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        let is_running = self.blobs.iter().any(|row| !row.state.is_over());
        // The cursor stands in a row of its own.
        let mut room = rows.saturating_sub(1).max(1);
        let total = is_running.then(|| {
            room -= 1;
            let sums = self
                .blobs
                .iter()
                .fold((0, 0), |(position, size), row| (position + row.position, size + row.size));
            total_line("total", sums, &self.rate, columns)
        });
        let mut lines = self.blob_lines(columns, false);
        if lines.len() > room {
            lines = self.blob_lines(columns, true);
        }
        for rank in [3, 2, 1] {
            // From the end: images are transferred in order.
            while lines.len() > room
                && let Some(at) = lines.iter().rposition(|line| line.rank == rank)
            {
                lines.remove(at);
            }
        }
        lines.truncate(room);
        lines.into_iter().map(|line| line.text).chain(total).collect()
    }

    /// The lines of all blobs, or only of those in transfer.
    fn blob_lines(&self, columns: usize, is_folded: bool) -> Vec<RankedLine> {
        let mut lines = Vec::new();
        for rows in self.blobs.chunk_by(|a, b| a.image == b.image) {
            if is_folded || self.images.len() > 1 {
                let is_over = rows.iter().all(|row| row.state.is_over());
                let is_active = rows.iter().any(|row| row.state.is_running());
                let rank = if is_active {
                    1
                } else if is_over {
                    3
                } else {
                    2
                };
                lines.push(RankedLine { text: self.image_line(rows, columns), rank });
            }
            let shown = rows.iter().filter(|row| match row.state {
                BlobState::NotStarted => false,
                _ => !is_folded || row.state.is_running(),
            });
            lines
                .extend(shown.map(|row| RankedLine { text: self.row_line(row, columns), rank: 0 }));
        }
        lines
    }

    /// `alpine:3.20: 2 of 7 blobs, 12.3 MB/61.5 MB`; the name is shown before all else.
    fn image_line(&self, rows: &[BlobRow], columns: usize) -> String {
        let name = rows.first().and_then(|row| self.images.get(row.image));
        let name = name.map_or("image", String::as_str);
        let over = rows.iter().filter(|row| row.position == row.size).count();
        let (position, total) = rows
            .iter()
            .fold((0, 0), |(position, total), row| (position + row.position, total + row.size));
        let (count, position, total) = (rows.len(), size(position), size(total));
        let sums = [
            format!(": {over} of {count} blobs, {position}/{total}"),
            format!(": {over} of {count} blobs"),
            format!(": {over}/{count}"),
        ];
        let room = |sums: &str| columns.saturating_sub(width(sums));
        let fits = |sums: &&String| room(sums) >= width(name).min(MIN_NAME_WIDTH);
        let sums = sums.iter().find(fits).map_or("", String::as_str);
        truncate(&format!("{}{sums}", truncate_start(name, room(sums))), columns)
    }

    fn row_line(&self, row: &BlobRow, columns: usize) -> String {
        let indent = if self.images.len() > 1 { "  " } else { "" };
        let start = format!("{indent}{}:", row.short);
        let text = match &row.state {
            BlobState::Moving => {
                let label = if row.is_rebuilt { "rebuilding" } else { self.labels.moving };
                let label = format!("{start} {label}");
                return blob_line(&label, row.position, row.size, columns);
            }
            BlobState::Waiting | BlobState::NotStarted => "waiting",
            BlobState::Busy(text) | BlobState::Over(text) => text,
        };
        truncate(&format!("{start} {text}"), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::labels;
    use crate::media::MediaType;

    fn blobs(count: u8) -> Vec<Descriptor> {
        let blob = |seed| Descriptor::for_bytes(MediaType::OCI_CONFIG, &vec![seed; 1000]);
        (0..count).map(blob).collect()
    }

    fn screen(images: &[(&str, &[Descriptor])]) -> Screen {
        let plan: Vec<(&Descriptor, u64)> =
            images.iter().flat_map(|(_, blobs)| *blobs).map(|blob| (blob, 0)).collect();
        let images: Vec<ImageBlobs> = images
            .iter()
            .map(|(name, blobs)| {
                ((*name).to_owned(), blobs.iter().map(|blob| blob.digest.clone()).collect())
            })
            .collect();
        Screen::new(&labels::PULL, &images, &plan)
    }

    #[test]
    fn screen_with_more_blobs_than_rows_shows_running_ones_and_total() {
        let blobs = blobs(20);
        let mut screen = screen(&[("registry.test/app:1", &blobs)]);
        assert_eq!(screen.lines(79, 24).len(), 21, "a line for each");
        for blob in &blobs[..12] {
            screen.finish(&blob.digest, Completion::Transferred);
        }
        for blob in &blobs[12..15] {
            screen.advance(&blob.digest, 500);
        }
        let lines = screen.lines(79, 15);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[0], "registry.test/app:1: 12 of 20 blobs, 13.5 kB/20.0 kB");
        for (line, blob) in lines[1..4].iter().zip(&blobs[12..15]) {
            assert!(line.starts_with(&format!("{}: downloading [", blob.digest.short())), "{line}");
        }
        assert!(lines[4].starts_with("total  68 % "), "{lines:?}");
        assert_eq!(screen.lines(79, 3).len(), 2);
        assert!(screen.lines(79, 3)[1].starts_with("total"), "more running than rows");
        screen.stop();
        assert_eq!(screen.lines(79, 15), ["registry.test/app:1: 12 of 20 blobs, 13.5 kB/20.0 kB"]);
        assert_eq!(screen.lines(79, 24).len(), 15, "those that never began have no line");
    }

    #[test]
    fn narrow_terminal_shows_name_of_image_before_sums() {
        let blobs = blobs(4);
        let images = [("registry.test/app:1", &blobs[..2]), ("b:1", &blobs[2..])];
        let screen = screen(&images);
        let first = |columns| screen.lines(columns, 24).remove(0);
        assert_eq!(first(44), "…gistry.test/app:1: 0 of 2 blobs, 0 B/2.0 kB");
        assert_eq!(first(30), "…stry.test/app:1: 0 of 2 blobs");
        assert_eq!(first(20), "…try.test/app:1: 0/2");
    }

    #[test]
    fn screen_of_several_images_has_line_for_each() {
        let blobs = blobs(9);
        let mut screen =
            screen(&[("a:1", &blobs[..3]), ("b:1", &blobs[3..6]), ("c:1", &blobs[6..])]);
        for blob in &blobs[..3] {
            screen.finish(&blob.digest, Completion::Mounted("other"));
        }
        screen.start(&blobs[4].digest, 400);
        screen.wait(&blobs[5].digest, "retrying in 0.5 s: connection reset".to_owned());
        let all = screen.lines(79, 24);
        assert_eq!((all[0].as_str(), all.len()), ("a:1: 3 of 3 blobs, 3.0 kB/3.0 kB", 13));
        assert_eq!(all[1], format!("  {}: mounted from other", blobs[0].digest.short()));
        let [five, six] = [4, 5].map(|at: usize| blobs[at].digest.short());
        let folded = screen.lines(40, 8);
        assert_eq!(folded[1], "b:1: 0 of 3 blobs, 400 B/3.0 kB");
        assert_eq!(folded[2], format!("  {five}: downloading 400 B/1.0 kB"));
        assert_eq!(folded[3], format!("  {six}: retrying in 0.5 s: conn…"));
        assert_eq!(folded[4], "c:1: 0 of 3 blobs, 0 B/3.0 kB");
        let narrow = screen.lines(40, 5);
        assert_eq!(narrow[..3], folded[1..4], "images without transfers have no line");
    }

    #[test]
    fn blob_whose_rebuilding_fails_is_shown_as_transferred() {
        let blobs = blobs(1);
        let mut screen = screen(&[("a:1", &blobs)]);
        let digest = &blobs[0].digest;
        screen.rebuild(digest);
        assert_eq!(screen.lines(40, 9)[0], format!("{}: waiting", digest.short()));
        screen.start(digest, 0);
        screen.advance(digest, 500);
        let rebuilding = format!("{}: rebuilding 500 B/1.0 kB", digest.short());
        assert_eq!(screen.lines(40, 9)[0], rebuilding);
        screen.start(digest, 0);
        assert_eq!(screen.lines(40, 9)[0], format!("{}: downloading 0 B/1.0 kB", digest.short()));
    }

    #[test]
    fn lines_fit_terminal_of_any_size() {
        let blobs = blobs(5);
        let mut screen = screen(&[("registry.test/team/app:1", &blobs[..3]), ("b:1", &blobs[3..])]);
        screen.advance(&blobs[0].digest, 500);
        screen.wait(&blobs[1].digest, "retrying".to_owned());
        for columns in (0..30).chain([50, 80, 200]) {
            for rows in [0, 1, 2, 3, 5, 24] {
                let lines = screen.lines(columns, rows);
                assert!(lines.iter().all(|line| width(line) <= columns), "{columns}: {lines:?}");
                assert!(lines.len() <= rows.saturating_sub(1).max(1), "{rows}: {lines:?}");
            }
        }
    }
}
