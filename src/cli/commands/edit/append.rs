//! `append`: adds layers to an image.

use std::path::Path;
use std::process::ExitCode;

use super::job::{Edit, compression};
use crate::blocking::run_cancellable;
use crate::cli::args::edit::Append;
use crate::cli::cutoff::{epoch_timestamp, rfc3339, source_date_epoch, utc_now};
use crate::cli::input::{open_input, read_failed};
use crate::cli::settings::Settings;
use crate::control::Control;
use crate::edit::{LayerOptions, NewLayer, Step};
use crate::error::{ErrorKind, Result};

const NOT_A_TAR: &str = "to add a single file, append the directory that contains it, or a tar of it: `tar c FILE | rpull append IMAGE - -t NAME`";

pub(super) async fn run(args: Append, settings: &Settings) -> Result<ExitCode> {
    let edit = Edit::new("append", &args.new, settings)?;
    edit.check_creds(&[&args.image])?;
    let created = match source_date_epoch()? {
        Some(seconds) => rfc3339(seconds)?,
        None => utc_now().as_str().to_owned(),
    };
    let options = LayerOptions {
        prefix: args.prefix,
        compression: args.compression.as_deref().map(compression),
        clamp_time: epoch_timestamp()?,
    };
    let mut opened = edit.open_all(&args.image, &args.platforms).await?;
    for path in args.paths {
        let step = Step::new(created_by(&path, &options.prefix)).created(created.clone());
        let options = options.clone();
        let build = move |control: &Control| build(&path, &options, control);
        let layer = run_cancellable(&edit.settings.control, "append", build);
        let layer = edit.until_cancelled(layer).await?;
        opened.images.iter_mut().try_for_each(|image| image.append(layer.clone(), &step))?;
    }
    edit.finish(opened).await
}

fn build(path: &Path, options: &LayerOptions, control: &Control) -> Result<NewLayer> {
    if path.is_dir() {
        return NewLayer::from_dir(path, options, control);
    }
    let input = open_input(path).map_err(|error| read_failed(path, error))?;
    NewLayer::from_tar(input, options, control).map_err(|error| {
        let error = error.at(path.display().to_string());
        if error.kind() == ErrorKind::Unpack && error.hint().is_none() {
            error.with_hint(NOT_A_TAR)
        } else {
            error
        }
    })
}

/// The step as a Dockerfile says it. Only the last name, also of `.`: the rest of the path says where the user works.
fn created_by(path: &Path, prefix: &str) -> String {
    let full = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().unwrap_or_default(),
    };
    let name = full.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    format!("COPY {name} /{}", prefix.trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_by_has_the_name_of_the_directory_however_typed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("src/sub")).unwrap();
        for typed in ["src", "src/", "src/.", "src/sub/.."] {
            assert_eq!(created_by(&dir.path().join(typed), "/a/"), "COPY src /a", "{typed}");
        }
    }
}
