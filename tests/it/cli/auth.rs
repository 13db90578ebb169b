//! `auth`: which credential is used, where it comes from, and that it is not shown.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::cli::{Cli, Output};

const SECRET: &str = "canary-1f3a";

/// Entries of each kind in docker's file, and a helper that has a credential for one host and fails for another.
fn configured() -> Cli {
    let cli = Cli::new();
    let (docker, bin) = (cli.home().join(".docker"), cli.dir().join("bin"));
    for dir in [&docker, &bin] {
        std::fs::create_dir(dir).unwrap();
    }
    let entry = json!({"auth": STANDARD.encode(format!("alice:{SECRET}"))});
    let config = json!({
        "auths": {
            "a.example": entry, "a.example/team": {"identitytoken": SECRET, "auth": "Ym9iOg=="},
            "https://index.docker.io/v1/": entry, "empty.example": {},
        },
        "credHelpers": {"kept.example": "vault", "locked.example": "vault"},
    });
    let file = docker.join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let helper = bin.join("docker-credential-vault");
    let script = format!(
        "#!/bin/sh\nread key\n[ $key = kept.example ] || {{ echo locked; exit 1; }}\n\
         echo '{{\"Username\":\"carol\",\"Secret\":\"{SECRET}\"}}'\n"
    );
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    cli.env("PATH", path)
}

fn assert_hidden(output: &Output) {
    let encoded = STANDARD.encode(format!("alice:{SECRET}"));
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(SECRET) && !text.contains(&encoded), "{text}");
    }
}

#[tokio::test]
async fn auth_names_source_of_each_registry_without_secret() {
    let cli = configured();
    let output = cli.run(&["auth", "-vv"]).await;
    assert_hidden(output.expect(4, "locked.example: credentials: helper docker-credential-vault"));
    let file = cli.home().join(".docker/config.json").display().to_string();
    let lines: Vec<Vec<&str>> =
        output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let helper = format!("({file})");
    assert_eq!(
        lines,
        [
            vec!["REGISTRY", "USER", "CREDENTIAL", "SOURCE"],
            vec!["a.example", "alice", "password", &file],
            vec!["a.example/team", "-", "identity", "token", &file],
            vec!["docker.io", "alice", "password", &file],
            vec!["empty.example", "-", "anonymous", "-"],
            vec!["kept.example", "carol", "password", "docker-credential-vault", &helper],
        ]
    );
    let names = cli.run(&["auth", "-q", "a.example/other/app", "none.example"]).await;
    assert_eq!(names.expect(0, "").stdout, "a.example/other/app\n");
}

#[tokio::test]
async fn auth_json_has_source_or_error() {
    let cli = configured();
    let asked =
        ["auth", "--json", "kept.example", "a.example/team/app", "x.example", "locked.example"];
    let output = cli.run(&asked).await;
    assert_hidden(output.expect(4, "locked"));
    let shown: Value = serde_json::from_str(&output.stdout).unwrap();
    let file = cli.home().join(".docker/config.json");
    let kept = json!({
        "registry": "kept.example", "namespace": null, "credential": "password", "user": "carol",
        "source": {
            "kind": "helper", "name": "docker-credential-vault", "key": "kept.example",
            "configured_in": file,
        },
    });
    assert_eq!(shown[0], kept);
    assert_eq!(shown[1]["credential"], "identity_token");
    let source =
        json!({"kind": "file", "name": file, "key": "a.example/team", "configured_in": null});
    assert_eq!(shown[1]["source"], source);
    assert_eq!((&shown[2]["credential"], &shown[2]["source"]), (&Value::Null, &Value::Null));
    assert_eq!(shown[3]["error"]["kind"], "denied");
}

#[tokio::test]
async fn auth_option_and_variable_precede_files() {
    let cli = configured();
    let creds = format!("dave:{SECRET}");
    let output = cli.run(&["auth", "--json", "--creds", &creds, "a.example"]).await;
    assert_hidden(output.expect(0, ""));
    let shown: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        (&shown[0]["user"], &shown[0]["source"]["kind"]),
        (&json!("dave"), &json!("option"))
    );

    let variable = json!({"auths": {"a.example": {"username": "erin", "password": SECRET}}});
    let cli = cli.env("DOCKER_AUTH_CONFIG", variable.to_string());
    let shown = cli.json(&["auth", "--json", "a.example"]).await;
    assert_eq!(
        (&shown[0]["user"], &shown[0]["source"]["name"]),
        (&json!("erin"), &json!("DOCKER_AUTH_CONFIG"))
    );
}

#[tokio::test]
async fn auth_without_files_or_with_wrong_name_says_so() {
    let cli = Cli::new();
    cli.run(&["auth"]).await.expect(0, "rpull login");
    assert_eq!(cli.json(&["auth", "--json"]).await, json!([]));
    cli.run(&["auth", "a b"]).await.expect(2, "a b");
    cli.run(&["auth", "--authfile", "absent", "a.example"]).await.expect(2, "--authfile: absent");
    std::fs::write(cli.dir().join("broken"), "{").unwrap();
    cli.run(&["auth", "--authfile", "broken"]).await.expect(4, "broken: malformed at line 1");
}

#[tokio::test]
async fn auth_without_any_credential_has_no_table() {
    let cli = configured();
    let failed = cli.run(&["auth", "locked.example"]).await;
    assert_eq!(failed.expect(4, "docker-credential-vault").stdout, "");
    let nothing = Cli::new().run(&["auth"]).await;
    let words = "the auth files have no credentials; `rpull login HOST` saves one\n";
    assert_eq!((nothing.expect(0, words).stdout.as_str(), nothing.stderr.as_str()), ("", words));
}
