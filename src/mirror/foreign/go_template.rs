//! What regsync fills into texts. Of Go's templates only the actions that its documents show.

use super::options::{Lookup, Outside};

/// Values of the entry that a text belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EntryValues<'a> {
    pub(super) source: &'a str,
    pub(super) kind: &'a str,
}

/// Fills in `{{env "NAME"}}`, `{{file "PATH"}}`, `{{.Sync.Source}}`, `{{.Sync.Type}}`, and a part of one of them:
/// `{{index (split .Sync.Source "/") 1}}`.
///
/// # Errors
/// What is wrong, or not supported.
pub(super) fn expand(
    text: &str,
    entry: EntryValues<'_>,
    outside: &Lookup<'_>,
) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").ok_or("missing `}}`")?;
        expanded.push_str(before);
        expanded.push_str(&value(action, entry, outside)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value(action: &str, entry: EntryValues<'_>, outside: &Lookup<'_>) -> Result<String, String> {
    let unsupported = || format!("the template `{{{{{action}}}}}` is not supported");
    let words = words(action).ok_or_else(unsupported)?;
    let field = |name: &str| match name {
        ".Sync.Source" => Some(entry.source),
        ".Sync.Type" => Some(entry.kind),
        _ => None,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["env", name] => outside(Outside::Env(text(name).ok_or_else(unsupported)?)),
        ["file", path] => outside(Outside::File(text(path).ok_or_else(unsupported)?))
            .map(|content| content.trim_end_matches(['\r', '\n']).to_owned()),
        [name] => field(name).map(str::to_owned).ok_or_else(unsupported),
        ["index", "(", "split", name, separator, ")", number] => {
            let parts = field(name).zip(text(separator)).zip(number.parse::<usize>().ok());
            let ((value, separator), number) = parts.ok_or_else(unsupported)?;
            let part = value.split(separator).nth(number);
            part.map(str::to_owned).ok_or_else(|| format!("`{value}` has no part {number}"))
        }
        _ => Err(unsupported()),
    }
}

/// The text of a word in quotes.
fn text(word: &str) -> Option<&str> {
    word.strip_prefix('"')
}

/// The words of an action; texts keep the quote that they begin with. `None` for a text without end.
fn words(action: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut is_open = false;
    let mut chars = action.trim_matches('-').chars();
    while let Some(char) = chars.next() {
        match char {
            '"' | '`' => {
                let mut text = String::from('"');
                loop {
                    match chars.next()? {
                        end if end == char => break,
                        '\\' if char == '"' => text.push(chars.next()?),
                        other => text.push(other),
                    }
                }
                words.push(text);
                is_open = false;
            }
            '(' | ')' => {
                words.push(char.to_string());
                is_open = false;
            }
            space if space.is_whitespace() => is_open = false,
            other => {
                if let Some(word) = words.last_mut().filter(|_| is_open) {
                    word.push(other);
                } else {
                    words.push(other.to_string());
                    is_open = true;
                }
            }
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let entry = EntryValues { source: "gcr.io/example/repo", kind: "repository" };
        expand(text, entry, &|outside: Outside<'_>| match outside {
            Outside::Env("HUB_USER") => Ok("me".to_owned()),
            Outside::File("/run/token") => Ok("secret\n".to_owned()),
            other => Err(format!("{other:?}")),
        })
    }

    #[test]
    fn go_template_is_filled_in() {
        for (text, expected) in [
            ("plain", "plain"),
            ("{{env \"HUB_USER\"}}", "me"),
            ("a{{- file \"/run/token\" -}}b", "asecretb"),
            ("r.io/hub/{{ .Sync.Source }}", "r.io/hub/gcr.io/example/repo"),
            ("r.io/{{ index (split .Sync.Source \"gcr.io/\") 1 }}:x", "r.io/example/repo:x"),
            ("{{.Sync.Type}}", "repository"),
        ] {
            assert_eq!(expanded(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn unsupported_go_template_is_named() {
        for (text, part) in [
            ("{{.Ref.Tag}}", "`{{.Ref.Tag}}` is not supported"),
            ("{{$t := time.Now}}", "is not supported"),
            ("{{env", "missing `}}`"),
            ("{{env \"a}}", "is not supported"),
            ("{{env HOME}}", "is not supported"),
            ("{{index (split .Sync.Source \"/\") 9}}", "has no part 9"),
            ("{{env \"OTHER\"}}", "OTHER"),
        ] {
            let error = expanded(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
