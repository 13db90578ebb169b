//! `completions` and `man`.

use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::cli::args::{self, ShellVerb};
use crate::cli::image_arguments::{OPTIONS_TAKE_IMAGES, TAKE_IMAGES};
use crate::cli::output;
use crate::error::{Error, ErrorKind, Result};

/// Completes images and locations. Names may come from foreign layouts, so no expansion sees them, as `compgen -W` would do.
/// bash splits words at colons and replaces only the last part. A location goes on, so no space follows it.
const BASH_IMAGES: &str = r#"
_rpull_images() {
    local name word="${COMP_LINE:0:${COMP_POINT:-0}}"
    word="${word##*[[:space:]]}"
    local before="${word%"${word##*:}"}"
    COMPREPLY=()
    while IFS= read -r name; do
        if [[ ${name} == "${word}"* && ${name} =~ ^[[:alnum:]./:@_+-]+$ ]]; then
            COMPREPLY+=("${name#"${before}"}")
        fi
    done < <("${COMP_WORDS[0]}" complete-word "$1" -- "${word}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
"#;

/// Completes images, locations and files in zsh.
const ZSH_IMAGES: &str = r#"_rpull_images() {
    local -a images
    local verb=${${curcontext##*-command-}%%:*}
    [[ ${curcontext} == *-(artifact|index)-command-* ]] && verb=artifact
    images=(${(f)"$(_call_program images rpull complete-word ${(q)verb} -- ${(q)PREFIX} 2>/dev/null)"})
    compadd -S '' -- ${(M)images:#*[:/]}
    compadd -- ${images:#*[:/]}
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
    let script = without_hidden(shell, &String::from_utf8_lossy(&text));
    let script = match shell {
        Shell::Bash => with_images(&script),
        Shell::Zsh => with_images_for_zsh(&with_escaped_value_names(script, &args::command())),
        Shell::Fish => format!("{}{}", with_values_before_command(&script), fish_images()),
        _ => script,
    };
    output::raw(script.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Escapes colons in the names of values, such as `USER:PASS`: clap writes them as they are, and zsh takes what follows a
/// colon for the action that completes the value.
fn with_escaped_value_names(mut script: String, command: &Command) -> String {
    let names = command.get_arguments().flat_map(|arg| arg.get_value_names().unwrap_or_default());
    for name in names.filter(|name| name.contains(':')) {
        let escaped = name.replace(':', "\\:");
        script = script.replace(&format!("]:{name}:"), &format!("]:{escaped}:"));
    }
    command.get_subcommands().fold(script, with_escaped_value_names)
}

/// Changes clap's script for fish: it offers nothing for the value of an option in front of the command, because the options
/// without this value cannot be parsed.
fn with_values_before_command(script: &str) -> String {
    let incomplete = "2>/dev/null\n    or return\n";
    script.replacen(incomplete, "2>/dev/null\n    or return 0\n", 1)
}

/// Removes the hidden command from what is offered.
fn without_hidden(shell: Shell, script: &str) -> String {
    if shell == Shell::Bash {
        return script.replace(" complete-word", "");
    }
    let offers =
        ["'complete-word:", "-a \"complete-word\"", "cand complete-word ", "::new('complete-word'"];
    let is_offer = |line: &&str| offers.iter().any(|offer| line.contains(offer));
    script.lines().filter(|line| !is_offer(line)).flat_map(|line| [line, "\n"]).collect()
}

/// What clap's script for bash has between the parts of a label, and in place of dashes.
const SEPARATOR: &str = "__subcmd__";

fn has_commands(verb: &str) -> bool {
    ["artifact", "index"].contains(&verb)
}

/// The command that takes images and has this label in clap's script, alone or with one of its own commands.
fn taking_images(label: &str) -> Option<&'static str> {
    TAKE_IMAGES.into_iter().find(|verb| {
        let own = verb.replace('-', SEPARATOR);
        label.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR))
    })
}

/// Makes clap's list of options and commands one of commands, unless the word is an option: bash shows it in this order.
fn commands_before_options(list: &str) -> String {
    let words = list.trim_start_matches("opts=").trim_matches('"').split(' ');
    let commands: Vec<&str> = words.filter(|word| !word.starts_with('-')).collect();
    format!("{list}; [[ ${{cur}} == -* ]] || opts=\"{}\"", commands.join(" "))
}

/// Changes clap's script for bash: for an argument that is no option, it offers images or, by bash's default, files. clap
/// offers the options there, so that bash inserts the `-` that they all begin with.
fn with_images(script: &str) -> String {
    let (mut text, mut verb, mut offers) = (String::new(), None, 0);
    let mut option = "";
    for line in script.lines() {
        if let Some(label) = line.trim_start().strip_prefix("rpull__subcmd__") {
            // Only the labels of the last `case` stand alone; `help` is followed by commands.
            let own = label.strip_suffix(')');
            // Labels with a comma are those of the first `case`, of commands of commands.
            verb = own.filter(|verb| !verb.starts_with("help") && !verb.contains(','));
            offers = 0;
        }
        if let Some(label) = line.trim_start().strip_prefix("--") {
            option = label.trim_end_matches(')');
        }
        let indent = line.len() - line.trim_start().len();
        let code = line.trim_start();
        let replaced = match verb {
            Some(verb) if !has_commands(verb) && code.starts_with("if [[ ${cur} == -* ||") => {
                "if [[ ${cur} == -* ]] ; then".to_owned()
            }
            Some(verb) if code == r#"COMPREPLY=($(compgen -f "${cur}"))"# => {
                match taking_images(verb)
                    .filter(|verb| OPTIONS_TAKE_IMAGES.contains(&(verb, option)))
                {
                    Some(verb) => format!("_rpull_images {verb}"),
                    None => code.to_owned(),
                }
            }
            _ if verb.is_none_or(has_commands) && code.starts_with("opts=\"-") => {
                commands_before_options(code)
            }
            // clap offers the commands of a command.
            Some(verb) if has_commands(verb) => code.to_owned(),
            Some(verb) if code == r#"COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )"# => {
                offers += 1;
                match (offers, taking_images(verb)) {
                    (1, _) => code.to_owned(),
                    (_, Some(verb)) => format!("_rpull_images {verb}"),
                    (_, None) => "COMPREPLY=()".to_owned(),
                }
            }
            _ => code.to_owned(),
        };
        text.push_str(line.get(..indent).unwrap_or_default());
        text.push_str(&replaced);
        text.push('\n');
    }
    text + BASH_IMAGES
}

/// How the arguments that are images begin in clap's script for zsh.
const ZSH_ARGUMENTS: [&str; 11] = [
    "':image -- ",
    "'*::images -- ",
    "':source -- ",
    "':destination -- ",
    "':a -- ",
    "':b -- ",
    "':old -- ",
    "':new -- ",
    "':name -- ",
    "':reference -- ",
    "':repository -- ",
];

/// How clap's script for zsh begins to complete the options and arguments of a command.
const ZSH_OPTIONS: &str = r#"_arguments "${_arguments_options[@]}" :"#;

/// How it begins to complete those of a command whose options are in front of its first argument.
const ZSH_LEADING_OPTIONS: &str = r#"_arguments "${_arguments_options[@]}" -A "-*" :"#;

/// Changes clap's script for zsh: for an image it offers those of the store, and files. After a command, options are those of
/// the command, which may have other values than before it.
fn with_images_for_zsh(script: &str) -> String {
    let script = script.replacen(ZSH_OPTIONS, ZSH_LEADING_OPTIONS, 1);
    let is_image = |line: &str| {
        let line = line.trim_start();
        let takes_image = |(_, option): &(&str, &str)| {
            let of_image = line.contains("IMAGE:_") || line.contains("NAME:_");
            line.starts_with(&format!("'--{option}=")) && of_image
        };
        ZSH_ARGUMENTS.iter().any(|argument| line.starts_with(argument))
            || OPTIONS_TAKE_IMAGES.iter().any(takes_image)
    };
    let mut text = String::new();
    for line in script.lines() {
        let line = if is_image(line) {
            line.replace(":_default'", ":_rpull_images'").replace(":_files'", ":_rpull_images'")
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
    let offer = |condition: &str| {
        format!(
            "complete -c rpull -n \"{condition}\" -a \"(rpull complete-word (commandline -opc)[2] -- (commandline -ct) 2>/dev/null)\"\n"
        )
    };
    let of_option = |(verb, option): (&str, &str)| {
        format!(
            "complete -c rpull -n \"__fish_seen_subcommand_from {verb}\" -l {option} -r -a \"(rpull complete-word {verb} -- (commandline -ct) 2>/dev/null)\"\n"
        )
    };
    let plain: Vec<_> = TAKE_IMAGES.into_iter().filter(|verb| !has_commands(verb)).collect();
    let mut text = offer(&format!("__fish_seen_subcommand_from {}", plain.join(" ")));
    text.extend(OPTIONS_TAKE_IMAGES.map(of_option));
    for verb in args::command().get_subcommands().filter(|verb| has_commands(verb.get_name())) {
        let own: Vec<_> = verb.get_subcommands().map(Command::get_name).collect();
        text.push_str(&offer(&format!(
            "__fish_seen_subcommand_from {}; and __fish_seen_subcommand_from {}",
            verb.get_name(),
            own.join(" ")
        )));
    }
    text
}

/// Writes a page for each command.
fn install_pages(dir: &Path) -> Result<ExitCode> {
    let dir = dir.join("man1");
    let fail = |error: std::io::Error| output::write_failed(&dir, error);
    std::fs::create_dir_all(&dir).map_err(fail)?;
    clap_mangen::generate_to(without_help(args::command()), &dir).map_err(fail)?;
    output::line(&dir.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Hides the `help` of each command, which clap has added: a page for each word that it takes says nothing.
fn without_help(mut command: Command) -> Command {
    for own in command.get_subcommands_mut() {
        let plain = without_help(std::mem::take(own));
        let is_help = plain.get_name() == "help";
        *own = if is_help { plain.hide(true) } else { plain };
    }
    command
}

fn man() -> Result<ExitCode> {
    let mut text = Vec::new();
    let fail =
        |error: std::io::Error| Error::new(ErrorKind::Store, "manual page").with_source(error);
    let mut command = args::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(fail)?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        text.extend_from_slice(b".\\\"\n");
        clap_mangen::Man::new(verb.clone()).render(&mut text).map_err(fail)?;
    }
    output::raw(&text)?;
    Ok(ExitCode::SUCCESS)
}
