//! One line of text or JSON for a file.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cli::size::{plural, size};
use crate::cli::terminal_width::terminal_width;
use crate::cli::text_width::{truncate, truncate_start, width};
use crate::escape;
use crate::insight::files::{Change, FileInfo, Hidden};
use crate::layer::EntryKind;

/// Columns of a name that what follows it leaves on a narrow terminal.
const MIN_NAME_WIDTH: usize = 20;

/// Returns mode, owner, size and name, with what a link points to and the names of attributes, between these texts. A terminal
/// cuts the name first.
pub(super) fn text(
    start: &str,
    name: &str,
    file: &FileInfo<'_>,
    hardlink: Option<&[u8]>,
    end: &str,
) -> String {
    let bytes = match file.kind {
        EntryKind::File => size(file.size),
        EntryKind::Character | EntryKind::Block => {
            format!("{},{}", file.device.major, file.device.minor)
        }
        _ => "-".to_owned(),
    };
    let owner = format!("{}:{}", file.uid, file.gid);
    let head = format!("{start}{}  {owner:>5}  {bytes:>8}  ", mode(file));
    let mut tail = String::new();
    // Writing to a `String` cannot fail.
    if let Some(other) = hardlink {
        _ = write!(tail, " link to {}", shown(other));
    }
    if file.kind == EntryKind::Symlink {
        _ = write!(tail, " -> {}", escape(&String::from_utf8_lossy(file.link)));
    }
    if !file.xattrs.is_empty() {
        let names = file.xattrs.iter().map(|(name, _)| String::from_utf8_lossy(name));
        _ = write!(tail, " [{}]", escape(&names.collect::<Vec<_>>().join(" ")));
    }
    tail.push_str(end);
    fitted(&head, name, &tail, terminal_width())
}

fn fitted(head: &str, name: &str, tail: &str, terminal: Option<usize>) -> String {
    let Some(columns) = terminal else { return format!("{head}{name}{tail}") };
    let room = columns.saturating_sub(width(head));
    let left = room.saturating_sub(width(tail)).max(room.min(MIN_NAME_WIDTH));
    // An indented name of a tree has no directories before it.
    let is_path = name.starts_with('/');
    let name = if is_path { truncate_start(name, left) } else { truncate(name, left) };
    truncate(&format!("{head}{name}{tail}"), columns)
}

/// Returns what a change hides, in brackets; empty if that is nothing.
pub(super) fn hidden_text(change: &Change<'_>) -> String {
    let hidden = all_hidden(change);
    match hidden.files {
        0 => String::new(),
        1 => format!("  (hides {})", size(hidden.bytes)),
        files => format!("  (hides {} in {})", size(hidden.bytes), plural(files, "file")),
    }
}

fn all_hidden(change: &Change<'_>) -> Hidden {
    let mut hidden = change.hidden;
    hidden.add(change.hidden_below);
    hidden
}

/// A path from the root, escaped.
pub(super) fn shown(path: &[u8]) -> String {
    let text = format!("/{}", String::from_utf8_lossy(path));
    escape(&text).into_owned()
}

/// Type and permissions as `ls` shows them.
fn mode(file: &FileInfo<'_>) -> String {
    let kind = match file.kind {
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Character => 'c',
        EntryKind::Block => 'b',
        EntryKind::Fifo => 'p',
        _ => '-',
    };
    let mut text = String::from(kind);
    for (shift, special, letters) in
        [(6, 0o4000, ['s', 'S']), (3, 0o2000, ['s', 'S']), (0, 0o1000, ['t', 'T'])]
    {
        let bits = file.mode >> shift;
        let executable = bits & 1 != 0;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (file.mode & special != 0, executable, letters) {
            (true, true, [both, _]) => both,
            (true, false, [_, alone]) => alone,
            (false, true, _) => 'x',
            (false, false, _) => '-',
        });
    }
    text
}

/// The JSON object for a file of the flattened image.
pub(super) fn file_json(path: &[u8], file: &FileInfo<'_>) -> Value {
    let mut object = Map::new();
    add_path(&mut object, path);
    add_file(&mut object, file);
    object.insert("layer".into(), file.layer.into());
    object.insert("names".into(), file.names.into());
    Value::Object(object)
}

/// The JSON object for a change. A deleted path has the metadata that it had.
pub(super) fn change_json(layer: usize, change: &Change<'_>) -> Value {
    let mut object = Map::new();
    object.insert("layer".into(), layer.into());
    object.insert("change".into(), change.kind.letter().to_string().into());
    add_path(&mut object, change.path);
    if let Some(file) = change.after.or(change.before) {
        add_file(&mut object, &file);
    }
    object.insert(
        "hardlink".into(),
        change.hardlink.map(|path| shown_json(path).into_owned()).into(),
    );
    let hidden = all_hidden(change);
    object.insert("hidden".into(), hidden.bytes.into());
    object.insert("hidden_files".into(), hidden.files.into());
    Value::Object(object)
}

fn shown_json(path: &[u8]) -> Cow<'static, str> {
    format!("/{}", String::from_utf8_lossy(path)).into()
}

pub(super) fn add_path(object: &mut Map<String, Value>, path: &[u8]) {
    object.insert("path".into(), shown_json(path).into());
    if std::str::from_utf8(path).is_err() {
        object.insert("path_base64".into(), STANDARD.encode([b"/", path].concat()).into());
    }
}

/// The name of a type.
pub(super) fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Character => "character",
        EntryKind::Block => "block",
        EntryKind::Fifo => "fifo",
        _ => "file",
    }
}

pub(super) fn add_file(object: &mut Map<String, Value>, file: &FileInfo<'_>) {
    let is_link = file.kind == EntryKind::Symlink;
    let is_device = matches!(file.kind, EntryKind::Character | EntryKind::Block);
    let xattrs = file.xattrs.iter().map(|(name, value)| {
        (String::from_utf8_lossy(name).into_owned(), STANDARD.encode(value).into())
    });
    let fields = [
        ("type", kind_name(file.kind).into()),
        ("mode", format!("{:04o}", file.mode).into()),
        ("uid", file.uid.into()),
        ("gid", file.gid.into()),
        ("size", file.size.into()),
        ("mtime", file.mtime.into()),
        ("link", json!(is_link.then(|| String::from_utf8_lossy(file.link)))),
        ("device", json!(is_device.then_some([file.device.major, file.device.minor]))),
        ("xattrs", Value::Object(xattrs.collect())),
    ];
    object.extend(fields.map(|(key, value)| (key.to_owned(), value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_on_terminal_loses_beginning_of_path_first() {
        let line =
            |columns| fitted("-rw-  ", "/usr/share/doc/copyright", " -> ../x", Some(columns));
        assert_eq!(line(40), "-rw-  /usr/share/doc/copyright -> ../x");
        assert_eq!(line(36), "-rw-  …r/share/doc/copyright -> ../x");
        assert_eq!(line(30), "-rw-  …share/doc/copyright ->…");
        assert_eq!(line(4), "-rw…");
        assert_eq!(fitted("-  ", "    a-long-name", "", Some(12)), "-      a-lo…");
    }
}
