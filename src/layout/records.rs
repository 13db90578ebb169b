//! Which ranges of a partial have been received.
//!
//! The list beside a partial has lines of 64 bytes, so that one write within a sector changes each in place:
//!
//! ```text
//! rpull-ranges 1 <boot id>
//! <start> <end> <CRC-32 of the bytes> <CRC-32 of the line so far>      (hexadecimal)
//! ```
//!
//! Lines in any other form are free, and so are those that overlap others or are beyond the end of the partial.

use std::collections::BTreeMap;
use std::ops::Range;

use flate2::Crc;

/// Length of a line, in bytes.
pub(super) const LINE: usize = 64;

/// More ranges are not recorded, and ignored.
const MAX_LINES: usize = 1 << 16;

/// A longer list is ignored.
pub(super) const MAX_BYTES: u64 = (LINE * MAX_LINES) as u64;

/// The most that one wrong byte costs.
const MAX_RECORD: u64 = 16 << 20;

const MAGIC: &str = "rpull-ranges 1 ";

/// A line that is not in use.
pub(super) const FREE: [u8; LINE] =
    *b"                                                               \n";

/// Ranges that do not overlap.
#[derive(Debug, Default)]
pub(super) struct Records {
    by_start: BTreeMap<u64, Record>,
    lines: usize,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Record {
    end: u64,
    line: usize,
    sum: Sum,
}

#[derive(Debug)]
enum Sum {
    Growing(Crc),
    Known(u32),
    /// Of bytes that were received before ranges were recorded.
    Unknown,
}

/// A list as it was read.
#[derive(Debug)]
pub(super) struct List {
    pub(super) records: Records,
    pub(super) boot: String,
    /// Whether it contains anything else.
    pub(super) is_clean: bool,
}

impl Records {
    /// The first bytes of a partial, without a checksum.
    pub(super) fn of_prefix(length: u64) -> Self {
        let mut records = Self::default();
        if length > 0 {
            records.by_start.insert(0, Record { end: length, line: 0, sum: Sum::Unknown });
            records.lines = 1;
        }
        records
    }

    /// Parses the list of a partial of this length; `None` if its header is invalid.
    pub(super) fn parse(list: &[u8], length: u64) -> Option<List> {
        let mut lines = list.chunks(LINE);
        let header = std::str::from_utf8(lines.next()?).ok()?;
        let boot = header.strip_prefix(MAGIC)?.strip_suffix('\n')?.trim_end().to_owned();
        let (free, found): (Vec<_>, Vec<_>) =
            lines.take(MAX_LINES).enumerate().partition(|(_, text)| *text == FREE);
        let used = found.len();
        let mut found: Vec<_> =
            found.into_iter().filter_map(|(line, text)| parse_line(text, line)).collect();
        found.sort_by_key(|(start, _)| *start);
        let free: Vec<usize> = free.into_iter().map(|(line, _)| line).collect();
        let mut records = Self { lines: used + free.len(), free, ..Self::default() };
        let mut reached = 0;
        for (start, record) in found {
            if start >= reached && record.end <= length {
                reached = record.end;
                records.by_start.insert(start, record);
            }
        }
        let is_clean = records.by_start.len() == used;
        Some(List { records, boot, is_clean })
    }

    /// The whole list. Lines are numbered anew.
    pub(super) fn renumbered_list(&mut self, boot: &str) -> Vec<u8> {
        let mut list = padded(&format!("{MAGIC}{boot}")).to_vec();
        for (line, (start, record)) in self.by_start.iter_mut().enumerate() {
            record.line = line;
            list.extend(record.to_line(*start));
        }
        self.lines = self.by_start.len();
        self.free.clear();
        list
    }

    /// Bytes from the first one on without a gap.
    pub(super) fn prefix(&self) -> u64 {
        self.spans().next().filter(|span| span.start == 0).map_or(0, |span| span.end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    pub(super) fn total(&self) -> u64 {
        self.by_start.iter().map(|(start, record)| record.end - start).sum()
    }

    /// In order, with a gap between them.
    pub(super) fn spans(&self) -> impl Iterator<Item = Range<u64>> {
        let mut records = self.by_start.iter().map(|(start, record)| *start..record.end).peekable();
        std::iter::from_fn(move || {
            let mut span = records.next()?;
            while let Some(next) = records.next_if(|next| next.start == span.end) {
                span.end = next.end;
            }
            Some(span)
        })
    }

    /// Each record with the checksum of its bytes, where that is known.
    pub(super) fn checksums(&self) -> impl Iterator<Item = (Range<u64>, u32)> {
        self.by_start
            .iter()
            .filter_map(|(start, record)| Some((*start..record.end, record.checksum()?)))
    }

    /// Forgets the records with bytes of this range. Returns their lines, which are free now.
    pub(super) fn remove(&mut self, range: &Range<u64>) -> Vec<usize> {
        let below = self.by_start.range(..range.end).rev();
        let overlapping = below.take_while(|(_, record)| record.end > range.start);
        let starts: Vec<u64> = overlapping.map(|(start, _)| *start).collect();
        let removed = starts.iter().filter_map(|start| self.by_start.remove(start));
        let lines: Vec<usize> = removed.map(|record| record.line).collect();
        self.free.extend(&lines);
        lines
    }

    /// Adds bytes that no record has. Returns the line to write, unless there are too many.
    pub(super) fn add(&mut self, position: u64, bytes: &[u8]) -> Option<(usize, [u8; LINE])> {
        let before = self.by_start.range_mut(..position).next_back();
        if let Some((start, record)) = before.filter(|(_, record)| record.end == position)
            && record.end - start < MAX_RECORD
            && let Sum::Growing(sum) = &mut record.sum
        {
            sum.update(bytes);
            record.end += bytes.len() as u64;
            return Some((record.line, record.to_line(*start)));
        }
        let line = self.free.pop().or_else(|| {
            let next = (self.lines + 1 < MAX_LINES).then_some(self.lines)?;
            self.lines += 1;
            Some(next)
        })?;
        let mut sum = Crc::new();
        sum.update(bytes);
        let end = position + bytes.len() as u64;
        let record = Record { end, line, sum: Sum::Growing(sum) };
        let text = record.to_line(position);
        self.by_start.insert(position, record);
        Some((line, text))
    }
}

impl Record {
    fn checksum(&self) -> Option<u32> {
        match &self.sum {
            Sum::Growing(sum) => Some(sum.sum()),
            Sum::Known(sum) => Some(*sum),
            Sum::Unknown => None,
        }
    }

    fn to_line(&self, start: u64) -> [u8; LINE] {
        let sum = self.checksum().map_or_else(|| "-".to_owned(), |sum| format!("{sum:08x}"));
        let text = format!("{start:016x} {:016x} {sum}", self.end);
        padded(&format!("{text} {:08x}", checksum(text.as_bytes())))
    }
}

fn parse_line(line: &[u8], number: usize) -> Option<(u64, Record)> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.trim_end_matches(' ');
    let (text, check) = text.rsplit_once(' ')?;
    if check != format!("{:08x}", checksum(text.as_bytes())) {
        return None;
    }
    let mut parts = text.split(' ');
    let mut position = || u64::from_str_radix(parts.next()?, 16).ok();
    let (start, end) = (position()?, position()?);
    let sum = match parts.next()? {
        // The others must be checked after a power failure.
        "-" if start == 0 => Sum::Unknown,
        // Its bytes are read into memory to be checked.
        _ if end.saturating_sub(start) > 2 * MAX_RECORD => return None,
        sum => Sum::Known(u32::from_str_radix(sum, 16).ok()?),
    };
    (start < end).then_some((start, Record { end, line: number, sum }))
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(bytes);
    sum.sum()
}

fn padded(text: &str) -> [u8; LINE] {
    let mut line = FREE;
    for (to, byte) in line.iter_mut().take(LINE - 1).zip(text.bytes()) {
        *to = byte;
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(length: u64) -> Vec<u8> {
        (0..length).map(|at| at.to_le_bytes()[0]).collect()
    }

    fn spans(records: &Records) -> Vec<(u64, u64)> {
        records.spans().map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn records_without_gap_are_one_span() {
        let mut records = Records::of_prefix(10);
        records.add(20, &bytes(5));
        records.add(10, &bytes(2));
        records.add(12, &bytes(3));
        assert_eq!((records.prefix(), records.total()), (15, 20));
        assert_eq!(spans(&records), [(0, 15), (20, 25)]);
        assert_eq!(records.remove(&(14..21)).len(), 2);
        assert_eq!(spans(&records), [(0, 10)]);
        assert_eq!(Records::default().prefix(), 0);
    }

    #[test]
    fn record_grows_in_its_line_up_to_its_maximum() {
        let mut records = Records::default();
        let piece = bytes(1 << 20);
        let lines: Vec<usize> =
            (0..17).map(|at| records.add(at << 20, &piece).unwrap().0).collect();
        assert_eq!(lines, [vec![0; 16], vec![1]].concat());
        let sums: Vec<_> = records.checksums().collect();
        assert_eq!(sums[1], (16 << 20..17 << 20, checksum(&piece)));
        assert_eq!(sums[0].1, checksum(&piece.repeat(16)));
    }

    #[test]
    fn list_with_wrong_lines_has_the_others() {
        let mut records = Records::of_prefix(10);
        records.add(20, &bytes(5));
        let list = records.renumbered_list("0a");
        let parse = |list: &[u8], length| {
            let list = Records::parse(list, length)?;
            assert_eq!(list.boot, "0a");
            Some((spans(&list.records), list.is_clean))
        };
        let both = vec![(0, 10), (20, 25)];
        assert_eq!(parse(&list, 25), Some((both.clone(), true)));
        assert_eq!(parse(&list, 24), Some((vec![(0, 10)], false)), "beyond the end");
        assert_eq!(parse(&list[..190], 25), Some((vec![(0, 10)], false)), "truncated");
        let free = [&list[..], &FREE[..]].concat();
        assert_eq!(parse(&free, 25), Some((both.clone(), true)));
        let overlapping = [&list[..], &list[64..128]].concat();
        assert_eq!(parse(&overlapping, 25), Some((both, false)));
        for (at, byte) in [(64, b'z'), (70, b'1'), (100, 0), (110, 255)] {
            let mut list = list.clone();
            list[at] = byte;
            assert_eq!(parse(&list, 25), Some((vec![(20, 25)], false)), "{at}");
        }
        for header in ["", "rpull-ranges 2 0a", "rpull-ranges 1 0a"] {
            assert!(Records::parse(header.as_bytes(), 25).is_none(), "{header}");
        }
        for (start, end) in [(20, 10), (10, 10 + 3 * MAX_RECORD)] {
            let text = format!("{start:016x} {end:016x} 00000000");
            let line = padded(&format!("{text} {:08x}", checksum(text.as_bytes())));
            let list = [&list[..64], &line].concat();
            assert_eq!(parse(&list, u64::MAX), Some((Vec::new(), false)), "{start} {end}");
        }
    }

    proptest! {
        #[test]
        fn records_equal_bitmap_and_survive_their_list(
            steps in proptest::collection::vec((0_u64..60, 1_u64..12), 0..40),
        ) {
            let mut records = Records::default();
            let mut map = [false; 72];
            let mut list = vec![padded("rpull-ranges 1 0").to_vec()];
            for (start, length) in steps {
                let range = start..start + length;
                // A record that is overwritten is forgotten as a whole.
                let covered: Vec<_> = records.by_start.iter().map(|(at, record)| *at..record.end).collect();
                for old in covered.iter().filter(|old| old.start < range.end && range.start < old.end) {
                    old.clone().for_each(|at| map[usize::try_from(at).unwrap()] = false);
                }
                for line in records.remove(&range) {
                    list[line + 1] = FREE.to_vec();
                }
                let (line, text) = records.add(start, &bytes(length)).unwrap();
                list.resize(list.len().max(line + 2), FREE.to_vec());
                list[line + 1] = text.to_vec();
                range.for_each(|at| map[usize::try_from(at).unwrap()] = true);
            }
            let marked = map.iter().filter(|marked| **marked).count() as u64;
            prop_assert_eq!(records.total(), marked);
            for span in records.spans() {
                prop_assert!(span.clone().all(|at| map[usize::try_from(at).unwrap()]));
                prop_assert!(!map[usize::try_from(span.end).unwrap()]);
            }
            let read = Records::parse(&list.concat(), 72).unwrap();
            prop_assert!(read.is_clean);
            prop_assert_eq!(spans(&read.records), spans(&records));
            let sums: Vec<_> = records.checksums().collect();
            prop_assert_eq!(read.records.checksums().collect::<Vec<_>>(), sums);
        }

        #[test]
        fn list_of_any_bytes_is_within_the_partial(
            list in proptest::collection::vec(any::<u8>(), 0..400), length in 0_u64..1000,
        ) {
            let list = [&padded("rpull-ranges 1 0")[..], &list].concat();
            let read = Records::parse(&list, length).unwrap();
            prop_assert!(read.records.spans().all(|span| span.end <= length));
        }
    }
}
