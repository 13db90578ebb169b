//! `analyze`: what an image wastes, what should not be in it, and what helps.

mod dive_ci;
mod result;
mod sarif;
mod text;

use std::path::Path;
use std::process::ExitCode;

use self::result::{AnalyzedImage, NamedBase};
use crate::cli::args::Analyze;
use crate::cli::format::NamedFormat;
use crate::cli::image::analysis::{analyze_layers, analyzer};
use crate::cli::image::base::{BaseOptions, BuiltImage};
use crate::cli::image::layer_source::{LayerSource, malformed};
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpack_report::run_with_progress;
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::{Settings, platform};
use crate::cli::signals::or_cancelled;
use crate::cli::{labels, output, wrap};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::insight::analyze::Analysis;
use crate::insight::analyze::limits::{AnalysisLimits, BrokenLimit};

pub(in crate::cli) async fn run(args: Analyze, settings: &Settings) -> Result<ExitCode> {
    let limits = limits(&args)?;
    let settings = &interruptible(&labels::PULL, settings);
    let control = settings.control.clone();
    let platform = args.platform.platform.as_deref();
    let open = OpenedImage::open_with_layers(&args.image, platform, settings);
    let mut image = or_cancelled(&control.cancel, "analyze", open).await??;
    let base = check_base(&image, &args, settings);
    let base = or_cancelled(&control.cancel, "analyze", base).await??;
    let analyzer = analyzer(&image)?;
    let source = LayerSource::new(&image, settings);
    let layers = source.layers(&image, settings)?;
    let work =
        move |control: &Control| analyze_layers(analyzer, layers, control, |_, _| {}, |_, _| {});
    let read = run_with_progress(&mut image, settings, &control, work).await;
    let (analysis, sizes) = read.map_err(malformed)?;
    source.print_receipt(&image, settings);
    let broken = limits.map(|limits| limits.broken(&analysis));
    let result = AnalyzedImage { base, ..result_of(&image, analysis, sizes, broken).await? };
    print_result(&result, &args, settings)
}

/// Checks the base if that is asked for.
async fn check_base(image: &OpenedImage, args: &Analyze, settings: &Settings) -> Result<NamedBase> {
    if !args.check_base {
        return Ok(NamedBase::NotAsked);
    }
    let platform = platform(args.platform.platform.as_deref())?;
    let options = BaseOptions { base: None, digest: None, platform };
    let OpenedImage { opened, root, manifest_document: manifest, .. } = image;
    let check = BuiltImage { opened, root, manifest }.check_base(&options, settings).await?;
    Ok(check.map_or(NamedBase::Unnamed, NamedBase::Checked))
}

/// Returns the limits of the options and of `.dive-ci`; `None` without limits.
fn limits(args: &Analyze) -> Result<Option<AnalysisLimits>> {
    let mut limits = match &args.ci {
        Some(path) => read_dive_ci(path)?,
        None if args.fail_under.is_none() && args.max_waste.is_none() => return Ok(None),
        None => AnalysisLimits::default(),
    };
    limits.min_efficiency = args.fail_under.or(limits.min_efficiency);
    limits.max_waste = args.max_waste;
    Ok(Some(limits))
}

fn read_dive_ci(path: &Path) -> Result<AnalysisLimits> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("rules `{name}`")).with_source(error)
    })?;
    dive_ci::parse(&text, &name)
}

async fn result_of(
    image: &OpenedImage,
    analysis: Analysis,
    sizes: Vec<u64>,
    broken: Option<Vec<BrokenLimit>>,
) -> Result<AnalyzedImage> {
    Ok(AnalyzedImage {
        reference: image.opened.reference.clone(),
        digest: image.opened.named_document(&image.root).await.digest().clone(),
        manifest: image.manifest_document.digest().clone(),
        platform: image.config.platform().to_string(),
        layers: image.manifest()?.layers.clone(),
        sizes,
        analysis,
        broken,
        base: NamedBase::NotAsked,
    })
}

fn print_result(image: &AnalyzedImage, args: &Analyze, settings: &Settings) -> Result<ExitCode> {
    match settings.format {
        _ if settings.json => output::json(&image.json())?,
        Some(NamedFormat::Sarif) => output::json(&sarif::sarif(image))?,
        _ => output::text(&text::text_of(image, wrap::columns(), args.no_trunc))?,
    }
    let broken = image.broken.as_deref().unwrap_or_default();
    let base = image.base.message();
    let messages = broken.iter().map(|limit| &limit.message).chain(&base);
    for message in messages {
        let reference = &image.reference;
        output::error_line(&format!("{reference}: {message}"));
    }
    let is_kept = broken.is_empty() && base.is_none();
    Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
