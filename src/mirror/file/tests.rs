//! Tests of the mirror file.

use serde_json::Value;

use super::*;
use crate::mirror::SCHEMA;

fn parse(text: &str) -> MirrorFile {
    MirrorFile::parse(text, "m.yaml").unwrap()
}

fn tags() -> Vec<String> {
    ["1.0", "1.1", "1.2-rc.1", "2.0", "latest"].map(str::to_owned).to_vec()
}

#[test]
fn mirror_file_fills_in_defaults() {
    let file = parse(
        "defaults:
  to: ['reg.io/m/{{repository}}', 'oci:/srv/{{name}}']
  platforms: [linux/amd64, linux/arm64]
  referrers: true
  deltas: { from: previous }
  immutable: ['v*']
  tags: { latest: 1 }
mirror:
- from: alpine
- from: ghcr.io/org/app:1.2
  to: docker-archive:app.tar
  platforms: linux/amd64
  referrers: false
  digest-tags: true
  deltas: { from: none }
- from: localhost:5000/team/*
  tags: [latest, '1.*']
  platforms: all
  immutable: []
- from: store:app:1
registries:
  reg.io: { connections: 4, requests-per-second: 2.5, ca-file: ca.pem }
  localhost:5000: { plain-http: true }
",
    );
    let [alpine, app, team, stored] = file.entries.as_slice() else { panic!("{file:?}") };
    assert!(matches!(&alpine.from, EntrySource::Repository(repository)
        if repository.to_string() == "docker.io/library/alpine"));
    assert_eq!((alpine.to.len(), alpine.platforms.len(), &*alpine.place), (2, 2, "m.yaml:9"));
    assert!(alpine.referrers && !alpine.digest_tags && alpine.immutable.matches("v1"));
    assert_eq!(alpine.tags.select(&tags()), ["2.0"]);
    assert!(matches!(&app.from, EntrySource::Image(location)
        if location.to_string() == "ghcr.io/org/app:1.2"));
    assert_eq!((app.to.len(), app.platforms.len()), (1, 1));
    assert!(alpine.deltas && !app.deltas && team.deltas);
    assert!(!app.referrers && app.digest_tags && app.tags.only_names().is_none());
    assert!(matches!(&team.from, EntrySource::Repositories { registry, rules }
        if registry == "localhost:5000" && rules.matches("team/a/b")));
    assert_eq!(team.tags.select(&tags()), ["1.0", "1.1", "1.2-rc.1", "latest"]);
    assert!(team.platforms.is_empty() && !team.immutable.matches("v1"));
    assert!(matches!(&stored.from, EntrySource::Image(_)));
    assert_eq!(file.registries["reg.io"].connections, Some(4));
    assert!(file.registries["localhost:5000"].plain_http);
}

#[test]
fn mirror_file_reads_rules_for_tags() {
    for (rules, expected) in [
        ("latest", vec!["latest"]),
        ("['1.0', 2.0]", vec!["1.0", "2.0"]),
        ("{include: '1.*'}", vec!["1.0", "1.1", "1.2-rc.1"]),
        ("{include: [latest], semver: '>=1.1'}", vec!["1.1", "2.0", "latest"]),
        ("{semver: 1.x, prereleases: true, latest: 2}", vec!["1.1", "1.2-rc.1"]),
        ("{include-regex: '^[12]', exclude: '*-rc*', exclude-regex: ['0$']}", vec!["1.1"]),
        ("{created: within 30 days, exclude: '*rc*'}", vec!["1.0", "1.1", "2.0", "latest"]),
        ("{}", vec!["1.0", "1.1", "1.2-rc.1", "2.0", "latest"]),
    ] {
        let file = parse(&format!("mirror: [{{from: a, to: r.io/a, tags: {rules}}}]"));
        assert_eq!(file.entries[0].tags.select(&tags()), expected, "{rules}");
    }
}

#[test]
fn mirror_file_errors_name_file_line_and_key() {
    let entry = |lines: &str| format!("mirror:\n- from: alpine\n  to: reg.io/a\n{lines}");
    for (text, expected) in [
        ("", "1: "),
        ("mirror: [", "1: "),
        ("mirror: x", "1: `mirror`: expected sequence start"),
        ("mirrors: []", "1: unknown field `mirrors`, expected one of defaults, registries, mirror"),
        ("defaults: {}", "1: missing field `mirror`"),
        ("mirror:\n- to: a", "2: missing key `from`"),
        ("mirror:\n- from: a", "2: missing key `to`"),
        ("mirror:\n- from: a\n  to: []", "2: missing target in `to`"),
        ("mirror:\n- from: A\n  to: a", "2: `from`: reference `A`: `A` must be lowercase: `a`"),
        ("mirror:\n- from: a/b/*\n  to: a", "2: `from`: registry `a`: "),
        ("mirror:\n- from: a\n  to: r.io/{{x}}", "3: `to`: `r.io/{{x}}`: unknown placeholder `x`"),
        (&entry("  too: 1"), "4: unknown field `too`, expected one of from, to, tags, "),
        (&entry("  to: a"), "4: `to`: duplicate mapping key: to"),
        (&entry("  referrers: 3"), "4: `referrers`: invalid boolean"),
        (&entry("  deltas: {from: next}"), "4: "),
        (&entry("  platforms: [linux/amd64, what]"), "4: `platforms`: `what`: "),
        (&entry("  platforms:\n  - linux/amd64\n  - a/b/c/d"), "6: `platforms`: `a/b/c/d`: "),
        (
            &entry("  tags: {lates: 1}"),
            "4: `tags`: unknown field `lates`, expected one of include, ",
        ),
        (&entry("  tags:\n    latest: -1"), "5: `latest`: invalid"),
        (&entry("  tags: 1.10"), "4: `tags`: "),
        (&entry("  tags:\n    semver: '>=x'"), "5: `semver`: "),
        (&entry("  tags:\n    created: soon"), "5: `created`: expected a duration such as"),
        (&entry("  tags:\n    include:\n    - 'a['"), "6: `include`: `a[`: invalid range pattern"),
        (&entry("  tags: [a b]"), "4: `tags`: `a b`: neither a tag nor a pattern"),
        (&entry("  tags:\n    exclude-regex: '('"), "5: `exclude-regex`: `(`: "),
        (
            "mirror:\n- from: a:1\n  to: r.io/a\n  tags: [b]",
            "4: `tags`: tags are selected only in a",
        ),
        ("defaults:\n  from: a\nmirror: []", "2: `from`: not allowed in `defaults`"),
        ("registries:\n  a/b: {}\nmirror: []", "2: registry `a/b`: expected a registry only"),
        (
            "registries:\n  a.b: {key-file: k}\nmirror: []",
            "2: `a.b`: `key-file` requires `cert-file`",
        ),
        ("registries:\n  a.b:\n    insecur: true\nmirror: []", "3: unknown field `insecur`"),
    ] {
        let error = MirrorFile::parse(text, "m.yaml").unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::InvalidInput);
        let expected = format!("mirror file: m.yaml:{expected}");
        assert!(error.chain().starts_with(&expected), "{text}\n{}\n{expected}", error.chain());
    }
}

/// Whether the value satisfies a schema, as far as the schema of the file uses the language.
fn is_valid(value: &Value, schema: &Value, root: &Value) -> bool {
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
        return is_valid(value, root.pointer(&pointer[1..]).unwrap(), root);
    }
    let list = |key: &str| schema.get(key).and_then(Value::as_array);
    let is_type = |name: &Value| match name.as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    };
    let is_type = match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is_type),
        name => is_type(name),
    };
    let rest = &schema["additionalProperties"];
    let has_valid_properties = value.as_object().is_none_or(|object| {
        object.iter().all(|(key, value)| match schema["properties"].get(key) {
            Some(own) => is_valid(value, own, root),
            None => *rest != false && (rest.is_null() || is_valid(value, rest, root)),
        })
    });
    let required = list("required").into_iter().flatten();
    is_type
        && list("enum").is_none_or(|values| values.contains(value))
        && list("anyOf").is_none_or(|any| any.iter().any(|one| is_valid(value, one, root)))
        && required.map(|key| key.as_str().unwrap()).all(|key| value.get(key).is_some())
        && has_valid_properties
        && schema.get("items").is_none_or(|items| {
            value.as_array().is_none_or(|all| all.iter().all(|one| is_valid(one, items, root)))
        })
}

#[test]
fn schema_and_file_accept_the_same() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let is_valid = |text: &str| is_valid(&serde_saphyr::from_str(text).unwrap(), &schema, &schema);
    let docs = include_str!("../../../docs/mirror.md");
    let examples: Vec<&str> = docs
        .split("```yaml\n")
        .skip(1)
        .map(|block| block.split_once("```").unwrap().0)
        .filter(|block| block.contains("mirror:"))
        .collect();
    assert!(examples.len() >= 3, "the page has examples");
    for text in examples {
        assert!(is_valid(text), "{text}");
        MirrorFile::parse(text, "docs/mirror.md").unwrap();
    }
    for text in [
        "mirrors: []",
        "defaults: {from: a}\nmirror: []",
        "mirror: [{to: a}]",
        "mirror: [{from: a, too: b}]",
        "mirror: [{from: a, to: r.io/a, referrers: 3}]",
        "mirror: [{from: a, to: r.io/a, deltas: {}}]",
        "mirror: [{from: a, to: r.io/a, deltas: {from: next}}]",
        "mirror: [{from: a, to: r.io/a, tags: {lates: 1}}]",
        "mirror: [{from: a, to: r.io/a, tags: {latest: -1}}]",
        "mirror: []\nregistries: {a.b: {insecur: true}}",
    ] {
        assert!(!is_valid(text) && MirrorFile::parse(text, "m.yaml").is_err(), "{text}");
    }
}
