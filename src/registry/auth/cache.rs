//! The tokens of one registry: one for each set of scopes, renewed before they expire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;

use crate::registry::http::counter::RequestKind;
use crate::registry::http::request::Request;
use crate::registry::scope::ScopeSet;

/// The token for one set of scopes; the async lock makes sure that only one task at a time asks for one.
type TokenCell = Arc<tokio::sync::Mutex<CachedToken>>;

#[derive(Default)]
pub(super) struct CachedToken {
    token: Option<BearerToken>,
    /// What the registry last said it wants for these requests; another repository's token must not ask for it.
    pub(super) challenged: Option<String>,
    /// What the token was asked to be good for.
    pub(super) asked: ScopeSet,
}

struct BearerToken {
    header: HeaderValue,
    renew_at: Instant,
}

impl CachedToken {
    /// The header to send, where the token is neither refused nor due to be renewed.
    pub(super) fn usable(&self, refused: Option<&HeaderValue>) -> Option<&HeaderValue> {
        let token = self.token.as_ref()?;
        let is_good = Some(&token.header) != refused && Instant::now() < token.renew_at;
        is_good.then_some(&token.header)
    }

    /// Keeps a token that was asked for these scopes.
    pub(super) fn store(&mut self, header: &HeaderValue, lifetime: Duration, asked: ScopeSet) {
        // Measured from arrival on our own clock: `issued_at` is some other machine's.
        let renew_at = Instant::now() + lifetime.mul_f32(0.8);
        self.asked = asked;
        self.token = Some(BearerToken { header: header.clone(), renew_at });
    }
}

#[derive(Default)]
pub(super) struct TokenCache {
    cells: Mutex<HashMap<ScopeSet, TokenCell>>,
    /// What the registry wants for requests of one kind, where it refused the token for their own scopes.
    exact: Mutex<HashMap<(ScopeSet, RequestKind), ScopeSet>>,
}

impl TokenCache {
    pub(super) fn cell(&self, scopes: &ScopeSet) -> TokenCell {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(scopes.clone()).or_default())
    }

    /// What a token for this request is asked to be good for, as far as the registry did not say more.
    pub(super) fn scopes_of(&self, request: &Request<'_>) -> ScopeSet {
        let kind = (request.scopes.clone(), request.endpoint);
        let exact = self.exact.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned();
        exact.unwrap_or(kind.0)
    }

    /// Asks for exactly these scopes from now on, for requests like this one.
    pub(super) fn require(&self, request: &Request<'_>, scopes: ScopeSet) {
        let kind = (request.scopes.clone(), request.endpoint);
        self.exact.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, scopes);
    }
}
