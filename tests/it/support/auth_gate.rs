//! Authentication of the fake registry: none, Basic, or Bearer with a token server on the same or another port.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::json;

use super::super::http::{Reply, Request, Server};

/// Authentication that the registry requires.
#[derive(Clone, Default)]
pub(crate) enum Auth {
    #[default]
    Open,
    Basic {
        user: String,
        password: String,
    },
    Bearer(Bearer),
}

/// Bearer authentication.
#[derive(Clone)]
pub(crate) struct Bearer {
    /// `user:password` that the token endpoint requires; `None` issues tokens to anyone.
    pub(crate) credentials: Option<String>,
    /// Whether the token endpoint has its own port.
    pub(crate) elsewhere: bool,
    /// Lifetime of a token in seconds, as announced and as enforced.
    pub(crate) expires_in: u64,
    /// Number of requests that a token is accepted for.
    pub(crate) uses: usize,
}

impl Default for Bearer {
    fn default() -> Self {
        Self { credentials: None, elsewhere: false, expires_in: 300, uses: usize::MAX }
    }
}

pub(crate) struct AuthGate {
    auth: Auth,
    realm: Option<String>,
    issued: Arc<Mutex<Vec<Token>>>,
}

struct Token {
    text: String,
    scopes: Vec<String>,
    uses: usize,
    until: Instant,
}

impl AuthGate {
    /// Returns the gate, and the token server if it has its own port.
    pub(crate) async fn open(auth: Auth) -> (Self, Option<Server>) {
        let issued = Arc::default();
        let mut tokens = None;
        if let Auth::Bearer(bearer) = &auth
            && bearer.elsewhere
        {
            let (bearer, issued) = (bearer.clone(), Arc::clone(&issued));
            tokens = Some(Server::start(move |request| bearer.issue(&issued, request)).await);
        }
        let realm = tokens.as_ref().map(|server| server.url("/token"));
        (Self { auth, realm, issued }, tokens)
    }

    /// Returns the response to a token request or to a denied one; `None` for a permitted one.
    pub(crate) fn answer(&self, request: &Request, scheme: &str) -> Option<Reply> {
        let challenge = match &self.auth {
            Auth::Open => return None,
            Auth::Basic { user, password } => {
                if request.header("authorization") == Some(&basic(&format!("{user}:{password}"))) {
                    return None;
                }
                "Basic realm=\"registry\"".to_owned()
            }
            Auth::Bearer(bearer) => {
                if request.path == "/token" && self.realm.is_none() {
                    return Some(bearer.issue(&self.issued, request));
                }
                let scope = scope_of(&request.path);
                if self.admits(request, scope.as_deref()) {
                    return None;
                }
                let own =
                    || format!("{scheme}://{}/token", request.header("host").unwrap_or_default());
                let realm = self.realm.clone().unwrap_or_else(own);
                let scope = scope.map_or_else(String::new, |scope| format!(",scope=\"{scope}\""));
                format!("Bearer realm=\"{realm}\",service=\"test-registry\"{scope}")
            }
        };
        Some(
            Reply::error(401, "UNAUTHORIZED", "authentication required")
                .header("WWW-Authenticate", challenge),
        )
    }

    fn admits(&self, request: &Request, scope: Option<&str>) -> bool {
        let Some(shown) =
            request.header("authorization").and_then(|value| value.strip_prefix("Bearer "))
        else {
            return false;
        };
        let mut issued = self.issued.lock().unwrap();
        let Some(token) = issued.iter_mut().find(|token| token.text == shown) else {
            return false;
        };
        let covers = scope.is_none_or(|scope| token.scopes.iter().any(|held| held.contains(scope)));
        let good = covers && token.uses > 0 && Instant::now() < token.until;
        token.uses = token.uses.saturating_sub(1);
        good
    }
}

impl Bearer {
    fn issue(&self, issued: &Mutex<Vec<Token>>, request: &Request) -> Reply {
        if let Some(credentials) = &self.credentials
            && request.header("authorization") != Some(&basic(credentials))
        {
            return Reply::error(401, "UNAUTHORIZED", "incorrect username or password");
        }
        let text = format!("token-{:016x}", fastrand::u64(..));
        issued.lock().unwrap().push(Token {
            text: text.clone(),
            scopes: request
                .pairs()
                .into_iter()
                .filter(|(key, _)| key == "scope")
                .map(|(_, scope)| scope)
                .collect(),
            uses: self.uses,
            until: Instant::now() + Duration::from_secs(self.expires_in),
        });
        Reply::json(200, &json!({"token": text, "expires_in": self.expires_in}))
    }
}

/// Returns the `Authorization` header for `user:password`.
fn basic(credentials: &str) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    format!("Basic {encoded}")
}

fn scope_of(path: &str) -> Option<String> {
    let path = path.strip_prefix("/v2/")?;
    let (repository, _) = path
        .rsplit_once("/manifests/")
        .or_else(|| path.rsplit_once("/blobs/"))
        .or_else(|| path.rsplit_once("/tags/"))?;
    Some(format!("repository:{repository}:pull"))
}
