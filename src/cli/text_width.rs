//! The columns that text takes on a terminal, and cutting it to a number of them.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Returns the columns that the text takes: two for most East Asian characters, none for combining ones.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Appends spaces to the text up to `columns`.
pub(super) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Cuts text to `columns`, with an ellipsis.
pub(super) fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut room = columns - 1;
    let kept: String = text.chars().take_while(|c| fits(*c, &mut room)).collect();
    format!("{kept}…")
}

/// Cuts a name to `columns`, with an ellipsis before its end, which tells more than its beginning.
pub(super) fn truncate_start(name: &str, columns: usize) -> String {
    if width(name) <= columns {
        return name.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut room = columns - 1;
    let kept: Vec<char> = name.chars().rev().take_while(|c| fits(*c, &mut room)).collect();
    format!("…{}", kept.iter().rev().collect::<String>())
}

/// Takes the character's columns from the room; returns whether there were enough.
fn fits(character: char, room: &mut usize) -> bool {
    let rest = room.checked_sub(character.width().unwrap_or_default());
    *room = rest.unwrap_or_default();
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_columns() {
        assert_eq!((truncate("abcdef", 4), truncate("abc", 3)), ("abc…".into(), "abc".into()));
        assert_eq!((truncate("abc", 1), truncate("abc", 0)), ("…".into(), String::new()));
        assert_eq!(truncate("層層層", 4), "層…", "each takes two columns");
        assert_eq!(truncate("e\u{301}abc", 3), "e\u{301}a…", "an accent takes none");
    }

    #[test]
    fn name_keeps_its_end_when_cut() {
        assert_eq!(truncate_start("abcdef", 4), "…def");
        assert_eq!(truncate_start("/usr/share/doc", 8), "…are/doc");
        assert_eq!(truncate_start("/a", 8), "/a");
        assert_eq!(truncate_start("層層層", 4), "…層");
        assert_eq!(truncate_start("abc", 0), "");
    }
}
