//! What a command leaves behind that fails before it has anything to keep.

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;

#[tokio::test]
async fn failed_command_creates_no_store() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let missing = registry.repository("missing:1");
    std::fs::write(cli.dir().join("manifest"), r#"{"schemaVersion":2}"#).unwrap();
    let commands: [(i32, &[&str]); 9] = [
        (3, &["pull", &missing]),
        (3, &["unpack", &missing, "root"]),
        (3, &["unpack", "--overlay", &missing, "layers"]),
        (3, &["pull", &missing, "--unpack", "root"]),
        (3, &["export", &missing, "-o", "root.tar"]),
        (3, &["copy", &missing, "store:app"]),
        (5, &["put-manifest", "store:app", "manifest"]),
        (2, &["serve", "--addr", "127.0.0.1:0", "--htpasswd", "missing"]),
        (6, &["serve", "--addr", "192.0.2.1:0"]),
    ];
    for (code, command) in commands {
        let output = cli.run(command).await;
        output.expect(code, "error: ");
        assert!(!cli.store().exists(), "{command:?}");
    }
    for left in ["root", "layers", "root.tar"] {
        assert!(!cli.dir().join(left).exists(), "{left}");
    }
}
