//! Leaves to others a part of the limit that a registry announces, as Docker Hub does for pulls: a GET of a manifest counts, a HEAD
//! does not.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use tokio::time::Instant;

use super::http::announced_limit::{Permission, Pull};
use super::http::counter::RequestKind;
use super::http::limiter::clock;
use super::http::request::Request;
use super::send::Transport;
use crate::content::RateLimit;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};

/// Waits are divided into this many parts, after each of which the registry is asked.
const ASKS: u32 = 10;

/// Shortest and longest time between two questions.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(300);

impl Transport {
    /// Before a pull: waits, or fails, if not more of the registry's limit is left than the floor in its settings. Asks by HEAD
    /// first if the registry has not said how much. What is returned counts the pull until it is answered.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`] if the time to wait is over.
    pub(super) async fn respect_floor(&self, request: &Request<'_>) -> Result<Option<Pull<'_>>> {
        if request.method != Method::GET || request.endpoint != RequestKind::Manifest {
            return Ok(None);
        }
        let limit = self.http.options.limits.of(&self.http.origin()?);
        let Some(floor) = limit.rate_limit_floor else { return Ok(None) };
        let wait = limit.rate_limit_wait.unwrap_or_default();
        let end = Instant::now() + wait;
        // The others wait for what the first one finds out.
        let _first = self.floor_lock.lock().await;
        let mut is_announced = false;
        loop {
            match self.announced_limit.take(floor) {
                Permission::Granted(pull) => return Ok(Some(pull)),
                Permission::Unlimited => return Ok(None),
                Permission::Unknown => {}
                Permission::Refused(left, pending) if Instant::now() >= end => {
                    let left_of = left_of(&left, pending, floor);
                    return Err(self.floor_error(request, &left, &left_of));
                }
                Permission::Refused(left, pending) => {
                    if !std::mem::replace(&mut is_announced, true) {
                        let until = clock(SystemTime::now() + wait);
                        let name = &self.http.name;
                        let left = left_of(&left, pending, floor);
                        tracing::warn!("{name}: {left}; waiting until {until}");
                    }
                    let pause = (wait / ASKS).clamp(MIN_PAUSE, MAX_PAUSE);
                    tokio::time::sleep_until(end.min(Instant::now() + pause)).await;
                }
            }
            self.ask(request).await;
        }
    }

    /// Requests the same by HEAD, whose response says what is left.
    async fn ask(&self, request: &Request<'_>) {
        let Request { url, scopes, what, counter, .. } = request;
        let get = Request::get(request.endpoint, url.clone(), scopes, what, counter);
        let head = Request { method: Method::HEAD, accept: request.accept.clone(), ..get };
        // The request itself tells what is wrong.
        if let Err(error) = Box::pin(self.follow(&head)).await {
            tracing::debug!("{}", error.chain());
        }
    }

    fn floor_error(&self, request: &Request<'_>, left: &RateLimit, left_of: &str) -> Error {
        let window = left.window_s.map(Duration::from_secs);
        let end = window.and_then(|window| SystemTime::now().checked_add(window));
        let end = end.map(|end| format!("; all are available again by {}", clock(end)));
        let reason = format!("{left_of}{}", end.unwrap_or_default());
        Error::new(ErrorKind::Stopped, request.what)
            .at(&self.http.name)
            .with_detail(ErrorDetail::RateLimitFloor)
            .with_reason(reason)
    }
}

/// `12 of 100 pulls left, 2 of them in progress, and the floor is 10`
fn left_of(limit: &RateLimit, pending: u64, floor: u64) -> String {
    let left = limit.remaining.unwrap_or_default();
    let of = limit.limit.map(|all| format!(" of {all}")).unwrap_or_default();
    let pending = match pending {
        0 => String::new(),
        pending => format!(", {pending} of them in progress"),
    };
    format!("{left}{of} pulls left{pending}, and the floor is {floor}")
}
