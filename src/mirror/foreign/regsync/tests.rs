//! Tests of regsync's file.

use super::super::options::Outside;
use super::*;
use crate::mirror::template::ImageParts;

fn read(text: &str) -> Result<MirrorFile> {
    let outside = |outside: Outside<'_>| match outside {
        Outside::Env("HUB_USER") => Ok("me".to_owned()),
        Outside::File("/run/token") => Ok("pass:word\n".to_owned()),
        other => Err(format!("{other:?} is missing")),
    };
    super::read(Yaml { text, file: "r.yaml" }, &outside)
}

const FILE: &str = r#"x-sched-a: &sched-a "15 01 * * *"
x-hub: &hub
  target: reg.io:5000/hub/{{ .Sync.Source }}
  type: image
version: 1
creds:
  - registry: reg.io:5000
    tls: disabled
    reqConcurrent: 3
    reqPerSec: 0
  - registry: docker.io
    user: "{{env \"HUB_USER\"}}"
    pass: "{{file \"/run/token\"}}"
    repoAuth: true
    mirrors: [a.b]
defaults:
  ratelimit: { min: 100, retry: 15m }
  parallel: 2
  interval: 60m
  backup: ""
  digestTags: true
sync:
  - source: busybox
    target: reg.io:5000/library/busybox
    type: image
    schedule: *sched-a
    forceRecursive: false
  - <<: *hub
    source: alpine
    type: repository
    platform: linux/amd64
    referrers: true
    digestTags: false
    interval: 5m
    tags:
      allow: [latest, 3, '3.\d+']
      deny: ["3.0"]
  - source: localreg:5000
    target: localcopy:5000/a
    type: registry
    repos: { allow: ["team/.*"], deny: [".*/old"] }
    tags: { semverRange: [">=1.2", "0.9"] }
  - source: ocidir:///srv/in
    target: ocidir:///srv/out
    type: repository
"#;

#[test]
fn regsync_file_is_read_as_it_is() {
    let file = read(FILE).unwrap();
    let [busybox, alpine, registry, layout] = file.entries.as_slice() else { panic!() };
    let target = |entry: &MirrorEntry, image: &str| {
        let image: Reference = image.parse().unwrap();
        entry.to[0].render(&ImageParts::from(&image)).unwrap().to_string()
    };
    assert!(matches!(&busybox.from, EntrySource::Image(image)
        if image.to_string() == "docker.io/library/busybox:latest"));
    assert_eq!(target(busybox, "busybox:latest"), "reg.io:5000/library/busybox:latest");
    assert!(busybox.digest_tags && !busybox.referrers && busybox.place == "r.yaml:23");

    let tags = ["latest", "3", "3.0", "3.18", "13", "3.18-rc", "1.1", "1.3", "0.9.1"];
    let tags = tags.map(str::to_owned);
    assert!(matches!(&alpine.from, EntrySource::Repository(repository)
        if repository.to_string() == "docker.io/library/alpine"));
    assert_eq!(target(alpine, "alpine:3"), "reg.io:5000/hub/alpine:3");
    assert_eq!(alpine.tags.select(&tags), ["latest", "3", "3.18"]);
    assert!(!alpine.digest_tags && alpine.referrers && alpine.platforms.len() == 1);

    assert!(matches!(&registry.from, EntrySource::Repositories { registry, rules }
        if registry == "localreg:5000" && rules.matches("team/a")
            && !rules.matches("team/old") && !rules.matches("my/team/a")));
    assert_eq!(target(registry, "localreg:5000/team/a:1"), "localcopy:5000/a/team/a:1");
    assert_eq!(registry.tags.select(&tags), ["3", "3.0", "3.18", "13", "1.3", "0.9.1"]);

    assert!(matches!(&layout.from, EntrySource::Layout(path) if path.ends_with("srv/in")));
    assert_eq!(target(layout, "a:7"), "oci:/srv/out:7");
}

#[test]
fn regsync_registries_are_settings() {
    let file = read(FILE).unwrap();
    let (local, hub) = (&file.registries["reg.io:5000"], &file.registries["docker.io"]);
    assert!(local.plain_http && local.connections == Some(3));
    assert_eq!((local.requests_per_second, hub.plain_http), (None, false));
    assert_eq!(hub.creds.as_ref().unwrap().expose(), "me:pass:word");
}

#[test]
fn keys_without_effect_are_named_once() {
    let notes = read(FILE).unwrap().notes;
    let heads: Vec<&str> = notes.iter().map(|note| note.split(": ").next().unwrap()).collect();
    let keys: Vec<&str> = notes.iter().map(|note| note.split('`').nth(1).unwrap()).collect();
    assert_eq!(keys, ["mirrors", "interval", "ratelimit", "parallel", "schedule"], "{notes:?}");
    assert_eq!(heads, ["r.yaml:15", "r.yaml:19", "r.yaml:17", "r.yaml:18", "r.yaml:26"]);
}

#[test]
fn regsync_file_errors_name_line_and_key() {
    let entry = |more: &str| format!("sync:\n- source: a\n  target: r.io/a\n  {more}");
    for (text, expected) in [
        ("synk: []\nsync: []", "1: unknown field `synk`, expected one of version, "),
        ("version: 2\nsync: []", "1: `version`: version 2 of the file is not supported"),
        (&entry(""), "2: missing key `type`"),
        (&entry("type: repo"), "4: `type`: `repo`: expected image, repository or registry"),
        (&entry("type: image\n  tag: x"), "5: unknown field `tag`, expected one of "),
        (&entry("type: image\n  backup: old"), "5: `backup` is not supported"),
        (&entry("type: image\n  hooks: {pre: {type: x}}"), "5: `hooks` is not supported"),
        (&entry("type: repository\n  tags:\n    allow: ['(']"), "6: `allow`: `(`: "),
        (&entry("type: repository\n  tags:\n    alow: []"), "6: unknown field `alow`"),
        (&entry("type: image\n  platform: a/b/c/d"), "5: `platform`: "),
        (
            "sync:\n- source: a\n  target: r.io/{{.Ref.Tag}}\n  type: image",
            "3: `target`: the template `{{.Ref.Tag}}` is not supported",
        ),
        ("sync:\n- source: a:1\n  target: b\n  type: repository", "2: `source`: "),
        ("sync:\n- source: '{{env \"X\"}}'\n  target: b\n  type: image", "2: `source`: "),
        ("creds:\n- registry: a.b\n  tls: on\nsync: []", "3: `tls`: "),
        ("creds:\n- registry: a.b\n  regcert: x\nsync: []", "3: `regcert` is not supported"),
        ("defaults:\n  hooks: {post: {}}\nsync: []", "2: `hooks` is not supported"),
        ("defaults:\n  source: a\nsync: []", "2: `source`: not allowed in `defaults`"),
    ] {
        let Err(error) = read(text) else { panic!("{text}") };
        let (error, expected) = (error.chain(), format!("mirror file: r.yaml:{expected}"));
        assert!(error.starts_with(&expected), "{text}\n{error}\n{expected}");
    }
}
