//! Values of the `Authorization` header, marked sensitive so that no log shows them.

use reqwest::header::HeaderValue;

use crate::error::{Error, ErrorKind, Result};
use crate::registry::credentials;
use crate::registry::http::request::Request;
use crate::secret::Secret;

pub(super) fn basic_header(
    user: &str,
    password: &Secret,
    request: &Request<'_>,
) -> Result<HeaderValue> {
    sensitive(&format!("Basic {}", credentials::pair(user, password).expose()), request)
}

pub(super) fn bearer_header(token: &Secret, request: &Request<'_>) -> Result<HeaderValue> {
    sensitive(&format!("Bearer {}", token.expose()), request)
}

fn sensitive(text: &str, request: &Request<'_>) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::new(ErrorKind::Denied, request.what)
            .with_reason("the credential has characters that are not allowed in a header")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
