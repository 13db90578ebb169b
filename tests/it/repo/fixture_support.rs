//! Tests of the fixtures: each can be played to its end and notices unexpected requests.

use std::collections::BTreeMap;

use reqwest::Method;

use crate::support::exchange::{Exchange, ExpectedValue};
use crate::support::fixtures::Fixture;

/// Sends the minimal request that an exchange expects.
async fn send(fixture: &Fixture, exchange: &Exchange) -> reqwest::Response {
    let (request, client) = (&exchange.request, reqwest::Client::builder().no_proxy());
    let client = client.redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let value = |wanted: &ExpectedValue| match wanted {
        ExpectedValue::Exact(value) => Some(fixture.fill(value)),
        ExpectedValue::Absent { absent } => (!absent).then(|| "any".to_owned()),
    };
    let encode = |pairs: &BTreeMap<String, ExpectedValue>| {
        let pairs = pairs.iter().filter_map(|(key, wanted)| Some((key, value(wanted)?)));
        reqwest::Url::parse_with_params("http://x/", pairs)
            .unwrap()
            .query()
            .unwrap_or("")
            .to_owned()
    };
    let (host, path) = (fixture.host(&exchange.server), fixture.fill(&request.path));
    let url = format!("http://{host}{path}?{}", encode(&request.query));
    let method: Method = request.method.parse().unwrap();
    let mut builder = client.request(method, url).body(encode(&request.form));
    for (name, wanted) in &request.headers {
        if let Some(value) = value(wanted) {
            builder = builder.header(name, value);
        }
    }
    builder.send().await.unwrap()
}

#[tokio::test]
async fn fixture_plays_to_its_end() {
    let names = Fixture::names();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let fixture = Fixture::start(&name).await;
        for exchange in fixture.exchanges() {
            for _ in 0..exchange.times {
                let answer = send(&fixture, exchange).await;
                assert_eq!(answer.status(), exchange.response.status, "{name}");
            }
        }
        fixture.assert_counts();
    }
}

#[tokio::test]
#[should_panic(expected = "unforeseen: registry")]
async fn fixture_unexpected_request_fails_test() {
    let fixture = Fixture::start("harbor/not-found").await;
    let url = format!("http://{}/v2/other/manifests/1.0", fixture.host("registry"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(url).send().await.unwrap().status(), 400);
}

#[tokio::test]
#[should_panic(expected = "registry GET /v2/library/hello/manifests/1.0: 0 of 1")]
async fn fixture_missing_request_fails_test() {
    Fixture::start("harbor/not-found").await.assert_counts();
}
