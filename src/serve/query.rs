//! The words behind the question mark.

use std::collections::HashMap;

use hyper::{StatusCode, Uri};
use url::form_urlencoded;

use super::answer::Fault;

/// What a request asks for in detail. Of a word that comes twice the first counts.
#[derive(Debug)]
pub(super) struct Query(HashMap<String, String>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let mut words = HashMap::new();
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            words.entry(key.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(words)
    }

    /// The value, where it says anything.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `n`: how many entries of a list are wanted.
    pub(super) fn limit(&self) -> Result<Option<usize>, Fault> {
        let invalid = |_| {
            Fault::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", "n is a whole number")
        };
        self.get("n").map(str::parse).transpose().map_err(invalid)
    }
}
