//! Parses the query string of a request.

use hyper::{StatusCode, Uri};
use url::form_urlencoded;

use super::response::ApiError;

/// Query parameters. The first of several with the same name wins, except in [`QueryParams::values`].
#[derive(Debug)]
pub(super) struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    pub(super) fn from_uri(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// Returns the value if it is not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values(key).next().filter(|value| !value.is_empty())
    }

    /// Returns all values of a parameter that may be repeated.
    pub(super) fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Returns `n`, the requested number of entries.
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
