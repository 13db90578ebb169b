//! Limits that an image must keep, for continuous integration.

use serde::Serialize;

use super::Analysis;
use crate::setters::setters;

/// Maximum bytes that may be wasted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MaxWaste {
    /// Bytes.
    Bytes(u64),
    /// Percent of the bytes of all files.
    Percent(f64),
}

/// Limits. Those that are `None` are always kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AnalysisLimits {
    /// Lowest efficiency, from 0 to 1.
    pub min_efficiency: Option<f64>,
    /// Maximum bytes that later layers may hide.
    pub max_waste: Option<MaxWaste>,
    /// Highest [`DiveScore::wasted_bytes`](super::DiveScore::wasted_bytes).
    pub max_dive_wasted_bytes: Option<u64>,
    /// Highest [`DiveScore::user_wasted_percent`](super::DiveScore::user_wasted_percent), from 0 to 1.
    pub max_dive_user_wasted: Option<f64>,
}

/// A limit that is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BrokenLimit {
    /// Its name.
    pub limit: &'static str,
    /// What was found, and what is allowed.
    pub message: String,
}

impl AnalysisLimits {
    setters! {
        optional min_efficiency: f64;
        optional max_waste: MaxWaste;
        optional max_dive_wasted_bytes: u64;
        optional max_dive_user_wasted: f64;
    }

    /// Returns the limits that the image does not keep.
    #[expect(clippy::cast_precision_loss, reason = "limits have few digits")]
    pub fn broken(&self, analysis: &Analysis) -> Vec<BrokenLimit> {
        let mut broken = Vec::new();
        let mut add = |limit, message| broken.push(BrokenLimit { limit, message });
        let percent = |ratio: f64| format!("{:.2} %", ratio * 100.0);
        if let Some(lowest) = self.min_efficiency.filter(|lowest| analysis.efficiency < *lowest) {
            let found = percent(analysis.efficiency);
            add("efficiency", format!("efficiency is {found}, below {}", percent(lowest)));
        }
        let (wasted, all) = (analysis.wasted.bytes, analysis.bytes);
        match self.max_waste {
            Some(MaxWaste::Bytes(most)) if wasted > most => {
                add("waste", format!("wasted is {wasted} bytes, above {most}"));
            }
            Some(MaxWaste::Percent(most)) if wasted as f64 * 100.0 > all as f64 * most => {
                let share = percent(wasted as f64 / all as f64);
                add("waste", format!("wasted is {share} of the bytes, above {most} %"));
            }
            _ => {}
        }
        let dive = analysis.dive;
        if let Some(most) = self.max_dive_wasted_bytes.filter(|most| dive.wasted_bytes > *most) {
            let found = dive.wasted_bytes;
            add("highestWastedBytes", format!("dive waste is {found} bytes, above {most}"));
        }
        if let Some(most) =
            self.max_dive_user_wasted.filter(|most| dive.user_wasted_percent > *most)
        {
            let (found, most) = (percent(dive.user_wasted_percent), percent(most));
            let text = format!("dive waste is {found} of the layers above the first, above {most}");
            add("highestUserWastedPercent", text);
        }
        broken
    }
}
