//! A JSON object of which some members are changed.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::json::{UniqueKeys, case_folded};

/// Members in their order, as they were read. Keys are compared as Go does, so that a change affects what all clients read.
#[derive(Clone, Debug, Default)]
pub(super) struct EditedObject(Vec<(String, Box<RawValue>)>);

impl EditedObject {
    /// `what` is named in errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] for anything but an object with unique keys.
    pub(super) fn parse(what: &str, text: &[u8]) -> Result<Self> {
        let UniqueKeys(members) =
            serde_json::from_slice(text).map_err(|error| malformed(what, error))?;
        Ok(Self(members))
    }

    fn get(&self, key: &str) -> Option<&RawValue> {
        let folded = case_folded(key);
        let found = self.0.iter().find(|(own, _)| case_folded(own) == folded);
        found.map(|(_, value)| &**value).filter(|value| value.get() != "null")
    }

    /// Whether there is a member with this key that is not `null`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The object with this key, empty if the key is missing.
    pub(super) fn object(&self, key: &str) -> Result<Self> {
        self.get(key).map_or_else(|| Ok(Self::default()), |value| Self::of(key, value))
    }

    /// The object of a value.
    pub(super) fn of(what: &str, value: &RawValue) -> Result<Self> {
        Self::parse(what, value.get().as_bytes())
    }

    /// The values of the list with this key, empty if the key is missing.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Box<RawValue>>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        serde_json::from_str(value.get()).map_err(|error| malformed(key, error))
    }

    /// The text with this key.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        let parse = |value: &RawValue| serde_json::from_str(value.get());
        self.get(key).map(parse).transpose().map_err(|error| malformed(key, error))
    }

    /// The texts of the list with this key, empty if the key is missing.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>> {
        let text = |value: Box<RawValue>| {
            serde_json::from_str(value.get()).map_err(|error| malformed(key, error))
        };
        self.list(key)?.into_iter().map(text).collect()
    }

    /// Sets a member; an existing one of this name keeps its position.
    pub(super) fn set(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let value = raw(key, value)?;
        let folded = case_folded(key);
        match self.0.iter_mut().find(|(own, _)| case_folded(own) == folded) {
            Some((_, existing)) => *existing = value,
            None => self.0.push((key.to_owned(), value)),
        }
        Ok(())
    }

    /// Sets members of the map with this key, which is created if missing. Its keys are data: two that differ in case are
    /// two.
    pub(super) fn extend(
        &mut self,
        key: &str,
        members: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<()> {
        let mut map: Map<String, Value> = match self.get(key) {
            Some(value) => {
                serde_json::from_str(value.get()).map_err(|error| malformed(key, error))?
            }
            None => Map::new(),
        };
        map.extend(members);
        self.set(key, &map)
    }

    /// Removes members of the map with this key, and the map if it is empty then.
    pub(super) fn remove_members(&mut self, key: &str, members: &[&str]) -> Result<()> {
        let Some(value) = self.get(key) else { return Ok(()) };
        let map: Map<String, Value> =
            serde_json::from_str(value.get()).map_err(|error| malformed(key, error))?;
        if !members.iter().any(|member| map.contains_key(*member)) {
            return Ok(());
        }
        let is_kept = |(member, _): &(String, Value)| !members.contains(&member.as_str());
        let kept: Map<String, Value> = map.into_iter().filter(is_kept).collect();
        if kept.is_empty() {
            self.remove(key);
            return Ok(());
        }
        self.set(key, &kept)
    }

    pub(super) fn remove(&mut self, key: &str) {
        let folded = case_folded(key);
        self.0.retain(|(own, _)| case_folded(own) != folded);
    }

    /// Returns the bytes to write.
    pub(super) fn to_vec(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| malformed("document", error))
    }
}

/// The text of a value.
pub(super) fn raw(what: &str, value: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>> {
    to_raw_value(value).map_err(|error| malformed(what, error))
}

fn malformed(what: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::InvalidDocument, what).with_reason("malformed").with_source(error)
}

impl Serialize for EditedObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_members_keep_text_and_order() {
        let text = r#"{"z":1e999,"config":{"cmd":["a"],"X":[1.50]},"a":"ä","b":null}"#;
        let mut object = EditedObject::parse("x", text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(object.to_vec().unwrap()).unwrap(), text);
        let mut config = object.object("config").unwrap();
        config.set("Cmd", &["b"]).unwrap();
        config.set("New", &1).unwrap();
        object.set("config", &config).unwrap();
        object.remove("A");
        let expected = r#"{"z":1e999,"config":{"cmd":["b"],"X":[1.50],"New":1},"b":null}"#;
        assert_eq!(String::from_utf8(object.to_vec().unwrap()).unwrap(), expected);
        assert!(object.object("b").unwrap().to_vec().unwrap() == b"{}");
        assert_eq!(config.texts("CMD").unwrap(), ["b"]);
    }

    #[test]
    fn map_without_members_is_removed() {
        let mut object = EditedObject::parse("x", br#"{"a":1,"m":{"b":"1","c":"2"}}"#).unwrap();
        object.remove_members("m", &["x"]).unwrap();
        object.remove_members("m", &["b", "x"]).unwrap();
        assert_eq!(object.to_vec().unwrap(), br#"{"a":1,"m":{"c":"2"}}"#);
        object.remove_members("m", &["c"]).unwrap();
        object.remove_members("m", &["c"]).unwrap();
        assert_eq!(object.to_vec().unwrap(), br#"{"a":1}"#);
    }

    #[test]
    fn ambiguous_or_wrong_members_are_refused() {
        for text in ["", "[]", r#"{"a":1,"A":2}"#] {
            let refused = EditedObject::parse("x", text.as_bytes()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidDocument);
        }
        let object = EditedObject::parse("x", br#"{"a":1,"b":[1]}"#).unwrap();
        assert!(object.object("a").is_err() && object.list("a").is_err());
        assert!(object.texts("b").is_err());
    }

    #[test]
    fn map_keys_of_other_case_are_two() {
        let mut object = EditedObject::parse("x", br#"{"m":{"a":"1"}}"#).unwrap();
        object.extend("m", [("A".to_owned(), "2".into()), ("a".to_owned(), "3".into())]).unwrap();
        object.extend("n", [("b".to_owned(), "4".into())]).unwrap();
        let expected = br#"{"m":{"a":"3","A":"2"},"n":{"b":"4"}}"#;
        assert_eq!(object.to_vec().unwrap(), expected);
    }
}
