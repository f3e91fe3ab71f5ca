//! What is known of a tile when it is done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TileText;
use crate::geo::Window;

/// One tile, done: a record of the journal and a feature of the output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TileRecord {
    /// Position in the grid, row by row.
    pub index: usize,
    /// Pixels of the scene.
    pub window: Window,
    /// Share of valid pixels, `0..=1`; `None` if the tile could not be read.
    pub valid_fraction: Option<f64>,
    /// Size of a pixel on the ground at the tile's centre, metres.
    pub gsd_m: Option<f64>,
    /// GeoJSON geometry in WGS84; `None` without georeference.
    pub geometry: Option<serde_json::Value>,
    /// How it went.
    #[serde(flatten)]
    pub outcome: TileOutcome,
}

/// The scene as one picture: a record of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverviewRecord {
    /// What it shows; `None` if the scene could not be read as one picture, or has too few valid pixels.
    pub overview: Option<TileText>,
    /// True if a summary of the scene was asked for: outputs have it then.
    #[serde(rename = "summary")]
    pub is_summary_wanted: bool,
}

/// How it went with a tile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum TileOutcome {
    /// It has its texts.
    Captioned(TileText),
    /// It was left out on purpose.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It could not be read or described.
    Failed {
        /// Why.
        reason: String,
    },
}

impl TileOutcome {
    /// Status of a tile with texts.
    pub const CAPTIONED: &str = "captioned";

    /// `captioned`, `skipped` or `failed`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Captioned(_) => Self::CAPTIONED,
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
        }
    }

    /// The texts of a captioned tile.
    pub fn text(&self) -> Option<&TileText> {
        match self {
            Self::Captioned(text) => Some(text),
            Self::Skipped { .. } | Self::Failed { .. } => None,
        }
    }

    /// Why a tile has no texts.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Captioned(_) => None,
            Self::Skipped { reason } | Self::Failed { reason } => Some(reason),
        }
    }
}

/// How many tiles went how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TileCounts {
    /// With texts.
    pub captioned: usize,
    /// Of those with texts: of tiles that look like nothing that the model knows.
    #[serde(default)]
    pub unfamiliar: usize,
    /// Left out on purpose.
    pub skipped: usize,
    /// Not readable or not described.
    pub failed: usize,
}

impl TileCounts {
    /// Counts one more tile.
    pub fn add(&mut self, outcome: &TileOutcome) {
        match outcome {
            TileOutcome::Captioned(text) => {
                self.captioned += 1;
                self.unfamiliar += usize::from(text.is_unfamiliar());
            }
            TileOutcome::Skipped { .. } => self.skipped += 1,
            TileOutcome::Failed { .. } => self.failed += 1,
        }
    }

    /// All of them.
    pub fn total(self) -> usize {
        self.captioned + self.skipped + self.failed
    }
}

/// A number of tiles, in words for a user.
pub(crate) fn tiles(count: usize) -> String {
    if count == 1 { "1 tile".to_owned() } else { format!("{count} tiles") }
}

/// Rounds to four decimals: what a reader can use, and short in the output.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}
