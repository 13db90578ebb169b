//! `completions` and `man`.

use std::process::ExitCode;

use crate::cli::args;
use crate::cli::output;
use crate::error::{Error, ErrorKind, Result};

pub(in crate::cli) fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "rpull", &mut text);
    output::raw(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(in crate::cli) fn man() -> Result<ExitCode> {
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
