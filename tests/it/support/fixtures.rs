//! Plays `wiremock-fixtures/<registry>/<scenario>.json`: responses of real registries, in order, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rpull::digest::Digest;
use serde::Deserialize;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers};

use super::exchange::Exchange;
use super::placeholders::{Placeholders, Recipe};

const SERVERS: [&str; 3] = ["registry", "auth", "cdn"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The mistake that a client could make.
    why: String,
    /// Sources of the behavior: issues, documents.
    source: String,
    /// Arguments of `rpull`.
    command: Vec<String>,
    /// Number of consecutive runs of the command.
    #[serde(default = "once")]
    runs: usize,
    /// The exit code of each run.
    exit: i32,
    /// Expected standard output of the last run, if any.
    stdout: Option<String>,
    login: Option<Login>,
    partial: Option<Partial>,
    #[serde(default)]
    contents: Vec<Recipe>,
    exchanges: Vec<Exchange>,
    expect_requests: usize,
}

fn once() -> usize {
    1
}

/// Credential of the user at the registry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) identity_token: Option<String>,
}

/// The first bytes of a blob, as an interrupted run leaves them in the store.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Partial {
    blob: String,
    bytes: usize,
}

/// A running scenario. Dropping it fails the test if an unexpected request was made.
pub(crate) struct Fixture {
    /// `registry/scenario`.
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) runs: usize,
    pub(crate) exit: i32,
    pub(crate) stdout: Option<String>,
    pub(crate) login: Option<Login>,
    partial: Option<Partial>,
    expect_requests: usize,
    servers: BTreeMap<&'static str, MockServer>,
    script: Arc<Script>,
    /// Removed with the scenario.
    _layout: tempfile::TempDir,
}

impl Fixture {
    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("wiremock-fixtures")
    }

    /// Returns the names of all scenarios, sorted.
    pub(crate) fn names() -> Vec<String> {
        let entries =
            |dir: &Path| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let files = entries(&Self::root()).flat_map(|dir| entries(&dir).collect::<Vec<_>>());
        let name = |path: PathBuf| {
            let inside = path.strip_prefix(Self::root()).unwrap().with_extension("");
            inside.to_str().unwrap().to_owned()
        };
        let mut names: Vec<String> = files.map(name).collect();
        names.sort();
        names
    }

    /// Starts the servers of a scenario: `"docker-hub/token-dance"`.
    pub(crate) async fn start(name: &str) -> Self {
        let path = Self::root().join(name).with_extension("json");
        let file: File = serde_json::from_slice(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            !file.why.is_empty() && !file.source.is_empty(),
            "{name} says neither why nor whence"
        );
        let mut servers = BTreeMap::new();
        for server in SERVERS {
            servers.insert(server, MockServer::start().await);
        }
        let hosts =
            servers.iter().map(|(name, server)| ((*name).to_owned(), server.address().to_string()));
        let mut names = Placeholders::new(hosts, &file.contents);
        let layout = tempfile::tempdir().unwrap();
        names.write_layout(layout.path());
        let script = Arc::new(Script {
            heard: Mutex::new(vec![0; file.exchanges.len()]),
            unforeseen: Mutex::default(),
            exchanges: file.exchanges,
            names,
        });
        for (name, server) in &servers {
            let stage = Stage { server: name, script: Arc::clone(&script) };
            server.register(Mock::given(matchers::any()).respond_with(stage)).await;
        }
        Self {
            name: name.to_owned(),
            command: file.command.iter().map(|word| script.names.fill(word)).collect(),
            runs: file.runs,
            exit: file.exit,
            stdout: file.stdout.map(|text| script.names.fill(&text)),
            login: file.login,
            partial: file.partial,
            expect_requests: file.expect_requests,
            servers,
            script,
            _layout: layout,
        }
    }

    /// Returns `host:port` of `registry`, `auth` or `cdn`.
    pub(crate) fn host(&self, server: &str) -> String {
        self.servers[server].address().to_string()
    }

    /// Returns the user's docker config.json; `{"auths": {}}` without a credential.
    pub(crate) fn docker_config(&self) -> Value {
        let mut auths = json!({});
        if let Some(login) = &self.login {
            let mut entry =
                json!({"auth": STANDARD.encode(format!("{}:{}", login.username, login.password))});
            if let Some(token) = &login.identity_token {
                entry["identitytoken"] = json!(token);
            }
            auths[self.host("registry")] = entry;
        }
        json!({"auths": auths})
    }

    /// Writes the scenario's partial, if any, into a store.
    pub(crate) fn plant_partial(&self, store: &Path) {
        if let Some(partial) = &self.partial {
            let content = self.script.names.content(&partial.blob);
            let digest = Digest::sha256(content);
            let ingest = store.join("ingest");
            std::fs::create_dir_all(&ingest).unwrap();
            let name = format!("{}-{}", digest.algorithm_name(), digest.encoded());
            std::fs::write(ingest.join(name), &content[..partial.bytes]).unwrap();
        }
    }

    /// Returns the exchanges, for tests that play the client.
    pub(crate) fn exchanges(&self) -> &[Exchange] {
        &self.script.exchanges
    }

    /// Fills the placeholders of a text.
    pub(crate) fn fill(&self, text: &str) -> String {
        self.script.names.fill(text)
    }

    /// # Panics
    /// If an exchange was not used exactly as often as it says, or on an unexpected request.
    pub(crate) fn assert_counts(&self) {
        let mut wrong = self.script.unforeseen.lock().unwrap().clone();
        let heard = self.script.heard.lock().unwrap();
        for (exchange, count) in self.script.exchanges.iter().zip(heard.iter()) {
            if *count != exchange.times {
                let Exchange { server, request, times, .. } = exchange;
                let path = self.fill(&request.path);
                wrong.push(format!("{server} {} {path}: {count} of {times}", request.method));
            }
        }
        assert!(wrong.is_empty(), "{}:\n{}", self.name, wrong.join("\n"));
        let total: usize = heard.iter().sum();
        assert_eq!(total, self.expect_requests, "{}: requests in all", self.name);
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let unforeseen = self.script.unforeseen.lock().unwrap();
        assert!(
            unforeseen.is_empty() || std::thread::panicking(),
            "{}:\n{}",
            self.name,
            unforeseen.join("\n")
        );
    }
}

/// State shared by the servers of a scenario.
struct Script {
    exchanges: Vec<Exchange>,
    names: Placeholders,
    /// Number of requests per exchange.
    heard: Mutex<Vec<usize>>,
    unforeseen: Mutex<Vec<String>>,
}

/// Responder of one server.
struct Stage {
    server: &'static str,
    script: Arc<Script>,
}

impl Respond for Stage {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let Script { exchanges, names, heard, unforeseen } = &*self.script;
        let mut heard = heard.lock().unwrap();
        for (exchange, count) in exchanges.iter().zip(heard.iter_mut()) {
            let open = exchange.server == self.server && *count < exchange.times;
            if open && exchange.request.matches(request, names) {
                *count += 1;
                return exchange.response.template(names);
            }
        }
        let text = format!("unforeseen: {} {request:?}", self.server);
        unforeseen.lock().unwrap().push(text);
        ResponseTemplate::new(400).set_body_string("this request is not in the fixture")
    }
}
