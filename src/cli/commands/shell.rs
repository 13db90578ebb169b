//! `completions` and `man`.

use std::path::Path;
use std::process::ExitCode;

use clap_complete::Shell;

use crate::cli::args::{self, ShellVerb};
use crate::cli::output;
use crate::error::{Error, ErrorKind, Result};

/// Commands whose arguments are images that the store may have.
const TAKE_STORED_IMAGES: [&str; 19] = [
    "analyze", "append", "cat", "copy", "diff", "export", "files", "flatten", "history", "inspect",
    "layers", "mutate", "push", "rebase", "rm", "save", "tag", "unpack", "verify",
];

/// Completes names of images. They may come from foreign layouts, so no expansion sees them, as `compgen -W` would do. bash
/// splits words at colons and replaces only the last part.
const BASH_IMAGES: &str = r#"
_rpull_images() {
    local name word="${COMP_LINE:0:${COMP_POINT:-0}}"
    word="${word##*[[:space:]]}"
    local before="${word%"${word##*:}"}"
    COMPREPLY=()
    while IFS= read -r name; do
        if [[ ${word} != docker.io* ]]; then
            name="${name#docker.io/}"
            name="${name#library/}"
        fi
        if [[ ${name} == "${word}"* && ${name} =~ ^[[:alnum:]./:@_-]+$ ]]; then
            COMPREPLY+=("${name#"${before}"}")
        fi
    done < <("${COMP_WORDS[0]}" images -q 2>/dev/null)
}
"#;

/// Completes names of images in zsh, and files.
const ZSH_IMAGES: &str = r#"_rpull_images() {
    local -a images
    images=(${(f)"$(_call_program images rpull images -q 2>/dev/null)"})
    images=(${images#docker.io/})
    compadd -M 'r:|/=* r:|=*' -a -- images
    _files
}

"#;

pub(in crate::cli) fn run(verb: &ShellVerb) -> Result<ExitCode> {
    match verb {
        ShellVerb::Completions { shell } => completions(*shell),
        ShellVerb::Man { install: Some(dir) } => install_pages(dir),
        ShellVerb::Man { install: None } => man(),
    }
}

fn completions(shell: Shell) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "rpull", &mut text);
    let script = String::from_utf8_lossy(&text);
    let script = match shell {
        Shell::Bash => with_images(&script),
        Shell::Zsh => with_images_for_zsh(&script),
        Shell::Fish => format!("{script}{}", fish_images()),
        _ => script.into_owned(),
    };
    output::raw(script.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn has_commands(verb: &str) -> bool {
    ["artifact", "index"].contains(&verb)
}

/// Changes clap's script for bash: for an argument that is no option, it offers images or, by bash's default, files. clap
/// offers the options there, so that bash inserts the `-` that they all begin with.
fn with_images(script: &str) -> String {
    let (mut text, mut verb, mut offers) = (String::new(), None, 0);
    for line in script.lines() {
        if let Some(label) = line.trim_start().strip_prefix("rpull__subcmd__") {
            // Only the labels of the last `case` stand alone; `help` is followed by commands.
            let own = label.strip_suffix(')');
            // Labels with a comma are those of the first `case`, of commands of commands.
            verb = own.filter(|verb| !verb.starts_with("help") && !verb.contains(','));
            offers = 0;
        }
        let indent = line.len() - line.trim_start().len();
        let code = line.trim_start();
        let replaced = match verb {
            Some(verb) if !has_commands(verb) && code.starts_with("if [[ ${cur} == -* ||") => {
                "if [[ ${cur} == -* ]] ; then"
            }
            // clap offers the commands of a command.
            Some(verb) if has_commands(verb) => code,
            Some(verb) if code == r#"COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )"# => {
                offers += 1;
                match offers {
                    1 => code,
                    _ if TAKE_STORED_IMAGES.contains(&verb) => "_rpull_images",
                    _ => "COMPREPLY=()",
                }
            }
            _ => code,
        };
        text.push_str(line.get(..indent).unwrap_or_default());
        text.push_str(replaced);
        text.push('\n');
    }
    text + BASH_IMAGES
}

/// Changes clap's script for zsh: for an image it offers those of the store, and files.
fn with_images_for_zsh(script: &str) -> String {
    let is_image = |line: &str| {
        let line = line.trim_start();
        ["':image -- ", "'*::images -- ", "':source -- ", "':a -- ", "':b -- "]
            .iter()
            .any(|argument| line.starts_with(argument))
    };
    let mut text = String::new();
    for line in script.lines() {
        let line = if is_image(line) {
            line.replace(":_default'", ":_rpull_images'")
        } else {
            line.to_owned()
        };
        // Before the call at the end, which runs when the script is loaded.
        if line.starts_with("if [ \"$funcstack[1]\"") {
            text.push_str(ZSH_IMAGES);
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Further lines of clap's script for fish.
fn fish_images() -> String {
    format!(
        "complete -c rpull -n \"__fish_seen_subcommand_from {}\" -a \"(rpull images -q 2>/dev/null)\"\n",
        TAKE_STORED_IMAGES.join(" ")
    )
}

/// Writes a page for each command.
fn install_pages(dir: &Path) -> Result<ExitCode> {
    let dir = dir.join("man1");
    let fail = |error: std::io::Error| output::write_failed(&dir, error);
    std::fs::create_dir_all(&dir).map_err(fail)?;
    clap_mangen::generate_to(args::command(), &dir).map_err(fail)?;
    output::line(&crate::escape(&dir.display().to_string()))?;
    Ok(ExitCode::SUCCESS)
}

fn man() -> Result<ExitCode> {
    let mut text = Vec::new();
    let fail =
        |error: std::io::Error| Error::new(ErrorKind::Store, "manual page").with_source(error);
    let mut command = args::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(fail)?;
    for verb in command.get_subcommands() {
        text.extend_from_slice(b".\\\"\n");
        clap_mangen::Man::new(verb.clone()).render(&mut text).map_err(fail)?;
    }
    output::raw(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn commands_completed_with_images_exist() {
        let command = Cli::command();
        for verb in TAKE_STORED_IMAGES {
            assert!(command.find_subcommand(verb).is_some(), "{verb}");
        }
    }
}
