//! `--json` of commands that fail, and of those that print little: always one value on stdout, of the same shape.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::samples::published;

#[tokio::test]
async fn failed_command_prints_error_as_json() {
    let (_registry, _, name) = published().await;
    let (cli, missing) = (Cli::new(), format!("{name}:missing"));
    for (words, code, kind) in [
        (vec!["digest", &missing], 3, "not_found"),
        (vec!["manifest", &missing], 3, "not_found"),
        (vec!["inspect", &missing], 3, "not_found"),
        (vec!["history", "store:absent"], 3, "not_found"),
        (vec!["tags", "127.0.0.1:1/a", "--retries", "0"], 6, "transport"),
        (vec!["tag", "absent", "b"], 3, "not_found"),
        (vec!["pull", "upper/Case"], 2, "reference"),
        (vec!["push", "absent", &missing], 3, "not_found"),
        (vec!["copy", "oci:absent", "oci:x"], 3, "not_found"),
        (vec!["load", "absent.tar"], 3, "not_found"),
        (vec!["rm", "--nonsense"], 2, "reference"),
        (vec!["histroy", "a"], 2, "reference"),
    ] {
        let output = cli.run(&[&words[..], &["--json"]].concat()).await;
        output.expect(code, "error: ");
        let value: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(value["error"]["kind"], kind, "{words:?}: {value}");
        let told = value["error"]["message"].as_str().unwrap();
        assert!(output.stderr.contains(told), "{told} in {}", output.stderr);
        assert_eq!(value.as_object().unwrap().len(), 1);
    }
    let help = cli.run(&["rm", "--json", "--help"]).await;
    assert!(help.expect(0, "").stdout.starts_with("Remove image names"), "help is no error");
    let words = ["--", "--json"];
    assert_eq!(cli.run(&words).await.expect(2, "error: ").stdout, "", "an argument, no option");
}

#[tokio::test]
async fn failed_command_with_result_prints_one_value() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let output = cli.run(&["pull", "--json", &format!("{name}:missing")]).await;
    let report = output.expect(3, "").report();
    assert_eq!(report["error"]["kind"], "not_found");
    assert_eq!(report["reference"], json!(format!("{name}:missing")));
}

#[tokio::test]
async fn login_and_logout_json_name_registry_and_file() {
    let (registry, _, _) = published().await;
    let (cli, host) = (Cli::new(), registry.server.host());
    let login = ["login", "--json", "-u", "user", "--password-stdin", &host];
    let logged_in = cli.run_on("pass\n", &login).await;
    let value: Value = serde_json::from_str(&logged_in.expect(0, "").stdout).unwrap();
    assert_eq!((&value["registry"], &value["namespace"]), (&json!(host), &Value::Null));
    assert!(value["stored_in"].as_str().unwrap().ends_with("config.json"), "{value}");
    assert!(!logged_in.stdout.contains("pass"));
    for existed in [true, false] {
        let value = cli.json(&["logout", "--json", &host]).await;
        assert_eq!((&value["registry"], &value["removed"]), (&json!(host), &json!(existed)));
    }
}
