//! The warning for an image of another platform than the host's.

use crate::cli::settings::platform;
use crate::config::ImageConfig;
use crate::error::Result;
use crate::platform::matches;

/// Warns if the image does not run on this host, unless its platform was requested: it may be the only one that is there.
///
/// # Errors
/// As [`platform`].
pub(in crate::cli) fn warn_of_other_platform(
    reference: &str,
    config: &ImageConfig,
    typed: Option<&str>,
) -> Result<()> {
    let (choice, own) = (platform(typed)?, config.platform());
    let is_stated = !own.os.is_empty() && !own.architecture.is_empty() && !own.is_unknown();
    if is_stated && !choice.explicit && !matches(&choice.platform, &own) {
        let (host, own) = (&choice.platform, own.to_string());
        let text = format!("{reference}: is for {own}, which this host ({host}) does not run");
        tracing::warn!("{text}");
    }
    Ok(())
}
