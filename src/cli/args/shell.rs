//! Arguments of the commands that install rpull in a shell.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ShellVerb {
    /// Print a completion script
    #[command(after_help = "Examples:
  rpull completions bash > /etc/bash_completion.d/rpull
  rpull completions zsh > ~/.zfunc/_rpull
  rpull completions fish > ~/.config/fish/completions/rpull.fish

The scripts of bash, zsh and fish complete images of the store, locations, and the names in a layout.
With RPULL_COMPLETE_TAGS=1 they ask registries for tags too, for 2 seconds; another number is the
number of seconds.")]
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, or install one for each command
    #[command(
        after_help = "Examples:\n  rpull man | man -l -\n  rpull man --install ~/.local/share/man && man rpull-pull"
    )]
    Man {
        /// Write a page for each command into DIR/man1
        #[arg(long, value_name = "DIR")]
        install: Option<PathBuf>,
    },
}

/// A word to complete.
#[derive(Debug, Args)]
pub(crate) struct CompleteWord {
    /// The command that it is an argument of
    pub(crate) verb: String,
    /// The word so far
    #[arg(default_value = "")]
    pub(crate) word: String,
}
