//! `blob`: one blob to stdout or a file, verified.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::open::open;
use crate::cli::args::Blob;
use crate::cli::output::Output;
use crate::cli::settings::Settings;
use crate::content::Name;
use crate::error::{Error, ErrorKind, Result};
use crate::place::PlainMeans;
use crate::transfer::{Options, read_blob};

pub(in crate::cli) async fn run(args: Blob, settings: &Settings, output: &Output) -> Result<ExitCode> {
    let opened = open(&args.image, PlainMeans::Either, settings).await?;
    let Name::Digest(digest) = &opened.name else {
        return Err(Error::new(ErrorKind::Reference, format!("blob '{}'", args.image)).because("expected IMAGE@DIGEST"));
    };
    let descriptor = opened.source.stat(digest).await?;
    let options = Options { retry: settings.retry, ..Options::default() };
    match &args.output {
        Some(path) => {
            let (directory, fail) = (path.parent().filter(|parent| !parent.as_os_str().is_empty()), write_failed(path));
            let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new("."))).map_err(&fail)?;
            read_blob(&*opened.source, &descriptor, options, &mut |piece| file.write_all(piece).map_err(&fail)).await?;
            file.persist(path).map_err(|error| fail(error.error))?;
        }
        None => {
            // What a pipe got cannot be taken back, so the end is withheld until the digest agrees.
            let mut held = Vec::new();
            let mut pass = |piece: &[u8]| {
                let ready = std::mem::replace(&mut held, piece.to_vec());
                output.raw(&ready)
            };
            read_blob(&*opened.source, &descriptor, options, &mut pass).await?;
            output.raw(&held)?;
        }
    }
    output.done()
}

fn write_failed(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let place = path.display().to_string();
    move |error| Error::new(ErrorKind::Store, "write").at(&place).caused_by(error)
}
