//! Lines with a bar, which takes the room that the line leaves it.

use std::time::Instant;

use super::chart::bar;
use super::rate::Rate;
use super::size::{percent, size};
use super::text_width::{padded, truncate, width};

/// Columns of two sizes: `999.9 MB/999.9 MB`. They keep the bars of all lines at one length.
const SIZES_WIDTH: usize = 17;

/// Columns of a rate: `999.9 MB/s`.
const RATE_WIDTH: usize = 10;

/// Columns of a remaining time: `59m 59s left`.
const LEFT_WIDTH: usize = 12;

/// The shortest bar that shows something.
const MIN_BAR_WIDTH: usize = 6;

/// The longest bar; a longer one shows no more.
const MAX_BAR_WIDTH: usize = 40;

/// Formats a label, a bar and the sizes for at most `columns`. Without room there is no bar.
pub(super) fn blob_line(label: &str, position: u64, total: u64, columns: usize) -> String {
    let sizes = sizes(position, total);
    let taken = width(label) + SIZES_WIDTH.max(width(&sizes)) + 2;
    let drawn = drawn(position, total, columns.saturating_sub(taken));
    truncate(&format!("{label} {drawn}{sizes}"), columns)
}

/// Formats a label, percent, a bar, sizes, rate and remaining time for at most `columns`: as many of them, in this order, as fit,
/// and then the bar. A `total` of 0 is not known.
pub(super) fn total_line(
    label: &str,
    (position, total): (u64, u64),
    rate: &Rate,
    columns: usize,
) -> String {
    let now = Instant::now();
    let mut head = label.to_owned();
    let mut tail = size(position);
    if total > 0 {
        head = format!("{label} {:>5}", percent(position, total));
        tail = padded(&sizes(position, total), SIZES_WIDTH);
    }
    let left = rate.time_left(total.saturating_sub(position), now).filter(|_| total > 0);
    for (part, columns_of_part) in [(rate.text(now), RATE_WIDTH), (left, LEFT_WIDTH)] {
        // The room is reserved before the part is known, so that the bar keeps its length.
        let part = padded(&part.unwrap_or_default(), columns_of_part);
        if width(&head) + 1 + width(&tail) + 2 + width(&part) <= columns {
            tail = format!("{tail}  {part}");
        }
    }
    let taken = width(&head) + width(&tail) + 2;
    let drawn = drawn(position, total, columns.saturating_sub(taken));
    truncate(format!("{head} {drawn}{tail}").trim_end(), columns)
}

fn sizes(position: u64, total: u64) -> String {
    format!("{}/{}", size(position), size(total))
}

/// A bar in brackets and a space, in at most `room` columns and one for the space; empty if that is too little.
fn drawn(position: u64, total: u64, room: usize) -> String {
    let bar_width = room.saturating_sub(2).min(MAX_BAR_WIDTH);
    if bar_width < MIN_BAR_WIDTH || total == 0 {
        return String::new();
    }
    format!("[{}] ", padded(&bar(&[(position, '=')], total, bar_width), bar_width))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn blob_line_has_bar_where_there_is_room() {
        let line = |columns| blob_line("0123456789ab: downloading", 5_000_000, 10_000_000, columns);
        assert_eq!(line(60), "0123456789ab: downloading [=======       ] 5.0 MB/10.0 MB");
        assert_eq!(line(53), "0123456789ab: downloading [====   ] 5.0 MB/10.0 MB");
        assert_eq!(line(50), "0123456789ab: downloading 5.0 MB/10.0 MB");
        assert_eq!(line(30), "0123456789ab: downloading 5.0…");
        assert_eq!((line(1), line(0)), ("…".into(), String::new()));
        assert!(line(200).contains(&format!("[{}{}]", "=".repeat(20), " ".repeat(20))));
    }

    #[test]
    fn total_line_drops_bar_and_last_parts_first() {
        let mut rate = Rate::default();
        let start = Instant::now().checked_sub(Duration::from_secs(4)).unwrap();
        for step in 0..=16 {
            rate.add(250_000, start + Duration::from_millis(250 * step));
        }
        let line = |columns| total_line("total", (5_000_000, 10_000_000), &rate, columns);
        let wide = line(79);
        assert!(wide.starts_with("total  50 % [=") && wide.ends_with("s left"), "{wide}");
        assert!(wide.contains(" MB/s  "), "{wide}");
        let narrow = line(55);
        assert!(narrow.starts_with("total  50 % 5.0 MB/10.0 MB") && narrow.contains("left"));
        assert_eq!(line(30), "total  50 % 5.0 MB/10.0 MB");
        assert_eq!(line(8), "total  …");
        assert_eq!(line(0), "");
        let unknown = total_line("reading", (5_000_000, 0), &Rate::default(), 79);
        assert_eq!(unknown, "reading 5.0 MB");
    }
}
