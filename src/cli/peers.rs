//! Maps command names of other tools to rpull's.

/// What rpull has for a command of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counterpart {
    /// The command that does it, without `rpull`.
    Command(&'static str),
    /// No command does it; what rpull does instead, as a hint.
    Nothing(&'static str),
}

/// Commands, and what docker, podman, crane, skopeo, regctl, oras, ctr or nerdctl call them: a word, or two.
const COMMANDS: &[(&str, &[&str])] = &[
    ("rpull --version", &["version"]),
    (
        "images",
        &["list", "ps", "image", "container", "containers", "image ls", "image list", "images ls"],
    ),
    ("rm", &["rmi", "remove", "untag", "image rm", "image remove", "images rm", "images delete"]),
    ("tags", &["list-tags", "repo", "tag ls", "tag list", "repo tags", "repo show-tags"]),
    ("catalog", &["search", "repos", "repositories", "repo ls", "repo list"]),
    ("copy", &["clone", "image copy", "image cp", "repo copy", "blob copy"]),
    ("copy", &["convert", "image convert", "images convert"]),
    ("mirror", &["sync"]),
    ("unpack", &["create", "mount", "extract", "images mount", "image unpack"]),
    ("digest", &["resolve", "manifest-digest", "image digest", "manifest digest"]),
    ("digest", &["manifest head", "blob head"]),
    ("manifest", &["image manifest", "manifest get", "manifest fetch", "manifest inspect"]),
    ("config", &["image config", "manifest fetch-config"]),
    ("blob", &["blob get", "blob fetch", "content get"]),
    ("put-blob", &["blob put", "blob push", "content ingest", "content push-object"]),
    ("put-manifest", &["manifest put", "manifest push"]),
    ("inspect", &["show", "image inspect", "index list", "index ls", "images inspect"]),
    ("history", &["stat", "image history"]),
    ("referrers", &["discover", "tree", "artifact tree", "artifact list", "artifact ls"]),
    ("delete", &["tag delete", "tag rm", "image delete", "manifest delete"]),
    ("diff", &["manifest diff", "blob diff-config", "blob diff-layer", "container diff"]),
    ("cat", &["image get-file", "blob get-file", "container cp"]),
    ("analyze", &["dive"]),
    ("check-base", &["image check-base"]),
    ("limits", &["image ratelimit"]),
    ("pull", &["fetch", "get", "download", "image pull", "images pull", "content fetch"]),
    ("push", &["upload", "image push", "images push"]),
    ("tag", &["image tag", "images tag"]),
    ("save", &["backup", "image save", "image export", "images export"]),
    ("load", &["import", "restore", "image load", "image import", "images import"]),
    ("export", &["container export"]),
    ("prune", &["gc", "clean", "cleanup", "image prune", "images prune", "content prune"]),
    ("prune", &["system prune", "builder prune"]),
    ("df", &["info", "system", "content", "snapshots", "system df"]),
    ("verify", &["check", "images check"]),
    ("mutate", &["image mod", "images label"]),
    ("index create", &["manifest create", "imagetools", "imagetools create", "manifest index"]),
    ("index add", &["index append", "manifest annotate"]),
    ("index remove", &["index filter", "index delete", "index rm", "manifest rm"]),
    ("artifact push", &["artifact put"]),
    ("artifact pull", &["artifact get"]),
    ("artifact attach", &["attach"]),
    ("serve", &["registry", "daemon", "registry serve"]),
    ("login", &["registry login", "auth login"]),
    ("logout", &["registry logout", "auth logout"]),
    ("auth", &["registry whoami", "auth get"]),
    ("completions", &["completion"]),
];

/// Commands that rpull does not have, by what it says of them.
const NOT_DONE: &[(&str, &[&str])] = &[
    ("rpull runs no containers; `rpull unpack` writes the root file system of an image", &["run"]),
    (
        "rpull runs no containers",
        &[
            "compose", "events", "exec", "kill", "logs", "network", "pause", "pod", "port",
            "rename", "restart", "start", "stop", "swarm", "task", "tasks", "top", "unpause",
            "update", "volume", "wait",
        ],
    ),
    (
        "rpull builds no images; `rpull append` adds layers, `rpull mutate` changes the config",
        &["build", "builder", "buildx", "bud", "commit"],
    ),
    (
        "rpull neither makes nor checks signatures; `rpull copy --referrers --digest-tags` copies them",
        &["sign", "standalone-sign", "standalone-verify", "trust"],
    ),
    ("encrypted layers are copied as they are", &["image encrypt", "image decrypt"]),
    ("rpull looks for no vulnerabilities", &["scan", "scout"]),
    (
        "`rpull auth HOST` shows where the credential is from; tokens are not printed",
        &["auth token"],
    ),
    ("settings of registries are in a file, `rpull --config FILE`", &["registry set"]),
    ("a registry's own cleanup removes blobs that no manifest names", &["blob delete"]),
    ("`sha256sum FILE` prints the digest of a file", &["ref"]),
];

/// Returns what rpull has for a command of another tool, and how many of the two words are its name.
pub(super) fn counterpart(first: &str, second: Option<&str>) -> Option<(usize, Counterpart)> {
    let find = |words: &str| {
        let in_row = |(_, names): &&(&str, &[&str])| names.contains(&words);
        let command = COMMANDS.iter().find(in_row).map(|(name, _)| Counterpart::Command(name));
        let reason =
            || NOT_DONE.iter().find(in_row).map(|(reason, _)| Counterpart::Nothing(reason));
        command.or_else(reason)
    };
    let both = second.and_then(|second| find(&format!("{first} {second}")));
    both.map(|found| (2, found)).or_else(|| find(first).map(|found| (1, found)))
}

/// Returns the hint for an option or another argument that other tools have.
pub(super) fn counterpart_of_option(verb: &str, option: &str) -> Option<&'static str> {
    Some(match (verb, option) {
        ("rm", "--force") => "omit it: names are removed without asking; `--yes` is for selections",
        (_, "--tls-verify") => "pass `--insecure` to disable verification, `--plain-http` for HTTP",
        (_, "--src-tls-verify") => "pass `--src-insecure` or `--src-plain-http`",
        (_, "--dest-tls-verify") => "pass `--dest-insecure` or `--dest-plain-http`",
        (_, "--cert-dir") => "pass the files with `--ca-file`, `--cert-file` and `--key-file`",
        ("copy" | "cp", "--all" | "-a") => "omit it: all platforms are copied by default",
        ("pull", "--all") => "use `--all-tags` or `--all-platforms`",
        ("images" | "ls" | "df" | "history" | "layers" | "files", "-l") => {
            "pass `--wide` for whole tables"
        }
        ("images" | "ls", "-a" | "--all") => "omit it: all images are listed",
        ("images" | "ls", "--no-trunc" | "--digests") => {
            "pass `--format '{{reference}} {{digest}}'` for whole digests, or `--json`"
        }
        ("images", name) if !name.starts_with('-') => {
            "select images with `--filter reference=NAME`"
        }
        ("ls", name) if !name.starts_with('-') => {
            "select images of the store with `--filter reference=NAME`; `rpull tags REPO` lists tags"
        }
        ("digest", "--full-ref") => "omit it: `--format '{{reference}}@{{digest}}'` prints both",
        ("inspect", "--raw") => "use `rpull manifest`, which prints the bytes as they are",
        ("inspect", "--config") => "use `rpull config`; here `--config FILE` reads settings",
        ("append", "-b" | "--base") => "write the base first: `rpull append BASE PATH… -t NAME`",
        ("append", "-f" | "--new_layer") => "write it as it is: `rpull append BASE PATH… -t NAME`",
        ("serve", "-p" | "--port") => "pass the address with the port, as `--addr 127.0.0.1:5000`",
        (
            "pull" | "copy" | "cp" | "save" | "digest" | "manifest" | "config" | "inspect"
            | "history" | "layers" | "files" | "unpack" | "export" | "mutate" | "append",
            "-p",
        ) => "write it out: `--platform os/arch`",
        (_, "--user" | "-u" | "--username") => "pass `--creds USER:PASS`, or run `rpull login`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn verb_of_other_tool_maps_to_existing_command() {
        let root = Cli::command();
        let find = |words: &str| {
            let mut command = Some(&root);
            for word in words.split(' ') {
                command = command.and_then(|command| command.find_subcommand(word));
            }
            command.is_some()
        };
        let mut seen = std::collections::HashSet::new();
        for (own, names) in COMMANDS.iter().chain(NOT_DONE) {
            let is_reason = NOT_DONE.iter().any(|(reason, _)| reason == own);
            assert!(is_reason || *own == "rpull --version" || find(own), "{own}");
            for name in *names {
                assert!(!find(name), "{name} is a command");
                assert!(seen.insert(name), "{name} is listed twice");
            }
        }
    }

    #[test]
    fn command_of_guide_for_other_tools_has_counterpart() {
        let guide = include_str!("../../docs/coming-from.md");
        let root = Cli::command();
        let cells = guide.lines().filter(|line| line.starts_with("| `"));
        let names = cells.filter_map(|line| line.split('|').nth(1));
        for name in names.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
            let words: Vec<&str> = name.split_whitespace().collect();
            let [
                "docker" | "crane" | "skopeo" | "regctl" | "oras" | "ctr" | "nerdctl",
                first,
                rest @ ..,
            ] = words.as_slice()
            else {
                continue;
            };
            let is_bare = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let second = rest.first().filter(is_bare).filter(|word| !word.starts_with('-'));
            let own = root.find_subcommand(first);
            let is_own = own.is_some_and(|own| match second {
                Some(second) => own.find_subcommand(second).is_some(),
                None => true,
            });
            let found = counterpart(first, second.copied());
            let is_mapped = found.is_some_and(|(count, _)| count == 2 || own.is_none());
            assert!(is_own || is_mapped, "`{name}`: {found:?}");
        }
    }

    #[test]
    fn hint_for_option_of_other_tool_names_existing_options() {
        let mut command = Cli::command();
        command.build();
        for (verb, option) in [
            ("rm", "--force"),
            ("pull", "--tls-verify"),
            ("copy", "--src-tls-verify"),
            ("copy", "--dest-tls-verify"),
            ("pull", "--cert-dir"),
            ("pull", "--all"),
            ("pull", "--username"),
            ("images", "-l"),
            ("images", "-a"),
            ("images", "--digests"),
            ("images", "app"),
            ("ls", "reg.test/app"),
            ("digest", "--full-ref"),
            ("inspect", "--raw"),
            ("append", "-b"),
            ("append", "-f"),
            ("serve", "-p"),
            ("digest", "-p"),
            ("unpack", "-p"),
            ("mutate", "-p"),
        ] {
            let known = command.find_subcommand(verb).unwrap();
            let exists = |name: &str| known.get_arguments().any(|arg| arg.get_long() == Some(name));
            let short = option.strip_prefix('-').and_then(|name| name.parse::<char>().ok());
            let has_short = known.get_arguments().any(|arg| arg.get_short() == short);
            assert!(!exists(option.trim_start_matches("--")), "{verb} {option}");
            assert!(short.is_none() || !has_short, "{verb} {option}");
            let hint = counterpart_of_option(verb, option).unwrap();
            for named in hint.split('`').filter_map(|word| word.strip_prefix("--")) {
                assert!(exists(named.split(' ').next().unwrap()), "{named} of {verb}");
            }
        }
        assert_eq!(counterpart_of_option("copy", "--nonsense"), None);
    }
}
