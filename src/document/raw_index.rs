//! Edits the entries of an index and changes nothing else.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::descriptor::Descriptor;
use crate::json::{Object, UniqueKeys};

const MANIFESTS: &str = "manifests";

/// The members of an index, unparsed and in their order. Unchanged ones are written as they were read, including unknown ones,
/// except for white space between members.
#[derive(Debug)]
pub(crate) struct RawIndex {
    /// The entries.
    pub(crate) manifests: Vec<Box<RawValue>>,
    /// Number of members before `manifests`; `None` without such a member.
    position: Option<usize>,
    /// Whether `manifests` was `null`.
    is_null: bool,
    others: Vec<(String, Box<RawValue>)>,
}

impl RawIndex {
    /// # Errors
    /// For anything but an object of `schemaVersion` 2 whose keys are unique for all readers, and whose `manifests` is a list,
    /// `null` or missing. The entries are not checked.
    pub(crate) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        let UniqueKeys(mut others) = serde_json::from_slice(text)?;
        let position = others.iter().position(|(key, _)| key == MANIFESTS);
        let listed = position.map(|position| others.remove(position).1);
        let is_two =
            |(key, value): &(String, Box<RawValue>)| key == "schemaVersion" && value.get() == "2";
        if !others.iter().any(is_two) {
            return Err(serde::de::Error::custom("schemaVersion is not 2"));
        }
        let is_null = listed.as_ref().is_some_and(|listed| listed.get() == "null");
        let manifests = match listed {
            Some(listed) if !is_null => serde_json::from_str(listed.get())?,
            _ => Vec::new(),
        };
        Ok(Self { manifests, position, is_null, others })
    }

    /// Whether it has a member `manifests`, with any value.
    pub(crate) fn has_manifests(&self) -> bool {
        self.position.is_some()
    }

    /// Whether `manifests` was `null`, as Go writes an empty list.
    pub(crate) fn is_null(&self) -> bool {
        self.is_null
    }

    /// Returns the bytes to write.
    pub(crate) fn to_vec(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

impl Serialize for RawIndex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (before, after) = self.others.split_at(self.position.unwrap_or(self.others.len()));
        let mut map = serializer.serialize_map(Some(self.others.len() + 1))?;
        for (key, value) in before {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry(MANIFESTS, &self.manifests)?;
        for (key, value) in after {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Parses an entry of an index.
pub(crate) fn parse_entry(entry: &RawValue) -> serde_json::Result<Descriptor> {
    serde_json::from_str(entry.get()).map(|Object(descriptor)| descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_index_unchanged_is_written_as_found() {
        for text in [
            r#"{"schemaVersion":2,"x":[1,  2e0],"manifests":[{"strange" : 1.0},"text"],"annotations":{"b":"","a":""}}"#,
            r#"{"manifests":[],"schemaVersion":2}"#,
        ] {
            let index = RawIndex::parse(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(index.to_vec().unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn raw_index_without_list_gets_one() {
        for (text, written) in [
            (r#"{"manifests":null,"schemaVersion":2}"#, r#"{"manifests":[1],"schemaVersion":2}"#),
            (r#"{"schemaVersion":2}"#, r#"{"schemaVersion":2,"manifests":[1]}"#),
        ] {
            let mut index = RawIndex::parse(text.as_bytes()).unwrap();
            assert_eq!(
                (index.has_manifests(), index.is_null()),
                (text.contains("null"), text.contains("null"))
            );
            index.manifests.push(RawValue::from_string("1".into()).unwrap());
            assert_eq!(String::from_utf8(index.to_vec().unwrap()).unwrap(), written);
        }
    }

    #[test]
    fn raw_index_ambiguous_is_error() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"schemaVersion":1,"manifests":[]}"#,
            r#"{"schemaVersion":2,"manifests":{}}"#,
            r#"{"schemaVersion":2,"manifests":[],"Manifests":[]}"#,
            r#"{"schemaVersion":2,"a":1,"a":1}"#,
        ] {
            assert!(RawIndex::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
