//! The `rpull` command; see [`rpull::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    rpull::cli::main()
}
