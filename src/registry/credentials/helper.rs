//! Credential helpers: programs named `docker-credential-…` that keep secrets. Protocol: docker-credential-helpers.
//!
//! A helper that is missing, hangs or fails is an error, never a reason to go on without it: what comes after it would
//! be another credential than the user thinks (docker CLI CVE-2021-41092). What it prints is never repeated.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::Credential;
use crate::error::{Error, ErrorKind, Result};

/// How long a helper may take; it may be asking the user for a passphrase.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most that a helper may print, in bytes.
const OUTPUT_LIMIT: u64 = 64 << 10;

/// How a helper says, on its standard output, that it has nothing for this key.
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// Asks `docker-credential-<name>`, found in `path`, for this key; `None` where it has nothing.
pub(super) async fn get(name: &str, key: &str, path: &OsStr) -> Result<Option<Credential>> {
    let program = format!("docker-credential-{name}");
    let fail = |why: &str| {
        Error::new(ErrorKind::Denied, "credentials").at(format!("helper {program}")).because(why)
    };
    if name.contains(['/', '\\']) || name.contains(char::is_control) {
        return Err(fail("is no name of a program"));
    }
    if key.contains(char::is_control) {
        return Err(fail("cannot be asked for a name with control characters in it"));
    }
    let found = find(&program, path).ok_or_else(|| fail("is not in PATH, or is no program"))?;
    let (status, output) = ask(&found, key, PATIENCE).await.map_err(|why| fail(&why))?;
    if !status.success() {
        if output.trim_ascii().starts_with(NOT_FOUND.as_bytes()) {
            return Ok(None);
        }
        return Err(fail(&format!("failed ({status})")));
    }
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| fail("answers something that is not a credential"))?;
    let (user, secret) = (answer.username, Zeroizing::new(answer.secret));
    Credential::of_user(&user, &secret).map_err(|why| fail(&format!("gives a secret that {why}")))
}

/// The first program of this name in a list of directories. Relative ones are left out: they are somebody else's.
fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(program)).find(
        |file| {
            file.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        },
    )
}

/// Runs `<program> get` with the key on its standard input, and kills it where it goes on for too long or for ever.
async fn ask(
    program: &Path,
    key: &str,
    patience: Duration,
) -> Result<(ExitStatus, Zeroizing<Vec<u8>>), String> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let answer = match tokio::time::timeout(patience, talk(&mut child, key)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("does not answer within {} s", patience.as_secs())),
    };
    if answer.is_err() {
        // It has ended already, or is killed now; there is nothing more to be done about either.
        drop(child.kill().await);
    }
    answer
}

async fn talk(child: &mut Child, key: &str) -> Result<(ExitStatus, Zeroizing<Vec<u8>>), String> {
    let broken = |error: std::io::Error| format!("cannot be talked to: {error}");
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input may have an answer all the same.
        drop(stdin.write_all(key.as_bytes()).await);
    }
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout.take(OUTPUT_LIMIT + 1).read_to_end(&mut output).await.map_err(broken)?;
    }
    if output.len() as u64 > OUTPUT_LIMIT {
        return Err(format!("prints more than {OUTPUT_LIMIT} bytes"));
    }
    Ok((child.wait().await.map_err(broken)?, output))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::time::Instant;

    use super::*;

    /// A directory with one helper in it, which is this shell script.
    fn helper(script: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("docker-credential-test");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        dir
    }

    async fn asked(script: &str) -> Result<Option<Credential>> {
        get("test", "h.example:5000", helper(script).path().as_os_str()).await
    }

    #[tokio::test]
    async fn gets_a_user_or_an_identity_token_for_the_key_on_its_input() {
        let echo = r#"[ "$*" = get ] && printf '{"ServerURL":"x","Username":"%s","Secret":"a:b"}' "$(cat)""#;
        match asked(echo).await.unwrap() {
            Some(Credential::Basic { user, password }) => {
                assert_eq!((user.as_str(), password.reveal()), ("h.example:5000", "a:b"));
            }
            _ => panic!("no user"),
        }
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert!(matches!(
            asked(token).await.unwrap(),
            Some(Credential::IdentityToken { token, .. }) if token.reveal() == "t"
        ));
        for nothing in ["echo credentials not found in native keychain; exit 1", "echo '{}'"] {
            assert!(asked(nothing).await.unwrap().is_none(), "{nothing}");
        }
    }

    #[tokio::test]
    async fn failures_name_the_helper_and_nothing_that_it_printed() {
        for script in [
            "echo canary; exit 1",
            "echo canary",
            "head -c 1000000 /dev/zero",
            r#"echo '{"Username":"canary\n","Secret":"x"}'"#,
            "kill -9 $$",
        ] {
            let error = asked(script).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied, "{script}");
            let text = error.chain();
            assert!(text.contains("docker-credential-test") && !text.contains("canary"), "{text}");
        }
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed() {
        let dir = helper("echo $$ > \"$(dirname \"$0\")/pid\"; exec sleep 600");
        let started = Instant::now();
        let program = dir.path().join("docker-credential-test");
        let error = ask(&program, "h", Duration::from_millis(300)).await.err().unwrap();
        assert!(error.contains("does not answer") && started.elapsed() < Duration::from_secs(20));
        let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "{pid}");
    }

    #[tokio::test]
    async fn one_that_is_missing_or_no_program_is_an_error() {
        let dir = helper("echo '{}'");
        let file = dir.path().join("docker-credential-test");
        let path = dir.path().as_os_str();
        for name in ["other", "../test", "a\nb"] {
            assert_eq!(get(name, "h", path).await.err().unwrap().kind(), ErrorKind::Denied);
        }
        assert!(get("test", "h\nprotocol=x", path).await.is_err());
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let error = get("test", "h", path).await.err().unwrap();
        assert!(error.to_string().contains("docker-credential-test"), "{error}");
        assert!(find("docker-credential-test", OsStr::new(".:")).is_none());
    }
}
