//! Maps command names of other tools to rpull's.

/// Returns the rpull command for what docker, podman, crane, skopeo, regctl, oras, ctr or umoci call `word`.
pub(super) fn counterpart(word: &str) -> Option<&'static str> {
    Some(match word {
        "version" => "rpull --version",
        "list" | "ps" | "image" | "container" | "containers" => "images",
        "rmi" | "remove" | "untag" => "rm",
        "list-tags" | "repo" => "tags",
        "search" | "repos" | "repositories" => "catalog",
        "sync" | "clone" => "copy",
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
        "auth" => "login",
        "completion" => "completions",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;

    const WORDS: [&str; 24] = [
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
        "auth",
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
}
