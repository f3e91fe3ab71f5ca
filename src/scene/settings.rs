//! What a scene run is asked to do, with nothing left undecided.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{SceneArea, SceneError};
use crate::raster::Acquisition;
use crate::stac::{STAC_SUFFIX, is_stac};
use crate::vector::VectorFormat;
use crate::vision::picture::PictureOptions;

/// Settings of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneSettings {
    /// The scene.
    pub raster: PathBuf,
    /// The output file; its extension names the format.
    pub out: PathBuf,
    /// Size of the tiles.
    pub tile: TileSide,
    /// Pixels that neighbouring tiles share.
    pub overlap_px: usize,
    /// The part of the scene whose tiles are done; `None`: all of it.
    pub area: Option<SceneArea>,
    /// How the scene becomes pictures: bands, and one stretch from native to display values for all of it.
    pub picture: PictureOptions,
    /// Tiles with a smaller share of valid pixels are skipped, `0..=1`.
    pub min_valid: f64,
    /// Kind of caption.
    pub style: CaptionStyle,
    /// Questions that are asked about every tile.
    pub questions: Vec<String>,
    /// Answers of a lower confidence are "not sure", `0 <= unsure_below < 1`, 0: none is. The describer must do so.
    pub unsure_below: f64,
    /// Experts of a lower confidence stay out of full captions, `0 <= silent_below < 1`, 0: none does. The describer must do so.
    pub silent_below: f64,
    /// The part of the scene that this run does.
    pub shard: Shard,
    /// Tiles that are described together. It is recorded: the last bits of a confidence may depend on it.
    pub batch: NonZeroUsize,
    /// What to do with the journal of an earlier run.
    pub earlier: EarlierRun,
    /// When the scene was taken; `None`: as its file says.
    pub datetime: Option<Acquisition>,
    /// Describe the whole scene too, for [`SceneDigest::overview`](super::SceneDigest::overview).
    pub overview: bool,
    /// When the run has to end. Until then, the whole scene is described, and then the tiles that promise most. Not recorded: the
    /// same run without it goes on.
    pub deadline: Option<Instant>,
}

/// What to do with the journal of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EarlierRun {
    /// Go on where it stopped.
    #[default]
    Resume,
    /// Throw it away and begin again.
    Restart,
}

/// Size of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum TileSide {
    /// The model's input size: pixels are not resampled.
    #[default]
    Auto,
    /// Squares of this side, pixels.
    Pixels(NonZeroUsize),
    /// Squares on the ground of this side, metres, as the pixels at the scene's centre measure. Where pixels are not square, as
    /// in degrees, neither are these tiles in pixels.
    Metres(f64),
}

/// A text that is no size of tiles: expected `auto`, pixels, or metres with an `m`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tile size {text:?}: expected auto, a number of pixels, or metres as in 200m")]
pub struct TileSideParseError {
    /// The text.
    pub text: String,
}

impl FromStr for TileSide {
    type Err = TileSideParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TileSideParseError { text: text.to_owned() };
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let Some(metres) = text.strip_suffix('m') else {
            return text.parse().map(Self::Pixels).map_err(|_| error());
        };
        let metres =
            metres.trim_end().parse().ok().filter(|metres: &f64| metres.is_finite() && *metres > 0.0);
        metres.map(Self::Metres).ok_or_else(error)
    }
}

/// Kind of caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptionStyle {
    /// The experts' merged text.
    #[default]
    Full,
    /// One sentence.
    Brief,
}

/// Every `count`-th batch of tiles, beginning with the `number`-th.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    number: NonZeroUsize,
    count: NonZeroUsize,
}

impl Shard {
    /// The whole scene.
    pub const WHOLE: Self = Self { number: NonZeroUsize::MIN, count: NonZeroUsize::MIN };

    /// Which of the parts it is, from 1.
    pub fn number(self) -> usize {
        self.number.get()
    }

    /// How many parts there are.
    pub fn count(self) -> usize {
        self.count.get()
    }

    /// True if the batch (counted from 0) belongs to this shard.
    pub fn has_batch(self, batch: usize) -> bool {
        batch % self.count == self.number.get() - 1
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.number, self.count)
    }
}

/// A text that is not a shard: expected `I/N` with I from 1 to N.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shard {text:?}: expected I/N with I from 1 to N")]
pub struct ShardParseError {
    /// The text.
    pub text: String,
}

impl FromStr for Shard {
    type Err = ShardParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ShardParseError { text: text.to_owned() };
        let (number, count) = text.split_once('/').ok_or_else(error)?;
        let shard =
            Self { number: number.parse().map_err(|_| error())?, count: count.parse().map_err(|_| error())? };
        if shard.number <= shard.count { Ok(shard) } else { Err(error()) }
    }
}

/// Format of the output file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// One `FeatureCollection`, with the facts of the run.
    GeoJson,
    /// One feature a line.
    GeoJsonLines,
    /// A table with the outline as well-known text.
    Csv,
    /// A layer for a geographic information system.
    Vector(VectorFormat),
}

impl OutputFormat {
    /// From the file's extension.
    ///
    /// # Errors
    /// [`SceneError::OutputFormat`] for an extension that is not known.
    pub fn of(path: &Path) -> Result<Self, SceneError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "json" if is_stac(path) => Err(SceneError::OutputFormat {
                path: path.to_path_buf(),
                extension: STAC_SUFFIX[1..].to_owned(),
            }),
            "geojson" | "json" => Ok(Self::GeoJson),
            "geojsonl" | "ndjson" => Ok(Self::GeoJsonLines),
            "csv" => Ok(Self::Csv),
            "gpkg" => Ok(Self::Vector(VectorFormat::GeoPackage)),
            "fgb" => Ok(Self::Vector(VectorFormat::FlatGeobuf)),
            "parquet" | "geoparquet" => Ok(Self::Vector(VectorFormat::GeoParquet)),
            _ => Err(SceneError::OutputFormat { path: path.to_path_buf(), extension }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one_and_share_out_every_batch_once() {
        for text in ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].iter().map(|text| text.parse().unwrap()).collect();
        for batch in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has_batch(batch)).count(), 1);
        }
        assert!(Shard::WHOLE.has_batch(7));
        assert_eq!(shards[1].to_string(), "2/3");
    }

    #[test]
    fn sizes_of_tiles_are_pixels_or_metres() {
        let side = |text: &str| text.parse::<TileSide>();
        assert_eq!(side("auto"), Ok(TileSide::Auto));
        assert_eq!(side("512"), Ok(TileSide::Pixels(NonZeroUsize::new(512).unwrap())));
        assert_eq!((side("200m"), side("0.5 m")), (Ok(TileSide::Metres(200.0)), Ok(TileSide::Metres(0.5))));
        for text in ["", "0", "m", "-3", "-3m", "0m", "infm", "NaNm", "2km", "3.5"] {
            assert!(side(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_extension_names_the_format() {
        assert_eq!(OutputFormat::of(Path::new("a/b.GeoJSON")).unwrap(), OutputFormat::GeoJson);
        assert_eq!(OutputFormat::of(Path::new("b.csv")).unwrap(), OutputFormat::Csv);
        assert_eq!(
            OutputFormat::of(Path::new("b.GPKG")).unwrap(),
            OutputFormat::Vector(VectorFormat::GeoPackage)
        );
        for name in ["b.gpkg.zip", "b", "b.shp", ".csv"] {
            let error = OutputFormat::of(Path::new(name)).unwrap_err();
            assert!(error.hint().unwrap().contains(".geojson"), "{name}");
        }
    }
}
