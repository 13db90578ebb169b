//! Registries: authentication, tokens, TLS, proxies, redaction, lists, deletion, fixtures.

mod auth;
mod catalog;
mod content_encoding;
mod delete;
mod docker_hub;
mod fixtures;
mod http2;
mod limits;
mod login;
mod mirror_faults;
mod mirrors;
mod proxy;
mod rate_limit;
mod redact;
mod referrers;
mod responses;
mod retain;
mod retain_property;
mod secrets;
mod tags;
mod tls;
mod token;
mod token_scope;

use rpull::content::Source as _;
use rpull::error::Error;
use rpull::name::ImageName;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions};
use rpull::retry::RetryPolicy;
use serde_json::{Value, json};

use crate::support::http::{Reply, Request, Server};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn hex(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// An index of one referrer for each digit.
fn list(digits: &str, kind: &str) -> Reply {
    let one = |digit| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": hex(digit),
               "size": 7, "artifactType": kind})
    };
    let manifests: Vec<Value> = digits.chars().map(one).collect();
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    Reply::new(200, body.to_string()).header("Content-Type", INDEX)
}

/// The error of a single request for a manifest.
async fn ask(server: &Server) -> Error {
    let retry = RetryPolicy::default().attempts(1);
    let client = Client::new(RegistryOptions::default().retry(retry));
    let reference: Reference = format!("{}/app:1", server.host()).parse().unwrap();
    client.repository(&reference).unwrap().resolve(&ImageName::Tag("1".into())).await.unwrap_err()
}

/// A challenge for a token of the same server.
fn challenge(request: &Request) -> Reply {
    let realm = format!("http://{}/token", request.header("host").unwrap());
    Reply::new(401, "").header("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
}
