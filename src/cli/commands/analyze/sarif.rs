//! An analysis as SARIF 2.1.0, for tools that show findings of many programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::result::AnalyzedImage;
use crate::insight::analyze::{Finding, Rule};

/// Maximum locations of a result.
const MAX_LOCATIONS: usize = 20;

/// Returns the log of one run.
pub(super) fn sarif(image: &AnalyzedImage) -> Value {
    let rules: Vec<_> = Rule::ALL.iter().map(|rule| rule_json(*rule)).collect();
    let results = image.analysis.findings.iter().map(|finding| result(finding, image));
    let driver = json!({
        "name": "rpull",
        "version": env!("CARGO_PKG_VERSION"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
            "properties": {
                "image": image.reference,
                "digest": image.digest,
                "platform": image.platform,
                "efficiency": image.analysis.efficiency,
                "wastedBytes": image.analysis.wasted.bytes,
            },
        }],
    })
}

fn rule_json(rule: Rule) -> Value {
    json!({
        "id": rule.id(),
        "shortDescription": {"text": rule.summary()},
        "defaultConfiguration": {"level": rule.severity().name()},
    })
}

fn result(finding: &Finding, image: &AnalyzedImage) -> Value {
    let place = match finding.layer {
        Some(layer) => format!("layer {layer} ({})", finding.command),
        None => image.reference.clone(),
    };
    let mut locations: Vec<_> = finding
        .paths
        .iter()
        .take(MAX_LOCATIONS)
        .map(|path| location(&path.path, finding))
        .collect();
    if locations.is_empty() {
        locations.push(location(&image.reference, finding));
    }
    let index = Rule::ALL.iter().position(|rule| *rule == finding.rule);
    json!({
        "ruleId": finding.rule.id(),
        "ruleIndex": index,
        "level": finding.severity.name(),
        "message": {"text": format!("{place}: {}. Tip: {}.", finding.message, finding.tip)},
        "locations": locations,
        "properties": {
            "layer": finding.layer,
            "digest": finding.digest,
            "command": finding.command,
            "bytes": finding.bytes,
            "files": finding.files,
        },
    })
}

fn location(path: &str, finding: &Finding) -> Value {
    let mut location = json!({"physicalLocation": {"artifactLocation": {"uri": uri(path)}}});
    if let (Some(digest), Some(object)) = (&finding.digest, location.as_object_mut()) {
        let layer = json!([{"fullyQualifiedName": digest, "kind": "module"}]);
        object.insert("logicalLocations".to_owned(), layer);
    }
    location
}

/// Returns a relative URI reference: everything but unreserved characters and slashes is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_escaped_for_uri() {
        assert_eq!(uri("usr/bin/[a b]é%"), "usr/bin/%5Ba%20b%5D%C3%A9%25");
    }
}
