//! `rebase`: exchanges the base of an image.

use std::process::ExitCode;

use super::job::Edit;
use crate::cli::args::edit::Rebase;
use crate::cli::settings::Settings;
use crate::error::Result;
use crate::reference::Reference;

pub(super) async fn run(args: Rebase, settings: &Settings) -> Result<ExitCode> {
    let edit = Edit::new("rebase", &args.new, settings)?;
    edit.check_creds(&[&args.image, &args.old_base, &args.new_base])?;
    let mut opened = edit.open_all(&args.image, &args.platforms).await?;
    for image in &mut opened.images {
        let own = image.config().platform().to_string();
        let old = edit.open(&args.old_base, Some(&own)).await?;
        let new = edit.open(&args.new_base, Some(&own)).await?;
        image.rebase(old.image()?, new.image()?)?;
        image.annotate_base(registry_tag(&new.opened.full_name), new.image()?)?;
    }
    edit.finish(opened).await
}

/// The name, if it is a tag in a registry, which `check-base` compares with the digest. An image of a layout or archive may have
/// any name: `1.1` there is not `docker.io/library/1.1`.
fn registry_tag(full_name: &str) -> Option<&str> {
    let reference = full_name.parse::<Reference>().ok()?;
    (reference.tag().is_some() && reference.to_string() == full_name).then_some(full_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_tag_is_a_full_reference() {
        for name in ["docker.io/library/debian:12.2", "localhost:5000/base:1"] {
            assert_eq!(registry_tag(name), Some(name));
        }
        let pinned = format!("docker.io/library/debian@sha256:{}", "0".repeat(64));
        for name in ["", "1.1", "debian:12.2", "library/debian:12.2", "r.example/base", &pinned] {
            assert_eq!(registry_tag(name), None, "{name}");
        }
    }
}
