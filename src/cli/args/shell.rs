//! Arguments of the commands that install rpull in a shell.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ShellVerb {
    /// Print a completion script
    #[command(
        after_help = "Examples:\n  rpull completions bash > /etc/bash_completion.d/rpull\n  rpull completions zsh > ~/.zfunc/_rpull"
    )]
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    #[command(
        after_help = "Examples:\n  rpull man | man -l -\n  rpull man > /usr/local/share/man/man1/rpull.1"
    )]
    Man,
}
