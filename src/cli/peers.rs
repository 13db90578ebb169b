//! Maps command names of other tools to rpull's.

/// Returns the rpull command for what docker, podman, crane, skopeo, regctl, oras, ctr or umoci call `word`.
pub(super) fn counterpart(word: &str) -> Option<&'static str> {
    Some(match word {
        "version" => "rpull --version",
        "list" | "ps" | "image" | "container" | "containers" => "images",
        "rmi" | "remove" | "untag" => "rm",
        "list-tags" | "repo" => "tags",
        "search" | "repos" | "repositories" => "catalog",
        "clone" => "copy",
        "sync" => "mirror",
        "run" | "create" | "mount" | "extract" => "unpack",
        "resolve" | "manifest-digest" => "digest",
        "discover" | "tree" => "referrers",
        "fetch" | "get" | "download" => "pull",
        "upload" => "push",
        "registry" | "daemon" => "serve",
        "import" | "restore" => "load",
        "backup" => "save",
        "gc" | "clean" | "cleanup" => "prune",
        "info" | "system" | "content" | "snapshots" => "df",
        "check" => "verify",
        "show" => "inspect",
        "stat" => "history",
        "completion" => "completions",
        _ => return None,
    })
}

/// Returns the hint for an option that other tools have.
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
        ("inspect", "--raw") => "use `rpull manifest`, which prints the bytes as they are",
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

    const WORDS: [&str; 23] = [
        "version",
        "list",
        "ps",
        "image",
        "rmi",
        "list-tags",
        "repo",
        "search",
        "sync",
        "run",
        "resolve",
        "discover",
        "fetch",
        "upload",
        "registry",
        "import",
        "backup",
        "gc",
        "info",
        "check",
        "show",
        "stat",
        "completion",
    ];

    #[test]
    fn verb_of_other_tool_maps_to_existing_command() {
        let command = Cli::command();
        for word in WORDS {
            let verb = counterpart(word).unwrap();
            assert!(verb == "rpull --version" || command.find_subcommand(verb).is_some(), "{verb}");
            assert!(command.find_subcommand(word).is_none(), "{word}");
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
