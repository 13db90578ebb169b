//! Reads what went wrong below HTTP out of reqwest's layers of errors.

use std::error::Error as StdError;
use std::io;

use reqwest::Url;

use super::dns_lookup::LookupFailure;
use super::origin::redact;
use crate::error::{Error, ErrorDetail, ErrorKind};

/// The error of a request that got no answer, or only a part of one.
///
/// Transient, except where trying again cannot help: a certificate that does not fit, an answer that is not HTTP.
pub(in crate::registry) fn request_failed(what: &str, url: &Url, error: reqwest::Error) -> Error {
    // reqwest shows the URL, with its signature, where there is no deeper cause.
    let error = error.without_url();
    let matter = causes(&error).find_map(|cause| match cause.downcast_ref()? {
        rustls::Error::InvalidCertificate(_) => Some(ErrorDetail::UntrustedCertificate),
        rustls::Error::InvalidMessage(_) => Some(ErrorDetail::NotTls),
        _ => None,
    });
    let built = |why: String| {
        Error::new(ErrorKind::Transport, what).at(redact(url)).with_reason(why).with_detail(matter)
    };
    if let Some(refused) = policy_refusal(&error) {
        return built(refused.to_string());
    }
    if error.is_builder() || causes(&error).any(is_permanent) {
        return built(reason(&error));
    }
    built(reason(&error)).transient(None)
}

/// A peer that does not speak TLS or HTTP as it should, or is not who it should be, will not next time either; nor will
/// a name that does not exist.
fn is_permanent(cause: &(dyn StdError + 'static)) -> bool {
    cause.is::<rustls::Error>()
        || cause.downcast_ref() == Some(&LookupFailure::NotFound)
        || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
}

/// The words of a guard that refused the address, which say more than "dns error".
pub(in crate::registry) fn policy_refusal(error: &reqwest::Error) -> Option<&Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether the connection was closed before a byte of the answer came: a pooled one that the server gave up.
pub(in crate::registry) fn closed_before_answering(error: &reqwest::Error) -> bool {
    !error.is_connect()
        && causes(error).any(|cause| {
            cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
        })
}

/// The innermost cause: the layers above only say "error sending request".
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "no response in time" }
            .to_owned();
    }
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The error and everything beneath it; an `io::Error` hides the error it carries from `source`.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let first: &'a (dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |cause| beneath(*cause))
}

fn beneath<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => cause.source(),
    }
}
