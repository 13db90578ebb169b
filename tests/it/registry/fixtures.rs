//! The client against responses of real registries: one test for each file in `wiremock-fixtures/`.

use crate::support::cli::Cli;
use crate::support::fixtures::Fixture;

/// The test of a fixture: `ecr_head_refused_405` runs `ecr/head-refused-405.json`.
fn test_name(fixture: &str) -> String {
    fixture.replace(['/', '-'], "_")
}

async fn run(test: &str) {
    let names = Fixture::names();
    let name = names.iter().find(|name| test_name(name) == test);
    let fixture = Fixture::start(name.expect("no fixture has this name")).await;
    let cli = Cli::new();
    let docker = cli.home().join(".docker");
    std::fs::create_dir(&docker).unwrap();
    std::fs::write(docker.join("config.json"), fixture.docker_config().to_string()).unwrap();
    fixture.plant_partial(&cli.store());
    let mut last = None;
    for _ in 0..fixture.runs {
        let output = cli.run(&fixture.command).await;
        assert_eq!(output.code(), Some(fixture.exit), "{}", output.stderr);
        last = Some(output);
    }
    fixture.assert_counts();
    if let (Some(expected), Some(output)) = (&fixture.stdout, last) {
        assert_eq!(&output.stdout, expected);
    }
}

macro_rules! fixture_tests {
    ($($name:ident)*) => {
        const TESTS: &[&str] = &[$(stringify!($name)),*];

        $(
            #[tokio::test]
            async fn $name() {
                run(stringify!($name)).await;
            }
        )*
    };
}

fixture_tests! {
    artifactory_accept_in_one_line
    artifactory_digests_among_tags
    artifactory_missing_tag_is_forbidden
    artifactory_mount_forbidden
    artifactory_not_acceptable
    artifactory_token_post_refused
    cdn_expired_signature
    cdn_refuses_authorization
    cdn_relative_redirect
    cdn_upload_elsewhere
    distribution_delete_of_the_only_tag
    distribution_delete_takes_siblings_along
    distribution_deletes_are_off
    distribution_link_without_relation
    distribution_no_referrers_api
    distribution_relative_location
    docker_hub_abuse_limit_in_plain_text
    docker_hub_head_too_many_requests
    docker_hub_missing_repository
    docker_hub_push_scope
    docker_hub_token_dance
    docker_hub_too_many_requests
    ecr_basic
    ecr_expired_login
    ecr_head_refused_400
    ecr_head_refused_405
    ecr_immutable_tag_with_the_same_digest
    ecr_manifest_without_location
    ghcr_missing_is_denied
    ghcr_no_catalog
    ghcr_pull
    ghcr_tags_null_past_the_end
    ghcr_upload_path_of_its_own
    gitlab_catalog_is_refused
    gitlab_fallback_tag_is_the_subject
    gitlab_jwt_auth
    google_referrers_lead_to_a_login_page
    google_referrers_without_api_or_tag
    harbor_cookies_stay_behind
    harbor_immutable_tag
    harbor_mount_unauthorized
    harbor_not_found
    harbor_range_ignored
    harbor_referrers_refused_without_challenge
    nexus_basic_without_bearer_realm
    nexus_null_and_empty_tags
    quay_cdn_redirect
    quay_delete_has_no_action_of_its_own
    quay_mount_refused
    quay_tags_paged
    zot_referrers_in_pages
}

#[test]
fn every_fixture_has_a_test() {
    let fixtures: Vec<String> = Fixture::names().iter().map(|name| test_name(name)).collect();
    assert_eq!(fixtures, TESTS, "`fixture_tests!` lists each file once, sorted");
}
