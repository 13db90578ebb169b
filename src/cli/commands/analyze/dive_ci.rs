//! Rules of a `.dive-ci` file, as dive documents them.
//!
//! Only that form is read: the key `rules` with up to three rules below it, each a number, a size or `disabled`. Anything
//! else is an error, because a rule that is not understood must not seem to be kept.

use crate::cli::size::parse_size;
use crate::error::{Error, ErrorKind, Result};
use crate::insight::analyze::limits::AnalysisLimits;

/// Parses a file; `name` is its name in errors. A rule that is missing has dive's default.
pub(super) fn parse(text: &str, name: &str) -> Result<AnalysisLimits> {
    let mut limits = AnalysisLimits {
        min_efficiency: Some(0.9),
        max_dive_user_wasted: Some(0.1),
        ..AnalysisLimits::default()
    };
    let (mut in_rules, mut seen) = (false, Vec::new());
    for (number, line) in text.lines().enumerate() {
        let invalid = |reason: &str| {
            let what = format!("{name}: line {}", number + 1);
            Error::new(ErrorKind::InvalidInput, what).with_reason(reason)
        };
        let content = without_comment(line).trim_end();
        if content.is_empty() || content == "---" {
            continue;
        }
        let (key, value) =
            content.split_once(':').ok_or_else(|| invalid("expected `key: value`"))?;
        let (rule, value) = (key.trim_start_matches(' '), unquoted(value.trim()));
        let is_indented = rule.len() < key.len();
        if !is_indented && rule == "rules" && value.is_empty() && !in_rules {
            in_rules = true;
            continue;
        }
        if !is_indented || !in_rules {
            return Err(invalid("expected rules below `rules:`"));
        }
        if seen.contains(&rule) {
            return Err(invalid("duplicate rule"));
        }
        seen.push(rule);
        set(&mut limits, rule, value).map_err(|reason| invalid(&reason))?;
    }
    Ok(limits)
}

fn set(limits: &mut AnalysisLimits, rule: &str, value: &str) -> std::result::Result<(), String> {
    let is_disabled =
        matches!(value.to_ascii_lowercase().as_str(), "" | "disabled" | "off" | "false");
    let ratio = || match value.parse::<f64>() {
        _ if is_disabled => Ok(None),
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Some(ratio)),
        _ => Err(format!("invalid {rule} `{value}`, expected a ratio from 0 to 1")),
    };
    match rule {
        "lowestEfficiency" => limits.min_efficiency = ratio()?,
        "highestUserWastedPercent" => limits.max_dive_user_wasted = ratio()?,
        "highestWastedBytes" if is_disabled => limits.max_dive_wasted_bytes = None,
        "highestWastedBytes" => {
            let bytes = parse_size(value);
            let invalid = || format!("invalid {rule} `{value}`, expected a size such as 20MB");
            limits.max_dive_wasted_bytes = Some(bytes.ok_or_else(invalid)?);
        }
        _ => return Err(format!("unknown rule `{rule}`")),
    }
    Ok(())
}

/// A comment begins at the start of a line or after a space.
fn without_comment(line: &str) -> &str {
    let line = line.strip_prefix('#').map_or(line, |_| "");
    line.find(" #").and_then(|at| line.get(..at)).unwrap_or(line)
}

fn unquoted(value: &str) -> &str {
    let inside = |quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dive_rules_are_parsed_as_documented() {
        let text = "# comment\n---\nrules:\n  # If the efficiency\n  lowestEfficiency: 0.95\n\n  highestWastedBytes: 20MB # much\r\n  highestUserWastedPercent: \"0.20\"\n";
        let limits = parse(text, ".dive-ci").unwrap();
        assert_eq!(limits.min_efficiency, Some(0.95));
        assert_eq!(limits.max_dive_wasted_bytes, Some(20_000_000));
        assert_eq!(limits.max_dive_user_wasted, Some(0.2));
        assert_eq!(limits.max_waste, None);
    }

    #[test]
    fn missing_dive_rules_have_defaults() {
        for text in ["", "rules:\n", "rules:\n  highestWastedBytes: disabled\n"] {
            let limits = parse(text, ".dive-ci").unwrap();
            assert_eq!(limits.min_efficiency, Some(0.9), "{text}");
            assert_eq!(limits.max_dive_wasted_bytes, None);
            assert_eq!(limits.max_dive_user_wasted, Some(0.1));
        }
        let off = "rules:\n  lowestEfficiency: disabled\n  highestUserWastedPercent: false\n";
        assert_eq!(parse(off, "").unwrap(), AnalysisLimits::default());
    }

    #[test]
    fn dive_rules_not_understood_are_errors() {
        for (text, reason) in [
            ("rules: {lowestEfficiency: 0.9}", "below `rules:`"),
            ("lowestEfficiency: 0.9", "below `rules:`"),
            ("rules:\n  lowestEfficiency: 95", "from 0 to 1"),
            ("rules:\n  lowestEfficiency: 0.9\n  lowestEfficiency: 0.8", "duplicate"),
            ("rules:\n  highestWastedBytes: many", "a size"),
            ("rules:\n  fastest: 1", "unknown rule `fastest`"),
            ("rules:\n  - lowestEfficiency", "key: value"),
            ("rules:\n\tlowestEfficiency: 1", "below `rules:`"),
        ] {
            let error = parse(text, ".dive-ci").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.chain().contains(reason), "{text}: {}", error.chain());
        }
    }
}
