//! The command line: parses arguments, calls the library, prints results and returns exit codes.

mod age;
mod args;
mod chart;
mod commands;
mod config_file;
mod config_values;
mod cutoff;
mod exit;
mod file_lines;
mod format;
mod go_template;
mod hint;
mod image;
mod image_arguments;
mod image_filter;
mod input;
mod labels;
mod listen;
mod output;
mod overlay_dirs;
mod page;
mod path_filter;
mod peers;
mod plain_progress;
mod progress_bars;
mod progress_line;
mod progress_screen;
mod progress_terminal;
mod prompt;
mod rate;
mod run;
mod settings;
mod signals;
mod size;
mod startup;
mod store_usage;
mod table;
mod template;
mod template_fields;
mod terminal_width;
mod text_width;
mod usage;
mod verb;
mod withheld;
mod wrap;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use serde_json::json;

use self::args::{Cli, Verb};
use self::run::report;
use self::settings::Settings;
use crate::error::{Error, ErrorDetail};

/// Runs the command that the process was started with and returns its exit code.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let store = verb::typed_store(&arguments);
    let is_json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let arguments = match verb::with_verb(arguments, |image| settings::stored(store, image)) {
        Ok(arguments) => arguments,
        Err(error) => return fail(&error, is_json),
    };
    if arguments.len() < 2 {
        let help = args::command().render_help();
        output::stderr_text(&help.ansi().to_string());
        return ExitCode::from(exit::USAGE);
    }
    let verb = arguments.get(1).map(|verb| verb.to_string_lossy().into_owned());
    let cli = match args::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error) if error.kind() == clap::error::ErrorKind::InvalidUtf8 => {
            return fail(&usage::not_utf8(&arguments), is_json);
        }
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(exit::USAGE);
            if is_json && code == exit::USAGE {
                print_error_json(&usage::for_json(&error));
            }
            return match usage::print(error, &verb.unwrap_or_default()) {
                Ok(()) => ExitCode::from(code),
                Err(error) => exit::report(&error),
            };
        }
    };
    output::set_color(cli.common.color);
    terminal_width::set_wide(cli.common.wide);
    output::start_log(cli.common.verbose, cli.common.quiet);
    if let Some(bytes) = cli.common.zstd_window {
        crate::layer::limit_zstd_window(bytes);
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => fail(&error, is_json),
    }
}

/// Prints the error, with `--json` also on stdout, and returns its exit code.
fn fail(error: &Error, is_json: bool) -> ExitCode {
    if is_json && error.detail() != Some(ErrorDetail::BrokenPipe) {
        print_error_json(error);
    }
    exit::report(error)
}

/// Prints `{"error": …}` unless there was a result, which tells more.
fn print_error_json(error: &Error) {
    if !output::is_written()
        && let Err(error) =
            report::json_of(&json!({}), Some(error)).and_then(|value| output::json(&value))
    {
        output::error_line(&error.chain());
    }
}

fn run(cli: Cli) -> crate::error::Result<ExitCode> {
    if let Verb::Shell(verb) = &cli.verb {
        return commands::shell::run(verb);
    }
    let typed = cli.common.format.as_deref();
    let json = cli.common.json;
    let format = typed.map(|typed| format::apply(typed, &cli.verb, json)).transpose()?;
    let settings = Settings::new(cli.common, format)?;
    let runtime = startup::runtime()?;
    let code = runtime.block_on(async {
        signals::survive_file_size_limit();
        match cli.verb {
            Verb::Pull(args) => Box::pin(commands::pull::run(args, &settings)).await,
            Verb::Push(args) => commands::push::run(args, &settings).await,
            Verb::Copy(args) => Box::pin(commands::copy::run(*args, &settings)).await,
            Verb::Mirror(args) => Box::pin(commands::mirror::run(*args, &settings)).await,
            Verb::Save(args) => commands::save::run(args, &settings).await,
            Verb::Load(args) => commands::load::run(args, &settings).await,
            Verb::Delta(args) => Box::pin(commands::delta::run(args, &settings)).await,
            Verb::Inventory => commands::inventory::run(&settings),
            Verb::Digest(args) => commands::raw::digest(args, &settings).await,
            Verb::Manifest(args) => commands::raw::manifest(args, &settings).await,
            Verb::Config(args) => commands::raw::config(args, &settings).await,
            Verb::Inspect(args) => commands::inspect::run(args, &settings).await,
            Verb::Blob(args) => commands::blob::run(args, &settings).await,
            Verb::Tool(verb) => Box::pin(commands::tools::run(verb, &settings)).await,
            Verb::Limits(args) => commands::limits::run(args, &settings).await,
            Verb::Catalog(args) => commands::catalog::run(args, &settings).await,
            Verb::Referrers(args) => commands::referrers::run(args, &settings).await,
            Verb::Delete(args) => commands::delete::run(args, &settings).await,
            Verb::Retain(args) => Box::pin(commands::retain::run(args, &settings)).await,
            Verb::Tags(args) => commands::tags::run(args, &settings).await,
            Verb::History(args) => commands::history::run(args, &settings).await,
            Verb::Analyze(args) => commands::analyze::run(args, &settings).await,
            Verb::CheckBase(args) => Box::pin(commands::check_base::run(args, &settings)).await,
            Verb::Report(args) => commands::report::run(args, &settings).await,
            Verb::Diff(args) => Box::pin(commands::diff::run(args, &settings)).await,
            Verb::Layers(args) => commands::layers::run(args, &settings).await,
            Verb::Files(args) => commands::files::run(args, &settings).await,
            Verb::Cat(args) => commands::cat::run(args, &settings).await,
            Verb::Unpack(args) => Box::pin(commands::unpack::run(args, &settings)).await,
            Verb::Export(args) => commands::export::run(args, &settings).await,
            Verb::Edit(verb) => Box::pin(commands::edit::run(verb, &settings)).await,
            Verb::Images(args) => commands::images::run(&args, &settings).await,
            Verb::Tag(args) => commands::tag::run(args, &settings).await,
            Verb::Rm(args) => commands::store::rm(&args, &settings).await,
            Verb::Df(args) => commands::df::run(args, &settings).await,
            Verb::Stats(args) => commands::stats::run(&args, &settings),
            Verb::Prune(args) => commands::store::prune(&args, &settings),
            Verb::Serve(args) => commands::serve::run(args, &settings).await,
            Verb::Demo => commands::demo::run(&settings).await,
            Verb::Verify(args) => Box::pin(commands::verify::run(args, &settings)).await,
            Verb::CompleteWord(args) => commands::complete::run(args, &settings).await,
            Verb::Shell(_) => Ok(ExitCode::SUCCESS),
        }
    });
    output::end_bars();
    // A helper program or a DNS lookup that is still running must not delay the exit.
    runtime.shutdown_background();
    code
}
