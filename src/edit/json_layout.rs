//! The white space of a JSON text, so that a changed document looks as it did.

/// Longest indentation that is recognized.
const MAX_INDENT: usize = 8;

/// White space as a serializer writes it: nowhere, or one line for each member with this indentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonLayout {
    indent: Option<Vec<u8>>,
}

impl JsonLayout {
    /// The layout of a valid text; `None` if no serializer writes it so.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let indent = match text.get(1) {
            Some(b'\n') => {
                let rest = text.iter().skip(2);
                Some(rest.take_while(|byte| matches!(byte, b' ' | b'\t')).copied().collect())
            }
            _ => None,
        };
        let layout = Self { indent };
        let is_short = layout.indent.as_ref().is_none_or(|indent| indent.len() <= MAX_INDENT);
        (is_short && layout.apply(text) == text).then_some(layout)
    }

    /// The same tokens with this white space between them. The text must be valid.
    pub(super) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut written = Vec::with_capacity(text.len() * 2);
        let (mut depth, mut opened) = (0_usize, false);
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                continue;
            }
            let closes = matches!(byte, b'}' | b']');
            if closes {
                depth = depth.saturating_sub(1);
            }
            // An empty object or list stays on one line.
            if opened != closes {
                self.break_line(depth, &mut written);
            }
            opened = matches!(byte, b'{' | b'[');
            written.push(byte);
            match byte {
                b'"' => copy_string(&mut bytes, &mut written),
                b'{' | b'[' => depth += 1,
                b',' => self.break_line(depth, &mut written),
                b':' if self.indent.is_some() => written.push(b' '),
                _ => {}
            }
        }
        written
    }

    fn break_line(&self, depth: usize, written: &mut Vec<u8>) {
        let Some(indent) = &self.indent else { return };
        written.push(b'\n');
        (0..depth).for_each(|_| written.extend_from_slice(indent));
    }
}

/// Copies a string after its first quote.
fn copy_string(bytes: &mut impl Iterator<Item = u8>, written: &mut Vec<u8>) {
    while let Some(byte) = bytes.next() {
        written.push(byte);
        match byte {
            b'"' => return,
            b'\\' => written.extend(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(layout: &JsonLayout, text: &str) -> String {
        String::from_utf8(layout.apply(text.as_bytes())).unwrap()
    }

    #[test]
    fn layout_of_serializers_is_recognized_and_applied() {
        let compact = r#"{"a":[1,{"b":"x: {\",\\"}],"c":{},"d":[],"e":-1.5e9,"f":[[]]}"#;
        let value: serde_json::Value = serde_json::from_str(compact).unwrap();
        let two = serde_json::to_string_pretty(&value).unwrap();
        // The exponent is written in another way.
        let two = two.replace("-1500000000.0", "-1.5e9");
        let three = two.lines().map(|line| {
            let depth = (line.len() - line.trim_start().len()) / 2;
            format!("{}{}", "   ".repeat(depth), line.trim_start())
        });
        let three = three.collect::<Vec<_>>().join("\n");
        for own in [compact, &two, &three] {
            let layout = JsonLayout::of(own.as_bytes()).unwrap();
            for other in [compact, &two, &three] {
                assert_eq!(text(&layout, other), own);
            }
        }
    }

    #[test]
    fn layout_of_other_texts_is_not_recognized() {
        for other in ["{ \"a\":1}", "{\"a\": 1}", "{\n  \"a\":1\n}", "{\"a\":1}\n", "{\n\n}"] {
            assert_eq!(JsonLayout::of(other.as_bytes()), None, "{other}");
        }
        assert!(JsonLayout::of(b"{}").is_some());
    }
}
