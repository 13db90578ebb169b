//! The client against responses of real registries: one test for each file in `wiremock-fixtures/`.

use crate::support::cli::Cli;
use crate::support::fixtures::Fixture;

#[tokio::test]
async fn fixtures_all_have_a_test() {
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
