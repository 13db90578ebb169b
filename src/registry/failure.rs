//! Reads what went wrong below HTTP out of reqwest's layers of errors.

use std::error::Error as StdError;
use std::io;

use reqwest::Url;

use super::origin::redact;
use crate::error::{Error, ErrorKind};

/// The error of a request that got no answer, or only a part of one.
///
/// Transient, except where trying again cannot help: a certificate that does not fit, a request that cannot be built.
pub(super) fn unreachable(what: &str, url: &Url, error: reqwest::Error) -> Error {
    let lasting = error.is_builder() || causes(&error).any(|cause| cause.is::<rustls::Error>());
    let built = Error::new(ErrorKind::Transport, what).at(redact(url)).because(reason(&error));
    let built = match causes(&error).find_map(|cause| cause.downcast_ref::<Error>()) {
        // A guard refused the address; its words say more than "dns error".
        Some(refused) => return Error::new(refused.kind(), what).at(redact(url)).because(refused.to_string()),
        None => built,
    };
    if lasting { built } else { built.transient(None) }
}

/// Whether the connection was closed before a byte of the answer came: a pooled one that the server gave up.
pub(super) fn closed_before_answering(error: &reqwest::Error) -> bool {
    !error.is_connect()
        && causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message))
}

/// The innermost cause: the layers above only say "error sending request".
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "no answer in time" }.to_owned();
    }
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The error and everything beneath it; an `io::Error` hides the error it carries from `source`.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |cause| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => cause.source(),
        }
    })
}
