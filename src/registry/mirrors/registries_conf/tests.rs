use super::*;

const PATH: &str = "/c/registries.conf";

fn parse(text: &str) -> RegistriesConf {
    let mut conf = RegistriesConf::default();
    conf.add(text, Path::new(PATH)).unwrap();
    conf
}

fn places(hosts: &ContentHosts) -> Vec<String> {
    let all = hosts.mirrors.iter().chain([&hosts.registry]);
    all.map(|host| format!("{}/{}", host.name, host.repository)).collect()
}

fn found(text: &str, registry: &str, repository: &str) -> Option<Vec<String>> {
    parse(text).hosts(registry, repository, false).unwrap().map(|hosts| places(&hosts))
}

#[test]
fn registries_conf_mirrors_precede_location() {
    let text = r#"
        unqualified-search-registries = ["docker.io"]
        short-name-mode = "enforcing"
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.local:5000"
        insecure = true
        [[registry.mirror]]
        location = "cache.local/hub/"
        [aliases]
        "alpine" = "docker.io/library/alpine"
    "#;
    let hosts = parse(text).hosts("docker.io", "library/alpine", false).unwrap().unwrap();
    assert_eq!(
        places(&hosts),
        [
            "mirror.local:5000/library/alpine",
            "cache.local/hub/library/alpine",
            "docker.io/library/alpine"
        ]
    );
    assert_eq!(hosts.file, Path::new(PATH));
    let insecure: Vec<bool> = hosts.mirrors.iter().map(|host| host.settings.insecure).collect();
    assert_eq!(insecure, [true, false]);
    assert!(hosts.mirrors.iter().all(|host| host.settings.namespace.is_none()));
    assert!(hosts.mirrors.iter().all(|host| host.settings.is_other_host));
    assert!(!hosts.registry.settings.is_other_host);
    assert!(found(text, "quay.io", "a/b").is_none());
}

#[test]
fn registries_conf_longest_prefix_wins() {
    let text = r#"
        [[registry]]
        prefix = "r.example"
        location = "all.local"
        [[registry]]
        prefix = "r.example/team"
        location = "team.local:80/x"
        [[registry]]
        prefix = "r.example/team/app"
        location = "app.local/renamed"
        [[registry]]
        prefix = "*.example"
        location = "any.local"
        [[registry]]
        prefix = "*.sub.example"
        insecure = true
    "#;
    let one =
        |registry: &str, repository: &str| found(text, registry, repository).unwrap().concat();
    assert_eq!(one("r.example", "other/app"), "all.local/other/app");
    assert_eq!(one("r.example", "teams/app"), "all.local/teams/app");
    assert_eq!(one("r.example", "team/a/b"), "team.local:80/x/a/b");
    assert_eq!(one("r.example", "team/app"), "app.local/renamed");
    assert_eq!(one("q.example", "a"), "any.local/a");
    assert_eq!(one("a.sub.example", "b"), "a.sub.example/b", "no location: the name as it is");
    assert!(found(text, "example", "a").is_none());
    assert!(found(text, "r.example:5000", "a").is_none());
    assert!(found(text, "xexample", "a").is_none());
}

#[test]
fn registries_conf_pull_from_mirror_depends_on_reference() {
    let text = r#"
        [[registry]]
        location = "r.example"
        [[registry.mirror]]
        location = "all.local"
        [[registry.mirror]]
        location = "digests.local"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.local"
        pull-from-mirror = "tag-only"
        [[registry]]
        location = "q.example"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.local"
    "#;
    let names = |registry: &str, is_pinned| -> Vec<String> {
        let hosts = parse(text).hosts(registry, "a", is_pinned).unwrap().unwrap();
        hosts.mirrors.into_iter().map(|host| host.name).collect()
    };
    assert_eq!(names("r.example", false), ["all.local", "tags.local"]);
    assert_eq!(names("r.example", true), ["all.local", "digests.local"]);
    assert!(names("q.example", false).is_empty());
    assert_eq!(names("q.example", true), ["m.local"]);
}

#[test]
fn registries_conf_blocked_registry_is_denied() {
    let text = "[[registry]]\nprefix = \"r.example/bad\"\nblocked = true";
    let conf = parse(text);
    let error = conf.hosts("r.example", "bad/app", false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(
        error.to_string(),
        format!("r.example/bad/app: {PATH}: the registry is blocked there")
    );
    assert!(conf.hosts("r.example", "good", false).unwrap().is_none());
}

#[test]
fn registries_conf_push_goes_to_the_name_as_it_is() {
    let text =
        "[[registry]]\nlocation = \"other.local/x\"\nprefix = \"r.example\"\ninsecure = true";
    let hosts = parse(text).hosts("r.example", "a", false).unwrap().unwrap();
    assert_eq!(places(&hosts), ["other.local/x/a"]);
    assert_eq!((hosts.push.name.as_str(), hosts.push.repository.as_str()), ("r.example", "a"));
    assert!(hosts.push.settings.insecure && hosts.registry.settings.insecure);
}

#[test]
fn registries_conf_later_file_replaces_prefix() {
    let mut conf = parse("[[registry]]\nlocation = \"a.b\"\n[[registry]]\nlocation = \"c.d\"");
    let text = "[[registry]]\nprefix = \"a.b\"\nlocation = \"x.y\"";
    conf.add(text, Path::new("/c/registries.conf.d/1.conf")).unwrap();
    let one = |registry: &str| places(&conf.hosts(registry, "r", false).unwrap().unwrap()).concat();
    assert_eq!(one("a.b"), "x.y/r");
    assert_eq!(one("c.d"), "c.d/r");
}

#[test]
fn registries_conf_location_without_repository_is_error() {
    let conf = parse("[[registry]]\nprefix = \"r.example/a\"\nlocation = \"m.local\"");
    assert_eq!(conf.hosts("r.example", "a", false).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(places(&conf.hosts("r.example", "a/b", false).unwrap().unwrap()), ["m.local/b"]);
}

#[test]
fn registries_conf_errors_name_file_line_and_key() {
    for (text, line, part) in [
        ("[[registry", 1, ""),
        ("registry = 1", 1, "`registry`: invalid type"),
        ("[registry]\nlocation = \"a.b\"", 1, "invalid type: map"),
        ("\n[registries.search]\nregistries = [\"a.b\"]", 2, "version 1 of the format"),
        ("[[registry]]\nblocked = true", 1, "`location`: missing"),
        ("[[registry]]\nprefix = \"a.b\"", 1, "`location`: missing"),
        ("[[registry]]\nlocation = \"https://a.b\"", 2, "without a scheme"),
        ("[[registry]]\nlocation = \"u:canary@a.b\"", 2, "user name and password"),
        ("[[registry]]\nlocation = \"a.b/X\"", 2, "namespace"),
        ("[[registry]]\nlocation = \"word\"", 2, "not a registry host"),
        ("[[registry]]\nlocation = \"a.b\"\nprefix = \"*a.b\"", 3, "`prefix`: expected a name"),
        ("[[registry]]\nlocation = \"a.b\"\ninsecure = 1", 3, "`insecure`: invalid type"),
        ("[[registry]]\nlocation = \"a.b\"\n[[registry.mirror]]\n", 3, "missing field `location`"),
        (
            "[[registry]]\nlocation = \"a.b\"\n[[registry.mirror]]\nlocation = \"c.d\"\npull-from-mirror = \"x\"",
            5,
            "`pull-from-mirror`: unknown variant `x`",
        ),
        (
            "[[registry]]\nlocation = \"a.b\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"c.d\"\npull-from-mirror = \"all\"",
            6,
            "cannot be set together with `mirror-by-digest-only`",
        ),
    ] {
        let error = RegistriesConf::default().add(text, Path::new(PATH)).unwrap_err().chain();
        let at = format!("registries.conf: {PATH}:{line}: ");
        assert!(error.starts_with(&at) && error.contains(part), "{text}: {error}");
        assert!(!error.contains("canary"), "{error}");
    }
}
