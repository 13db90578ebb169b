//! Finds the cause of a failure below HTTP in reqwest's chain of errors.

use std::error::Error as StdError;
use std::io;

use h2::Reason;
use reqwest::Url;

use super::dns_lookup::LookupFailure;
use super::origin::redact;
use super::tls::is_ca;
use crate::error::{Error, ErrorDetail, ErrorKind};

/// The error of a request that got no response, or only a part of one.
///
/// Transient, unless a retry cannot help: an untrusted certificate, a response that is not HTTP.
pub(in crate::registry) fn request_failed(what: &str, url: &Url, error: reqwest::Error) -> Error {
    // reqwest shows the URL, with its signature, if there is no deeper cause.
    let error = error.without_url();
    let detail = causes(&error).find_map(|cause| match cause.downcast_ref()? {
        rustls::Error::InvalidCertificate(_) => Some(ErrorDetail::UntrustedCertificate),
        rustls::Error::InvalidMessage(_) => Some(ErrorDetail::NotTls),
        _ => None,
    });
    let detail = detail.or_else(|| causes(&error).find_map(unreachable));
    let error_with = |reason: String| {
        Error::new(ErrorKind::Transport, what)
            .at(redact(url))
            .with_reason(reason)
            .with_detail(detail)
    };
    if let Some(refused) = policy_refusal(&error) {
        return error_with(refused.to_string());
    }
    if error.is_builder() || causes(&error).any(is_permanent) {
        return error_with(reason(&error));
    }
    error_with(reason(&error)).transient(None)
}

/// Why there was no connection, where the address is the likely fault.
fn unreachable(cause: &(dyn StdError + 'static)) -> Option<ErrorDetail> {
    if cause.downcast_ref() == Some(&LookupFailure::NotFound) {
        return Some(ErrorDetail::HostNotFound);
    }
    let error = cause.downcast_ref::<io::Error>()?;
    (error.kind() == io::ErrorKind::ConnectionRefused).then_some(ErrorDetail::ConnectionRefused)
}

/// A peer that does not speak TLS or HTTP correctly or has the wrong identity fails again, as does a name that does not
/// exist.
fn is_permanent(cause: &(dyn StdError + 'static)) -> bool {
    cause.is::<rustls::Error>()
        || cause.downcast_ref() == Some(&LookupFailure::NotFound)
        || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
}

/// The error of the resolver that rejected the address, which says more than "dns error".
pub(in crate::registry) fn policy_refusal(error: &reqwest::Error) -> Option<&Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether the connection was closed before the first byte of the response: the server had given up a pooled one.
pub(in crate::registry) fn closed_before_answering(error: &reqwest::Error) -> bool {
    !error.is_connect()
        && causes(error).any(|cause| {
            cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
        })
}

/// Whether the server says that it has not begun to process the request, which may then be sent again whatever it is (RFC 9113,
/// 8.7).
pub(in crate::registry) fn is_unprocessed(error: &reqwest::Error) -> bool {
    http2_error(error).is_some_and(|error| {
        error.is_remote()
            && match error.reason() {
                Some(Reason::NO_ERROR) => error.is_go_away(),
                Some(Reason::REFUSED_STREAM) => error.is_reset(),
                _ => false,
            }
    })
}

/// Whether HTTP/2 itself failed, and neither the connection beneath it nor for now.
pub(in crate::registry) fn is_http2_failure(error: &reqwest::Error) -> bool {
    http2_error(error).is_some_and(|error| !error.is_io()) && !is_unprocessed(error)
}

fn http2_error(error: &reqwest::Error) -> Option<&h2::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The innermost cause: the outer layers only say "error sending request".
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "no response in time" }
            .to_owned();
    }
    if causes(error).any(|cause| cause.downcast_ref().is_some_and(is_ca)) {
        return "invalid peer certificate: self-signed, or otherwise of a CA and not of a server"
            .to_owned();
    }
    let reason = causes(error).last().map(ToString::to_string).unwrap_or_default();
    // The number says nothing that the words do not.
    reason.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// The error and all its causes; an `io::Error` hides the error it carries from `source`.
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
