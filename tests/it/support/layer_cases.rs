//! Reads the tables in `tests/layers`: layers and their expected result.

use super::tar_item::TarItem;

/// One case: its lines, split into words.
pub(crate) struct Case<'a> {
    pub(crate) id: &'a str,
    pub(crate) lines: Vec<Vec<&'a str>>,
}

pub(crate) fn cases(table: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<_> = line.split('\t').collect();
        match words[0] {
            "case" => cases.push(Case { id: words[1], lines: Vec::new() }),
            _ => cases.last_mut().unwrap().lines.push(words),
        }
    }
    cases
}

/// Returns the entry that a line describes; `None` for other lines.
pub(crate) fn item(words: &[&str]) -> Option<TarItem> {
    Some(match words {
        ["dir", name, mode] => TarItem::dir(name).mode(u32::from_str_radix(mode, 8).unwrap()),
        ["file", name, mode, content] => {
            TarItem::file(name, content).mode(u32::from_str_radix(mode, 8).unwrap())
        }
        ["symlink", name, target] => TarItem::symlink(name, target),
        ["hardlink", name, target] => TarItem::hardlink(name, target),
        ["hardlink", name, target, uid] => {
            TarItem::hardlink(name, target).owner(uid.parse().unwrap(), 0)
        }
        _ => return None,
    })
}
