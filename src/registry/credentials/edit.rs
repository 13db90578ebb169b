//! Edits one entry of an auth file's text; everything else keeps its spelling and order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::key::{AuthFileFormat, RepositoryKey};

/// The text with this entry for the registry, replacing the one that a lookup would find.
pub(super) fn with_entry(
    text: &str,
    repository: &RepositoryKey<'_>,
    entry: &str,
) -> serde_json::Result<Zeroizing<String>> {
    let (mut file, mut auths) = parse(text)?;
    let key = &*repository.own_key();
    auths.set(key, entry.to_owned().into());
    while let Some(other) = auths.find(repository).filter(|found| found != key) {
        auths.remove(&other);
    }
    Ok(render(&mut file, &auths))
}

/// The text without the registry's entries; `None` if it has none.
pub(super) fn without_entry(
    text: &str,
    repository: &RepositoryKey<'_>,
) -> serde_json::Result<Option<Zeroizing<String>>> {
    let (mut file, mut auths) = parse(text)?;
    let mut changed = false;
    while let Some(key) = auths.find(repository) {
        auths.remove(&key);
        changed = true;
    }
    Ok(changed.then(|| render(&mut file, &auths)))
}

fn parse(text: &str) -> serde_json::Result<(RawObject<'_>, RawObject<'_>)> {
    let text = if text.trim_ascii().is_empty() { "{}" } else { text };
    let file: RawObject<'_> = serde_json::from_str(text)?;
    let raw = file.0.iter().find(|(key, _)| key == "auths").map(|(_, value)| value);
    let auths = match raw {
        Some(Cow::Borrowed(raw)) => serde_json::from_str::<Option<RawObject<'_>>>(raw)?,
        _ => None,
    };
    Ok((file, auths.unwrap_or_default()))
}

fn render(file: &mut RawObject<'_>, auths: &RawObject<'_>) -> Zeroizing<String> {
    file.set("auths", auths.text(1).into());
    Zeroizing::new(file.text(0) + "\n")
}

/// A JSON object as written: keys in their order, values verbatim.
#[derive(Default)]
struct RawObject<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> RawObject<'a> {
    /// The key that a lookup of the registry would find, or exactly that of the namespace.
    fn find(&self, repository: &RepositoryKey<'_>) -> Option<String> {
        if repository.is_namespace() {
            let own = repository.own_key();
            return self.0.iter().any(|(key, _)| *key == own).then(|| own.into_owned());
        }
        let map = self.0.iter().map(|(key, value)| (key.clone(), value));
        let map: BTreeMap<String, &Cow<'_, str>> = map.collect();
        repository.best_match(&map, AuthFileFormat::Current).map(|(key, _)| key.to_owned())
    }

    fn set(&mut self, key: &str, value: Cow<'a, str>) {
        match self.0.iter_mut().find(|(existing, _)| existing == key) {
            Some((_, existing)) => *existing = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    fn remove(&mut self, key: &str) {
        self.0.retain(|(existing, _)| existing != key);
    }

    /// Indented with tabs, as docker does.
    fn text(&self, depth: usize) -> String {
        let (outer, inner) = ("\t".repeat(depth), "\t".repeat(depth + 1));
        let line = |(key, value): &(String, Cow<'_, str>)| {
            format!("\n{inner}{}: {value}", serde_json::Value::from(key.as_str()))
        };
        match self.0.as_slice() {
            [] => "{}".to_owned(),
            entries => {
                let lines = Zeroizing::new(entries.iter().map(line).collect::<Vec<_>>().join(","));
                format!("{{{}\n{outer}}}", *lines)
            }
        }
    }
}

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawObjectVisitor)
    }
}

struct RawObjectVisitor;

impl<'de> Visitor<'de> for RawObjectVisitor {
    type Value = RawObject<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'de>, A::Error> {
        let mut object = RawObject::default();
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            // Programs disagree on which of two equal keys wins.
            if object.0.iter().any(|(existing, _)| *existing == key) {
                return Err(A::Error::custom("duplicate key"));
            }
            object.0.push((key, Cow::Borrowed(value.get())));
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCKERS: &str = "{\n\t\"auths\": {\n\t\t\"b.example\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t},\n\t\t\"a.example/team\": {}\n\t},\n\t\"HttpHeaders\": {\n\t\t\"User-Agent\": \"x\"\n\t},\n\t\"odd\": [1.50, 1e999, \"\\u00e4\"]\n}\n";

    fn kept(text: &str, registry: &str, entry: &str) -> String {
        with_entry(text, &RepositoryKey::new(registry, ""), entry).unwrap().to_string()
    }

    fn forgotten(text: &str, registry: &str) -> Option<String> {
        without_entry(text, &RepositoryKey::new(registry, "")).unwrap().map(|text| text.to_string())
    }

    #[test]
    fn edit_preserves_docker_config_bytes() {
        let more = kept(DOCKERS, "c.example:5000", "{}");
        let added = "\"a.example/team\": {},\n\t\t\"c.example:5000\": {}";
        assert_eq!(more, DOCKERS.replace("\"a.example/team\": {}", added));
        assert_eq!(forgotten(&more, "c.example:5000").unwrap(), DOCKERS);
        assert_eq!(
            kept(DOCKERS, "b.example", "7"),
            DOCKERS.replace("{\n\t\t\t\"auth\": \"eDp5\"\n\t\t}", "7")
        );
        assert_eq!(forgotten(DOCKERS, "a.example"), None, "the entry of a namespace is another's");
        assert_eq!(forgotten("", "a.example"), None);
    }

    #[test]
    fn edit_docker_hub_uses_index_key() {
        for before in ["", "{}", r#"{"auths":null}"#, r#"{"auths":{"docker.io":{"auth":"eDp5"}}}"#]
        {
            assert_eq!(
                kept(before, "docker.io", "1"),
                "{\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": 1\n\t}\n}\n",
                "an entry that would be found before the new one is gone"
            );
        }
        let desktop = r#"{"auths":{"https://index.docker.io/v1/access-token":{}}}"#;
        assert!(kept(desktop, "docker.io", "1").contains("access-token"));
        let urls =
            r#"{"auths":{"https://h.example/v2/":{},"http://h.example":{},"h.example2":{}}}"#;
        let rest = "{\n\t\"auths\": {\n\t\t\"h.example2\": {}\n\t}\n}\n";
        assert_eq!(forgotten(urls, "h.example").unwrap(), rest);
    }

    #[test]
    fn edit_malformed_file_is_refused() {
        let repository = RepositoryKey::new("h.example", "");
        for bad in ["[", "[]", "7", r#"{"auths":[]}"#, r#"{"auths":{},"auths":{}}"#] {
            assert!(with_entry(bad, &repository, "{}").is_err(), "{bad}");
            assert!(without_entry(bad, &repository).is_err(), "{bad}");
        }
    }

    #[test]
    fn edit_namespace_entry_is_separate() {
        let repository = RepositoryKey::new("b.example", "team");
        let more = with_entry(DOCKERS, &repository, "1").unwrap();
        let added = "\"a.example/team\": {},\n\t\t\"b.example/team\": 1";
        assert_eq!(*more, DOCKERS.replace("\"a.example/team\": {}", added));
        assert_eq!(*without_entry(&more, &repository).unwrap().unwrap(), DOCKERS);
        assert!(without_entry(DOCKERS, &repository).unwrap().is_none(), "the host's entry stays");
    }

    proptest! {
        #[test]
        fn edit_changes_one_entry_only(keys in proptest::collection::vec("[a-c]{1,2}[/.:]?", 0..6), number in any::<i64>()) {
            let mut value = serde_json::json!({"before": number, "auths": {}, "after": {"x": keys}});
            for key in &keys {
                value["auths"][key] = serde_json::json!({"k": key});
            }
            let text = kept(&value.to_string(), "h.example", "{}");
            value["auths"]["h.example"] = serde_json::json!({});
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.to_string(), value.to_string());
        }
    }
}
