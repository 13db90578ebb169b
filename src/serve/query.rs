//! The words behind the question mark.

use hyper::{StatusCode, Uri};
use url::form_urlencoded;

use super::response::ApiError;

/// What a request asks for in detail. Of a word that comes twice the first counts, unless it may come several times.
#[derive(Debug)]
pub(super) struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    pub(super) fn of(uri: &Uri) -> Self {
        let words = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(words.into_owned().collect())
    }

    /// The value, where it says anything.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values(key).next().filter(|value| !value.is_empty())
    }

    /// Each of the values, where the word may come several times.
    pub(super) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// `n`: how many entries of a list are wanted.
    pub(super) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let invalid = |_| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "PAGINATION_NUMBER_INVALID",
                "`n` must be an integer",
            )
        };
        self.get("n").map(str::parse).transpose().map_err(invalid)
    }
}
