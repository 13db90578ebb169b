//! Caches the tokens of one registry, one per set of scopes, and renews them before they expire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;

use crate::registry::http::counter::RequestKind;
use crate::registry::http::request::Request;
use crate::registry::scope::ScopeSet;

/// The token for one set of scopes. The async lock lets only one task at a time request it.
type TokenCell = Arc<tokio::sync::Mutex<CachedToken>>;

#[derive(Default)]
pub(super) struct CachedToken {
    token: Option<BearerToken>,
    /// The scope of the registry's last challenge for these requests. Kept per cell: it must not widen another
    /// repository's token.
    pub(super) challenged: Option<String>,
    /// The scopes that the token was requested for.
    pub(super) requested: ScopeSet,
}

struct BearerToken {
    header: HeaderValue,
    renew_at: Instant,
}

impl CachedToken {
    /// The header to send, unless the token was refused or is due to be renewed.
    pub(super) fn usable(&self, refused: Option<&HeaderValue>) -> Option<&HeaderValue> {
        let token = self.token.as_ref()?;
        let is_good = Some(&token.header) != refused && Instant::now() < token.renew_at;
        is_good.then_some(&token.header)
    }

    /// Stores a token that was requested for these scopes.
    pub(super) fn store(&mut self, header: &HeaderValue, lifetime: Duration, requested: ScopeSet) {
        // Measured from arrival on our own clock: `issued_at` comes from another machine's.
        let renew_at = Instant::now() + lifetime.mul_f32(0.8);
        self.requested = requested;
        self.token = Some(BearerToken { header: header.clone(), renew_at });
    }
}

#[derive(Default)]
pub(super) struct TokenCache {
    cells: Mutex<HashMap<ScopeSet, TokenCell>>,
    /// Scopes that the registry demanded for requests of one kind, after it refused a token for their own scopes.
    exact: Mutex<HashMap<(ScopeSet, RequestKind), ScopeSet>>,
}

impl TokenCache {
    pub(super) fn cell(&self, scopes: &ScopeSet) -> TokenCell {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(scopes.clone()).or_default())
    }

    /// The scopes to request for this request, unless a challenge adds more.
    pub(super) fn scopes_of(&self, request: &Request<'_>) -> ScopeSet {
        let kind = (request.scopes.clone(), request.endpoint);
        let exact = self.exact.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned();
        exact.unwrap_or(kind.0)
    }

    /// Requests exactly these scopes from now on for requests of this kind.
    pub(super) fn require(&self, request: &Request<'_>, scopes: ScopeSet) {
        let kind = (request.scopes.clone(), request.endpoint);
        self.exact.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, scopes);
    }
}
