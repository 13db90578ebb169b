//! Token responses with unusual fields, and tokens that expire early.

use rpull::error::ErrorKind;
use serde_json::json;

use super::{ask, challenge};
use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, Bearer, FakeRegistry, Options};
use crate::support::http::{Reply, Server};
use crate::support::images::{Family, image, layer};

#[tokio::test]
async fn token_rejected_after_use_is_refreshed() {
    let bearer = Bearer { uses: 2, elsewhere: true, ..Bearer::default() };
    let options = Options { auth: Auth::Bearer(bearer), ..Options::default() };
    let registry = FakeRegistry::start_with(options).await;
    let layers: Vec<_> = (0..8_u8).map(|n| layer(&[("n", &[n])])).collect();
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    // One after the other, because a token that others have used up while it was fetched is a second refusal.
    let report = Cli::new().report(&["--json", "--jobs", "1", &name]).await;
    assert_eq!(report["bytes"]["transferred"], held.size());
    assert_eq!(registry.token_requests().len(), 5, "ten requests, two for each token");
}

#[tokio::test]
async fn token_response_with_unusual_fields_is_validated() {
    for (answer, good) in [
        (json!({"token": "t"}), true),
        (
            json!({"access_token": "t", "expires_in": "60", "issued_at": "2100-01-01T00:00:00Z"}),
            true,
        ),
        (json!({"token": "t", "access_token": "u", "expires_in": 0}), true),
        (json!({"token": "t", "expires_in": 1e12}), true),
        (json!({"token": ""}), false),
        (json!({}), false),
        (json!({"token": 5}), false),
    ] {
        let body = answer.to_string();
        let server = Server::start(move |request| match request.path.as_str() {
            "/token" => Reply::new(200, body.clone()),
            _ if request.header("authorization") == Some("Bearer t") => {
                Reply::new(404, "found nothing")
            }
            _ => challenge(request),
        })
        .await;
        let error = ask(&server).await;
        let expected = if good { ErrorKind::NotFound } else { ErrorKind::Denied };
        assert_eq!(error.kind(), expected, "{answer}: {error}");
    }
}
