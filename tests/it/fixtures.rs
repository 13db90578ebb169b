//! The client against what real registries answer: every fixture is run as its file says, and asked exactly that.

use crate::support::cli::Cli;
use crate::support::fixtures::Fixture;

#[tokio::test]
async fn rpull_asks_each_registry_what_its_fixture_foresees() {
    for name in Fixture::names() {
        let fixture = Fixture::start(&name).await;
        let cli = Cli::new();
        let docker = cli.home().join(".docker");
        std::fs::create_dir(&docker).unwrap();
        std::fs::write(docker.join("config.json"), fixture.docker_config().to_string()).unwrap();
        fixture.plant_partial(&cli.store());
        let mut last = None;
        for _ in 0..fixture.runs {
            let output = cli.run(&fixture.command).await;
            assert_eq!(output.code(), Some(fixture.exit), "{name}: {}", output.stderr);
            last = Some(output);
        }
        fixture.assert_counts();
        if let (Some(expected), Some(output)) = (&fixture.stdout, last) {
            assert_eq!(&output.stdout, expected, "{name}");
        }
    }
}
