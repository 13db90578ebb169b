//! A token server whose tokens Debian's `docker-registry` accepts: JWT, ES256, certificate in `x5c`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Reply, Request, Server};

/// Policy of issuing tokens.
#[derive(Clone)]
pub(crate) struct Policy {
    /// `user:password` that gets every requested action.
    pub(crate) users: Vec<String>,
    /// Whether clients without a credential may pull.
    pub(crate) anonymous_pull: bool,
    /// Lifetime of a token in seconds, at the registry too.
    pub(crate) expires_in: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { users: vec!["user:pass".to_owned()], anonymous_pull: false, expires_in: 300 }
    }
}

/// A running token server; [`Server`] records its requests.
pub(crate) struct TokenServer {
    pub(crate) server: Server,
    dir: TempDir,
}

impl TokenServer {
    pub(crate) const ISSUER: &str = "test-issuer";
    pub(crate) const SERVICE: &str = "test-registry";

    pub(crate) async fn start(policy: Policy) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(Vec::new()).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bundle.pem"), certificate.pem()).unwrap();
        let pkcs8 = key.serialize_der();
        let signer = Signer {
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap(),
            x5c: STANDARD.encode(certificate.der()),
        };
        let server = Server::start(move |request| policy.answer(&signer, request)).await;
        Self { server, dir }
    }

    pub(crate) fn realm(&self) -> String {
        self.server.url("/token")
    }

    /// Returns the path of the registry's `rootcertbundle`.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle.pem")
    }
}

impl Policy {
    fn answer(&self, signer: &Signer, request: &Request) -> Reply {
        if request.path != "/token" || request.method != "GET" {
            return Reply::new(404, "");
        }
        let user = match request.header("authorization").map(|value| self.user(value)) {
            Some(None) => {
                return Reply::error(401, "UNAUTHORIZED", "incorrect username or password");
            }
            None if !self.anonymous_pull => {
                return Reply::error(401, "UNAUTHORIZED", "no anonymous access");
            }
            Some(Some(user)) => user,
            None => String::new(),
        };
        let scopes = request.pairs().into_iter().filter(|(key, _)| key == "scope");
        let access: Vec<Value> =
            scopes.filter_map(|(_, scope)| grant(&scope, !user.is_empty())).collect();
        let token = signer.token(&user, &access, self.expires_in);
        Reply::json(200, &json!({"token": token, "expires_in": self.expires_in}))
    }

    fn user(&self, authorization: &str) -> Option<String> {
        let decoded = STANDARD.decode(authorization.strip_prefix("Basic ")?).ok()?;
        let shown = String::from_utf8(decoded).ok()?;
        let known = self.users.contains(&shown);
        known.then(|| shown.split(':').next().unwrap_or_default().to_owned())
    }
}

/// Returns the `access` entry for `type:name:actions`; anonymous clients get pull at most.
fn grant(scope: &str, known: bool) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let allowed = |action: &&str| known || *action == "pull";
    let actions: Vec<&str> = actions.split(',').filter(allowed).collect();
    Some(json!({"type": kind, "name": name, "actions": actions}))
}

struct Signer {
    key: EcdsaKeyPair,
    x5c: String,
}

impl Signer {
    fn token(&self, user: &str, access: &[Value], expires_in: u64) -> String {
        // The registry accepts a token for a minute after `exp`; without this none would expire within a test.
        const LEEWAY: u64 = 60;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.x5c]});
        let claims = json!({
            "iss": TokenServer::ISSUER, "aud": TokenServer::SERVICE, "sub": user,
            "iat": now, "nbf": now - LEEWAY, "exp": now + expires_in - LEEWAY,
            "jti": format!("{:016x}", fastrand::u64(..)), "access": access,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
