//! `completions` and `man`.

use std::process::ExitCode;

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

pub(in crate::cli) fn run(verb: &ShellVerb) -> Result<ExitCode> {
    match verb {
        ShellVerb::Completions { shell } => completions(*shell),
        ShellVerb::Man => man(),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "rpull", &mut text);
    if shell == clap_complete::Shell::Bash {
        text = with_images(&String::from_utf8_lossy(&text)).into_bytes();
    }
    output::raw(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Changes clap's script for bash: for an argument that is no option, it offers images or, by bash's default, files. clap
/// offers the options there, so that bash inserts the `-` that they all begin with.
fn with_images(script: &str) -> String {
    let (mut text, mut verb, mut offers) = (String::new(), None, 0);
    for line in script.lines() {
        if let Some(label) = line.trim_start().strip_prefix("rpull__subcmd__") {
            // Only the labels of the last `case` stand alone; `help` is followed by commands.
            verb = label.strip_suffix(')').filter(|verb| !verb.starts_with("help"));
            offers = 0;
        }
        let indent = line.len() - line.trim_start().len();
        let code = line.trim_start();
        let replaced = match verb {
            Some(_) if code.starts_with("if [[ ${cur} == -* ||") => "if [[ ${cur} == -* ]] ; then",
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
