//! Sends blobs, whole or in part.

use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_RANGE, RANGE,
};
use hyper::{Method, StatusCode};

use super::answer::{Answer, DIGEST, Fault, set, with_bytes, with_stream};
use super::range::{Wanted, wanted};
use super::text;
use crate::content::{ByteStream, Source as _};
use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::layout::Layout;

pub(super) async fn get(
    layout: &Layout,
    digest: &Digest,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Answer, Fault> {
    let descriptor = layout.stat(digest).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => unknown(digest),
        _ => error.into(),
    })?;
    let (size, tag) = (descriptor.size, format!("\"{digest}\""));
    let is_same = text(headers, IF_RANGE).is_none_or(|held| held == tag);
    // RFC 9110, 14.2: only GET has ranges.
    let asked = text(headers, RANGE).filter(|_| is_same && method == Method::GET);
    let wanted = wanted(asked, size);
    let (status, range) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let why = format!("the blob has {size} bytes");
            let fault = Fault::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", why);
            return Err(fault.with(CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let length = range.end - range.start;
    let mut answer = if method == Method::HEAD || length == 0 {
        let mut answer = with_bytes(status, "");
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
        answer
    } else {
        let body = layout.blob(&descriptor, range.start).await?;
        with_stream(status, length, first(body.stream, length))
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end - 1;
        set(&mut answer, CONTENT_RANGE, format!("bytes {}-{last}/{size}", range.start));
    }
    set(&mut answer, DIGEST, digest.as_str());
    set(&mut answer, ETAG, tag);
    let headers = answer.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(answer)
}

pub(super) fn unknown(digest: &Digest) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("blob {digest} is not here"))
}

/// So many bytes of a stream that has more.
fn first(stream: ByteStream<'static>, length: u64) -> ByteStream<'static> {
    Box::pin(futures_util::stream::try_unfold((stream, length), |(mut stream, left)| async move {
        use futures_util::TryStreamExt as _;
        if left == 0 {
            return Ok(None);
        }
        let Some(mut piece) = stream.try_next().await? else { return Ok(None) };
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - piece.len() as u64;
        Ok(Some((piece, (stream, left))))
    }))
}
