//! repositories.json: which name stands for which image.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::digest::Digest;
use crate::json::{Object, null_is_default};
use crate::reference::full_name;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RepositoriesJson {
    #[serde(default, deserialize_with = "null_is_default")]
    repositories: HashMap<String, HashMap<String, Digest>>,
}

/// Full names, with or without the digest of a registry's manifest, and the ids of their images.
#[derive(Debug, Default)]
pub(super) struct Repositories(BTreeMap<String, Digest>);

impl Repositories {
    pub(super) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        let Object(json): Object<RepositoriesJson> = serde_json::from_slice(text)?;
        let names = json.repositories.into_values().flatten();
        Ok(Self(names.map(|(name, id)| (full_name(&name), id)).collect()))
    }

    /// The image with this name, which need not be written out.
    pub(super) fn find(&self, name: &str) -> Option<&Digest> {
        self.0.get(name).or_else(|| self.0.get(&full_name(name)))
    }

    /// The full names of an image, those with a tag first.
    pub(super) fn names_of(&self, id: &Digest) -> Vec<String> {
        let own = self.0.iter().filter(|(_, named)| *named == id);
        let mut names: Vec<String> = own.map(|(name, _)| name.clone()).collect();
        names.sort_by_key(|name| name.contains('@'));
        names
    }

    /// Every name and its image, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.0.iter().map(|(name, id)| (name.as_str(), id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_found_by_short_and_full_name() {
        let id = Digest::sha256(b"config");
        let text = format!(
            r#"{{"Repositories":{{"app":{{"app:1":"{id}","app@{id}":"{id}"}},"reg.example:5000/x":{{"reg.example:5000/x:2":"{id}"}}}}}}"#
        );
        let names = Repositories::parse(text.as_bytes()).unwrap();
        for name in
            ["app:1", "docker.io/library/app:1", &format!("app@{id}"), "reg.example:5000/x:2"]
        {
            assert_eq!(names.find(name), Some(&id), "{name}");
        }
        assert_eq!(names.find("app"), None);
        let of_image = names.names_of(&id);
        assert_eq!(of_image[..2], ["docker.io/library/app:1", "reg.example:5000/x:2"]);
        assert!(of_image[2].contains('@') && of_image.len() == 3);
    }

    #[test]
    fn repositories_of_wrong_shape_are_rejected() {
        for text in
            ["", "[]", r#"{"Repositories":{"a":{"a:1":"sha256:x"}}}"#, r#"{"Repositories":[]}"#]
        {
            assert!(Repositories::parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["{}", r#"{"Repositories":null}"#] {
            assert_eq!(Repositories::parse(text.as_bytes()).unwrap().iter().count(), 0, "{text}");
        }
    }
}
