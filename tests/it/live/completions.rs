//! Completion scripts in the shells that they are for: zsh and fish are asked what they offer.

use std::path::Path;
use std::process::Command;

use crate::support::cli::Cli;
use crate::support::live::needs;
use crate::support::samples::published;

/// A store with an image named `example.com/app:1`, a layout `dir/layout` with the name `one`, and `rpull` in PATH.
struct Shell {
    cli: Cli,
    path: String,
}

impl Shell {
    async fn start(shell: &str, script: &str) -> Self {
        let (_registry, _, name) = published().await;
        let cli = Cli::new();
        cli.run(&[format!("{name}:1")]).await.expect(0, "");
        cli.run(&["tag", &format!("{name}:1"), "example.com/app:1"]).await.expect(0, "");
        cli.run(&["copy", "store:example.com/app:1", "oci:dir/layout:one"]).await.expect(0, "");
        let completions = cli.run(&["completions", shell]).await;
        std::fs::write(cli.dir().join(script), &completions.expect(0, "").stdout).unwrap();
        let bin = cli.dir().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_rpull"));
        std::os::unix::fs::symlink(program, bin.join("rpull")).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { cli, path }
    }

    /// What a program of the shell prints.
    fn lines(&self, program: &str, args: &[&str]) -> Vec<String> {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.cli.dir()).env("PATH", &self.path);
        command.env("HOME", self.cli.home()).env("RPULL_STORE", self.cli.store());
        let output = command.env("TERM", "dumb").output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// Command lines that both shells complete, with a candidate that they must offer, and one that they must not.
const LINES: [(&str, &str, &str); 22] = [
    ("rpull his", "history", "pull"),
    ("rpull history exam", "example.com/app:1", "oci:"),
    ("rpull rm exam", "example.com/app:1", "store:"),
    ("rpull copy oci:dir/layout:", "oci:dir/layout:one", "example.com/app:1"),
    ("rpull history --no-tr", "--no-trunc", "--no-store"),
    ("rpull copy --compression ", "estargz", "example.com/app:1"),
    ("rpull delta exam", "example.com/app:1", "oci:"),
    ("rpull rebase x --old-base exam", "example.com/app:1", "oci:"),
    ("rpull stats --since ", "7d", "example.com/app:1"),
    ("rpull artifact ", "attach", "example.com/app:1"),
    ("rpull artifact pull exam", "example.com/app:1", "attach"),
    ("rpull complete-w", "", "complete-word"),
    ("rpull analyze --format ", "sarif", "dir"),
    ("rpull analyze example.com/app:1 --format ", "sarif", "dir"),
    ("rpull index create --format ", "json", "dir"),
    ("rpull --format ", "json", "dir"),
    ("rpull --color ", "auto", "dir"),
    ("rpull --store ", "dir", "history"),
    // What follows the colon in the name of the value is no program that completes it.
    ("rpull --creds ", "dir", "history"),
    ("rpull pull --creds ", "dir", "history"),
    ("rpull serve --addr ", "dir", "history"),
    ("rpull serve --upstream ", "dir", "history"),
];

fn check(lines: impl Fn(&str) -> Vec<String>) {
    for (line, offered, other) in LINES {
        let found = lines(line);
        // fish shows directories with a slash.
        let found: Vec<_> = found.iter().map(|word| word.trim_end_matches('/')).collect();
        assert!(offered.is_empty() || found.contains(&offered), "{line}: {found:?}");
        assert!(!found.contains(&other), "{line}: {found:?}");
    }
}

#[tokio::test]
async fn fish_offers_commands_options_and_images() {
    if !needs("fish_offers_commands_options_and_images", &["fish"]) {
        return;
    }
    let shell = Shell::start("fish", "rpull.fish").await;
    check(|line| {
        let asked = format!("source rpull.fish; complete -C '{line}'");
        let found = shell.lines("fish", &["--no-config", "-c", &asked]);
        found.iter().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    });
}

/// Loads the script, and writes what is offered to a file. A key after Tab says that all of it was.
const ZSH_SETUP: &str = r#"
fpath=($PWD $fpath)
autoload -Uz compinit
compinit -u -d $PWD/dump
compadd() {
    if [[ ${argv[(I)-[OAD]]} -eq 0 ]]; then
        local -a offered
        # Quoted, as empty arguments count.
        builtin compadd -A offered "$@"
        print -rl -- $offered >> $PWD/offered
    fi
    builtin compadd "$@"
}
finished() { : > $PWD/finished }
zle -N finished
bindkey '^I' complete-word
bindkey '^X^T' finished
"#;

/// Types a line and Tab into a zsh in a terminal.
const ZSH_DRIVER: &str = r#"
zmodload zsh/zpty || exit 1
rm -f offered finished
zpty shell zsh -f -i
zpty -w shell 'source ./setup.zsh'
zpty -w -n shell "$1"$'\t\x18\x14'
repeat 600; do
    zpty -r -t shell text
    [[ -e finished ]] && break
    sleep 0.1
done
[[ -e finished ]] || exit 1
zpty -d shell
[[ ! -e offered ]] || cat offered
"#;

#[tokio::test]
async fn zsh_offers_commands_options_and_images() {
    if !needs("zsh_offers_commands_options_and_images", &["zsh"]) {
        return;
    }
    let shell = Shell::start("zsh", "_rpull").await;
    for (name, text) in [("setup.zsh", ZSH_SETUP), ("driver.zsh", ZSH_DRIVER)] {
        std::fs::write(shell.cli.dir().join(name), text).unwrap();
    }
    check(|line| shell.lines("zsh", &["-f", "driver.zsh", line]));
}
