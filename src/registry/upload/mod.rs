//! Starts blob uploads: one request checks for the blob, mounts it or opens a session; a [`UploadSession`] sends the
//! bytes.
//!
//! A mount whose `from` is the target repository itself checks and opens in one request: 201 if the blob exists,
//! otherwise the session that a plain POST would have opened. Spec: distribution-spec "Pushing blobs" and "Mounting a
//! blob".

mod cancel;
mod location;
mod session;
mod state;

use std::sync::Arc;

use reqwest::{Method, StatusCode, Url};

use self::location::{UploadLocation, open};
use self::session::UploadSession;
pub(super) use self::state::UploadState;

use super::Repository;
use crate::content::{OpenBlobOptions, Opened, UploadStore};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::registry::http::counter::RequestKind;
use crate::registry::http::error_body::requests_backoff;
use crate::registry::http::request::Request;

/// Starts the upload of a blob, unless the registry has or mounts it.
pub(super) async fn open_blob(
    repository: &Repository,
    state: &Arc<UploadState>,
    descriptor: &Descriptor,
    options: &OpenBlobOptions,
) -> Result<Opened> {
    descriptor.digest.algorithm()?;
    let digest = &descriptor.digest;
    let session = |location| {
        let session =
            UploadSession::new(repository.clone(), Arc::clone(state), descriptor.clone(), location);
        Ok(Opened::Writer(Box::new(session)))
    };
    if let Some(location) = state.take_redirect(digest) {
        return session(location);
    }
    if let Some(location) = resume_session(repository, descriptor).await? {
        return session(location);
    }
    if options.resend {
        return session(open(repository, digest).await?);
    }
    let other = options.mount_from.as_ref().filter(|from| !state.refuses_mounts(from));
    let from = other.unwrap_or(&repository.name);
    session(match mount(repository, digest, from).await? {
        MountResult::Mounted if *from == repository.name => return Ok(Opened::Exists),
        MountResult::Mounted => return Ok(Opened::Mounted { from: from.clone() }),
        MountResult::Session(location) => location,
        MountResult::Refused => {
            if other.is_some() {
                state.refuse_mounts(from);
            }
            open(repository, digest).await?
        }
    })
}

enum MountResult {
    Mounted,
    /// Not mounted; the registry opened a session instead.
    Session(UploadLocation),
    Refused,
}

async fn mount(repository: &Repository, digest: &Digest, from: &str) -> Result<MountResult> {
    let transport = &repository.transport;
    let what = format!("mount of blob {digest}");
    let mut url = transport.http.url(&format!("{}/blobs/uploads/", repository.name))?;
    url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from);
    let scopes = repository.scopes.and_pull(from);
    let request = Request {
        method: Method::POST,
        scopes: &scopes,
        ..repository.get(RequestKind::Upload, url, &what)
    };
    let response = match transport.send(&request).await {
        // The user may not read there, which is no reason not to upload the blob.
        Err(error) if error.kind() == ErrorKind::Denied && from != repository.name => {
            return Ok(MountResult::Refused);
        }
        response => response?,
    };
    match response.status() {
        StatusCode::CREATED => Ok(MountResult::Mounted),
        StatusCode::ACCEPTED => {
            Ok(MountResult::Session(UploadLocation::from_response(transport, &response, &what)?))
        }
        status if status.is_success() => Ok(MountResult::Refused),
        _ if requests_backoff(&response) => Err(transport.http.failure(&request, response).await),
        status => {
            tracing::info!("{}: no mount from {from}: {status}", transport.http.name);
            Ok(MountResult::Refused)
        }
    }
}

/// Queries the progress of an earlier upload of the blob. If it cannot be resumed, the blob starts over.
///
/// # Errors
/// If the registry is unavailable: the upload may be resumed later.
async fn resume_session(
    repository: &Repository,
    descriptor: &Descriptor,
) -> Result<Option<UploadLocation>> {
    let digest = &descriptor.digest;
    let load = |uploads: &dyn UploadStore| uploads.load(repository.full_name(), digest);
    let Some(url) = repository.upload_store_for(descriptor).and_then(load) else {
        return Ok(None);
    };
    let transport = &repository.transport;
    let what = format!("upload of blob {digest}");
    let query = async {
        let Ok(url) = Url::parse(url.expose()) else { return Ok(None) };
        if transport.http.check_server_url(&url, &what, ErrorKind::Transport).is_err() {
            return Ok(None);
        }
        let request = repository.get(RequestKind::Upload, url, &what);
        let response = match transport.send(&request).await {
            Err(error) if error.outage().is_some() => return Err(error),
            Err(_) => return Ok(None),
            Ok(response) => response,
        };
        if response.status() != StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let location = UploadLocation::from_response(transport, &response, &what).ok();
        Ok(location.filter(|location| location.offset > 0 && location.offset < descriptor.size))
    };
    let location = query.await?;
    if location.is_none() {
        repository.remove_upload(descriptor);
    }
    Ok(location)
}
