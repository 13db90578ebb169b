//! One exchange of a fixture: the expected request and the response.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use wiremock::{Request, ResponseTemplate};

use super::placeholders::Placeholders;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    /// `registry`, `auth` or `cdn`; each has its own port.
    pub(crate) server: String,
    pub(crate) request: ExpectedRequest,
    pub(crate) response: CannedResponse,
    /// Exact number of requests; afterwards the next exchange with the same request applies.
    #[serde(default = "once")]
    pub(crate) times: usize,
}

fn once() -> usize {
    1
}

/// Requirements of a request; anything not named is allowed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, ExpectedValue>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, ExpectedValue>,
    /// Fields of the form in the body.
    #[serde(default)]
    pub(crate) form: BTreeMap<String, ExpectedValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum ExpectedValue {
    /// Exactly one value, and this one.
    Exact(String),
    Absent {
        absent: bool,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CannedResponse {
    pub(crate) status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    body: Option<String>,
    body_base64: Option<String>,
    body_json: Option<Value>,
    /// Name of an entry of the fixture's `contents`.
    body_blob: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Lines(Vec<String>),
}

impl ExpectedRequest {
    pub(crate) fn matches(&self, request: &Request, names: &Placeholders) -> bool {
        let header = |(name, wanted): (&String, &ExpectedValue)| {
            let lines = request.headers.get_all(name).iter();
            let lines: Vec<String> = lines.map(|line| line.to_str().unwrap().to_owned()).collect();
            wanted.is(&lines, names)
        };
        let query: Vec<_> = request.url.query_pairs().into_owned().collect();
        let form =
            reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(&request.body)))
                .unwrap();
        let form: Vec<_> = form.query_pairs().into_owned().collect();
        request.method.as_str() == self.method
            && request.url.path() == names.fill(&self.path)
            && self.query.iter().all(|(key, wanted)| wanted.is(&values_of(&query, key), names))
            && self.form.iter().all(|(key, wanted)| wanted.is(&values_of(&form, key), names))
            && self.headers.iter().all(header)
    }
}

fn values_of(pairs: &[(String, String)], key: &str) -> Vec<String> {
    let of_key = pairs.iter().filter(|(held, _)| held == key);
    of_key.map(|(_, value)| value.clone()).collect()
}

impl ExpectedValue {
    fn is(&self, found: &[String], names: &Placeholders) -> bool {
        match self {
            Self::Exact(value) => found == [names.fill(value)],
            Self::Absent { absent } => found.is_empty() == *absent,
        }
    }
}

impl CannedResponse {
    pub(crate) fn template(&self, names: &Placeholders) -> ResponseTemplate {
        let mut template = ResponseTemplate::new(self.status).set_body_bytes(self.body(names));
        for (name, values) in &self.headers {
            let lines = match values {
                Values::One(line) => std::slice::from_ref(line),
                Values::Lines(lines) => lines,
            };
            for line in lines {
                template = template.append_header(name.as_str(), names.fill(line));
            }
        }
        template
    }

    fn body(&self, names: &Placeholders) -> Vec<u8> {
        let text = self.body.as_ref().map(|text| names.fill(text).into_bytes());
        let binary = self.body_base64.as_ref().map(|text| STANDARD.decode(text).unwrap());
        let json =
            self.body_json.as_ref().map(|value| names.fill_json(value).to_string().into_bytes());
        let blob = self.body_blob.as_ref().map(|name| names.content(name).to_vec());
        let mut bodies = [text, binary, json, blob].into_iter().flatten();
        let body = bodies.next().unwrap_or_default();
        assert!(bodies.next().is_none(), "an answer has one body");
        body
    }
}
