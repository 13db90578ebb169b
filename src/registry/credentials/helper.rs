//! Credential helpers: programs named `docker-credential-…` that store secrets. Protocol: docker-credential-helpers.
//!
//! A helper that is missing, hangs or fails is an error. Falling back to the next source could use another credential
//! than the user expects (docker CLI CVE-2021-41092). Messages of a failed helper are shown with secrets redacted; its
//! regular output never is.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::credential::{Credential, TOKEN_USER};
use super::helper_process::{HelperExit, HelperOutput, run_with_timeout};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::redactor::{Redactor, TextKind};

/// Longest run of a helper; it may be asking the user for a passphrase.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum characters of the helper's message that are repeated; of longer ones the start and the end.
const MAX_MESSAGE_CHARS: usize = 400;

/// What a helper prints on stdout if it has no credential for the key.
const NOT_FOUND: &str = "credentials not found";

/// Input of `store`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StoreInput<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    username: &'a str,
    secret: &'a str,
}

/// Output of `get`.
#[derive(Deserialize)]
struct GetOutput {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// A helper, found in `PATH`.
pub(super) struct Helper {
    program: String,
    file: PathBuf,
}

impl Helper {
    /// Finds `docker-credential-<name>` in `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if it is missing or `name` is not a valid program name.
    pub(super) fn find(name: &str, path: &OsStr) -> Result<Self> {
        let program = format!("docker-credential-{name}");
        if name.contains(['/', '\\']) || name.contains(char::is_control) {
            return Err(helper_error(&program, "invalid program name"));
        }
        match find(&program, path) {
            Some(file) => Ok(Self { program, file }),
            None => Err(helper_error(&program, "not found in PATH, or not executable")),
        }
    }

    /// The stored credential for this key, if any.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Credential>> {
        let Some(output) = self.run("get", key, key.as_bytes(), &Redactor::default()).await? else {
            return Ok(None);
        };
        let answer: GetOutput = serde_json::from_slice(&output)
            .map_err(|_| self.error("returned an invalid credential"))?;
        let (user, secret) = (answer.username, Zeroizing::new(answer.secret));
        Credential::of_user(&user, &secret)
            .map_err(|reason| self.error(&format!("returned a secret that {reason}")))
    }

    /// Stores a credential.
    pub(super) async fn store(&self, key: &str, credential: &Credential) -> Result<()> {
        let (username, secret) = match credential {
            Credential::Basic { user, password } => (user.as_str(), password),
            Credential::IdentityToken { token, .. } => (TOKEN_USER, token),
            Credential::RegistryToken(_) => {
                return Err(self.error("does not support registry tokens"));
            }
        };
        let input = StoreInput { server_url: key, username, secret: secret.expose() };
        let redactor = Redactor::default();
        credential.secrets().iter().for_each(|secret| redactor.add(secret.expose()));
        let input =
            serde_json::to_vec(&input).map_err(|error| self.error("").with_source(error))?;
        match self.run("store", key, &Zeroizing::new(input), &redactor).await? {
            Some(_) => Ok(()),
            None => Err(self.error("did not save it")),
        }
    }

    /// Erases the credential for this key. Returns whether there was one.
    pub(super) async fn erase(&self, key: &str) -> Result<bool> {
        // Some helpers report success without having had it. If `get` fails, erase nevertheless.
        if let Ok(None) = self.get(key).await {
            return Ok(false);
        }
        let redactor = Redactor::default();
        Ok(self.run("erase", key, key.as_bytes(), &redactor).await?.is_some())
    }

    /// Runs the helper and returns its stdout; `None` if it has no credential for the key.
    async fn run(
        &self,
        verb: &str,
        key: &str,
        input: &[u8],
        redactor: &Redactor,
    ) -> Result<Option<HelperOutput>> {
        if key.contains(char::is_control) {
            return Err(self.error("refusing to send a name with control characters"));
        }
        let exit = Box::pin(run_with_timeout(&self.file, verb, input, TIMEOUT)).await;
        let HelperExit { status, output, stderr } = exit.map_err(|reason| self.error(&reason))?;
        if status.success() {
            return Ok(Some(output));
        }
        if output.trim_ascii().starts_with(NOT_FOUND.as_bytes()) {
            return Ok(None);
        }
        let stderr = error_message(&output, &stderr, redactor);
        Err(self.error(&format!("failed ({status}){stderr}")))
    }

    fn error(&self, reason: &str) -> Error {
        helper_error(&self.program, reason)
    }
}

impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)
    }
}

fn helper_error(program: &str, reason: &str) -> Error {
    Error::new(ErrorKind::Denied, "credentials").at(format!("helper {program}")).with_reason(reason)
}

/// The first program of this name in a list of directories. Relative ones are skipped: other users may control them.
fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(program)).find(
        |file| {
            file.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        },
    )
}

/// The message of a failed helper, from stderr and stdout. Docker's protocol prints errors on stdout, where a
/// credential would be too: output that looks like one is omitted.
fn error_message(output: &[u8], stderr: &[u8], redactor: &Redactor) -> String {
    let is_credential = serde_json::from_slice::<serde_json::Value>(output)
        .map_or_else(|_| output.trim_ascii().starts_with(b"{"), |value| !value.is_string());
    let output = if is_credential { &b""[..] } else { output };
    let text = [stderr, output].map(String::from_utf8_lossy).join("\n");
    let text = redactor.redact(&text, TextKind::Foreign);
    let mut lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    let text = lines.join("; ");
    let count = text.chars().count();
    match count {
        0 => String::new(),
        1..=MAX_MESSAGE_CHARS => format!(": {text}"),
        _ => {
            let start: String = text.chars().take(MAX_MESSAGE_CHARS / 2).collect();
            let end: String = text.chars().skip(count - MAX_MESSAGE_CHARS / 2).collect();
            format!(": {start} … {end}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::path::Path;

    use super::*;
    use crate::secret::Secret;

    /// A directory with one helper in it, a shell script.
    fn helper(script: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("docker-credential-test");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        dir
    }

    async fn get(script: &str) -> Result<Option<Credential>> {
        let dir = helper(script);
        Helper::find("test", dir.path().as_os_str())?.get("h.example:5000").await
    }

    #[tokio::test]
    async fn helper_get_returns_user_or_identity_token() {
        let echo = r#"[ "$*" = get ] && printf '{"ServerURL":"x","Username":"%s","Secret":"a:b"}' "$(cat)""#;
        match get(echo).await.unwrap() {
            Some(Credential::Basic { user, password }) => {
                assert_eq!((user.as_str(), password.expose()), ("h.example:5000", "a:b"));
            }
            _ => panic!("no user"),
        }
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert!(matches!(
            get(token).await.unwrap(),
            Some(Credential::IdentityToken { token, .. }) if token.expose() == "t"
        ));
        for nothing in ["echo credentials not found in native keychain; exit 1", "echo '{}'"] {
            assert!(get(nothing).await.unwrap().is_none(), "{nothing}");
        }
    }

    #[tokio::test]
    async fn helper_failure_shows_output_without_secrets() {
        for (script, message) in [
            ("echo 'run acme-login' >&2; exit 1", "failed (exit status: 1): run acme-login"),
            ("echo 'run acme-login'; exit 1", "failed (exit status: 1): run acme-login"),
            ("echo a >&2; echo b; exit 2", "failed (exit status: 2): a; b"),
            ("printf '\\033[2Jx\\n' >&2; exit 1", "failed (exit status: 1): \\u{1b}[2Jx"),
            ("echo password=canary >&2; exit 1", ": password=***"),
            (
                "echo 'bad https://u:canary@h/?k=canarycanary' >&2; exit 1",
                ": bad https://***@h/?k=***",
            ),
            ("echo '{\"Secret\":\"canary\"}'; exit 1", "failed (exit status: 1)"),
            ("echo '{\"Secret\":\"canary\"}' >&2; exit 1", "{\"Secret\":\"***\"}"),
            ("sleep 60 2>&2 >/dev/null & echo why >&2; exit 1", ": why"),
            ("seq 100000 >&2; exit 1", ": 1; 2; 3; "),
        ] {
            let error = get(script).await.err().unwrap().chain();
            assert!(error.contains(message), "{script}: {error}");
            assert!(!error.contains("canary") && error.chars().count() < 600, "{script}: {error}");
        }
    }

    #[tokio::test]
    async fn helper_invalid_output_is_not_shown() {
        for script in [
            "echo canary",
            "head -c 1000000 /dev/zero",
            r#"echo '{"Username":"canary\n","Secret":"x"}'"#,
            "kill -9 $$",
        ] {
            let error = get(script).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied, "{script}");
            let text = error.chain();
            assert!(text.contains("docker-credential-test") && !text.contains("canary"), "{text}");
        }
    }

    /// A helper that keeps a single secret in a file and logs its calls.
    const KEEPER: &str = r#"cd "$(dirname "$0")"; echo "$*" >> calls; case "$1" in
        store) cat > kept;;
        get) [ -e kept ] && cat kept || { echo credentials not found in native keychain; exit 1; };;
        erase) rm -f kept;;
        esac"#;

    #[tokio::test]
    async fn helper_store_and_erase_follow_protocol() {
        let dir = helper(KEEPER);
        let kept = || std::fs::read_to_string(dir.path().join("kept")).unwrap();
        let found = Helper::find("test", dir.path().as_os_str()).unwrap();
        assert!(!found.erase("h.example").await.unwrap(), "it never knew");
        let user = Credential::of_user("u", "p\"ä").unwrap().unwrap();
        found.store("h.example", &user).await.unwrap();
        assert_eq!(kept(), r#"{"ServerURL":"h.example","Username":"u","Secret":"p\"ä"}"#);
        let basic = Some(("u".to_owned(), Secret::new("")));
        let token = Credential::IdentityToken { token: Secret::new("t"), basic };
        found.store("h.example", &token).await.unwrap();
        assert_eq!(kept(), r#"{"ServerURL":"h.example","Username":"<token>","Secret":"t"}"#);
        assert!(found.erase("h.example").await.unwrap());
        assert!(found.get("h.example").await.unwrap().is_none());
        let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
        assert_eq!(calls, "get\nstore\nstore\nget\nerase\nget\n");
    }

    #[tokio::test]
    async fn helper_timeout_kills_process() {
        let dir = helper("echo $$ > \"$(dirname \"$0\")/pid\"; exec sleep 600");
        let program = dir.path().join("docker-credential-test");
        let error =
            run_with_timeout(&program, "get", b"h", Duration::from_secs(2)).await.err().unwrap();
        assert!(error.contains("no response"), "{error}");
        let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "{pid}");
    }

    #[tokio::test]
    async fn helper_missing_or_not_executable_fails() {
        let dir = helper("echo '{}'");
        let file = dir.path().join("docker-credential-test");
        let path = dir.path().as_os_str();
        for name in ["other", "../test", "a\nb"] {
            assert_eq!(Helper::find(name, path).err().unwrap().kind(), ErrorKind::Denied);
        }
        let found = Helper::find("test", path).unwrap();
        assert!(found.get("h\nprotocol=x").await.is_err());
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let error = Helper::find("test", path).err().unwrap();
        assert!(error.to_string().contains("docker-credential-test"), "{error}");
        assert!(find("docker-credential-test", OsStr::new(".:")).is_none());
    }
}
