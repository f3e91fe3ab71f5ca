//! A run settled: grid, bands, stretch, and the facts that make two runs the same.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::settings::{CaptionStyle, SceneSettings, Shard, TileSide};
use super::{AreaFacts, ModelFacts, SceneError};
use crate::geo::{Size, TileGrid, Window};
use crate::raster::{Acquisition, BandPlan, Georeference, PixelSize, Raster, RasterError};
use crate::vision::picture::{self, Rendering};
use crate::vision::radiometry::Stretch;

/// Most tiles of a run: the journal's index keeps eight bytes for each.
pub(super) const MAX_TILES: usize = 1 << 26;
/// Bytes at either end of a raster file that its fingerprint covers.
const FINGERPRINT_BYTES: u64 = 1 << 20;

/// A run that is ready to start.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenePlan {
    /// What the run does, as journal and output record it.
    pub facts: RunFacts,
    /// Size of the pictures for the model.
    pub input: Size,
    /// Why the tiles have no place on the globe, if they have none.
    pub missing_place: Option<String>,
    /// What the tiles' places were derived from, if they are approximate.
    pub approximate_place: Option<&'static str>,
    /// What the user should check about the stored values.
    pub radiometry_warning: Option<String>,
    /// The rasters of the file, if there are more than the one that is done.
    pub subdatasets: Vec<String>,
    /// Size of a pixel at the scene's centre, metres: the mean of width and height.
    pub gsd_m: Option<f64>,
    /// Its width and height.
    pub pixel_m: Option<PixelSize>,
}

/// What a run does, in full: two runs with equal facts write equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Version of the program.
    pub version: String,
    /// Model, provider, variant.
    #[serde(flatten)]
    pub model: ModelFacts,
    /// The scene.
    pub raster: RasterFacts,
    /// Bands for red, green and blue, or for grey.
    pub bands: BandPlan,
    /// The preset that decided on bands or stretch, and why; none was before there were presets.
    #[serde(default)]
    pub preset: Option<String>,
    /// The stored value that means "no data" beside what the file says.
    #[serde(default)]
    pub nodata: Option<f64>,
    /// The stretch as it was asked for.
    pub stretch_mode: String,
    /// The stretch in numbers.
    pub stretch: Stretch,
    /// The tiles.
    pub grid: TileGrid,
    /// The tiles that are done; `None`: all of the grid.
    #[serde(default)]
    pub area: Option<AreaFacts>,
    /// What a pixel of the model's input spans at the scene's centre, metres.
    pub input_gsd_m: Option<f64>,
    /// Least share of valid pixels.
    pub min_valid: f64,
    /// Kind of caption.
    pub style: CaptionStyle,
    /// Questions about every tile.
    pub questions: Vec<String>,
    /// Answers of a lower confidence are "not sure"; none was before there was a threshold.
    #[serde(default)]
    pub unsure_below: f64,
    /// Experts of a lower confidence stay out of full captions; none did before there was a threshold.
    #[serde(default)]
    pub silent_below: f64,
    /// The part of the scene, `I/N`.
    pub shard: Shard,
    /// Tiles that are described together.
    pub batch: NonZeroUsize,
    /// When the scene was taken, as the user says; `None`: as its file says, see [`RunFacts::acquired`].
    #[serde(default)]
    pub datetime: Option<Acquisition>,
}

/// Which scene it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RasterFacts {
    /// The file as it was named. It may move between runs.
    pub path: String,
    /// Its length, bytes.
    pub bytes: u64,
    /// SHA-256 over its first and last MiB.
    pub fingerprint: String,
    /// Coordinate reference system.
    pub crs: Option<String>,
    /// `affine`, `gcp` or `rpc` (places are approximate), or `none`.
    pub georeference: String,
    /// Whom to credit for the imagery, as the file says.
    pub credit: Option<String>,
    /// When it was taken, as the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquired: Option<Acquisition>,
    /// Where it lies; `None` without georeference, and in journals of before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footprint: Option<SceneFootprint>,
}

/// Where a scene lies, in WGS84.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneFootprint {
    /// GeoJSON geometry.
    pub geometry: serde_json::Value,
    /// West, south, east, north, degrees; see [`Footprint::bbox`](crate::geo::Footprint::bbox).
    pub bbox: [f64; 4],
}

impl ScenePlan {
    /// Opens the scene and settles what the run will do. Reads pixels only where the stretch needs them.
    ///
    /// # Errors
    /// [`SceneError::Raster`], [`SceneError::Grid`], [`SceneError::TooManyTiles`], [`SceneError::TileWithoutPlace`],
    /// [`SceneError::AreaOutside`], [`SceneError::AreaWithoutPlace`].
    pub fn settle(settings: &SceneSettings, input: Size, model: ModelFacts) -> Result<Self, SceneError> {
        let raster = Raster::open(&settings.raster)?;
        let (raster, Rendering { bands, stretch, nodata, rule }) =
            picture::settle(raster, &settings.picture)?;
        let info = raster.info();
        let pixel_m = raster.ground_pixel_size_m(Window::whole(info.size));
        let tile = match settings.tile {
            TileSide::Auto => input,
            TileSide::Pixels(side) => Size { width: side.get(), height: side.get() },
            TileSide::Metres(metres) => {
                let without_place = || SceneError::TileWithoutPlace { path: info.path.clone() };
                let pixel = pixel_m.ok_or_else(without_place)?;
                let side = |pixel_m: f64| ((metres / pixel_m).round() as usize).max(1);
                Size { width: side(pixel.width), height: side(pixel.height) }
            }
        };
        let grid = TileGrid::try_new(info.size, tile, settings.overlap_px)?;
        if grid.count() > MAX_TILES {
            return Err(SceneError::TooManyTiles { count: grid.count(), limit: MAX_TILES });
        }
        let area = settings.area.as_ref().map(|area| AreaFacts::select(&raster, &grid, area)).transpose()?;
        let gsd_m = pixel_m.map(PixelSize::mean);
        let reduction = (tile.pixels() as f64 / input.pixels() as f64).sqrt();
        let subdatasets = info.subdatasets.clone();
        let radiometry_warning = rule.as_ref().and_then(|rule| rule.warning.clone());
        let (missing_place, approximate_place) = match &info.georeference {
            Georeference::Missing { reason } => (Some(reason.clone()), None),
            Georeference::ControlPoints => (None, Some("ground control points")),
            Georeference::RationalPolynomials => (None, Some("the rational polynomials of its camera")),
            Georeference::Affine(_) => (None, None),
        };
        let facts = RunFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model,
            raster: RasterFacts::of(&raster)?,
            bands,
            preset: rule.as_ref().map(|rule| rule.reason.clone()),
            nodata,
            stretch_mode: settings.picture.stretch.to_string(),
            stretch,
            grid,
            area,
            input_gsd_m: gsd_m.map(|metres| metres * reduction),
            min_valid: settings.min_valid,
            style: settings.style,
            questions: settings.questions.clone(),
            unsure_below: settings.unsure_below,
            silent_below: settings.silent_below,
            shard: settings.shard,
            batch: settings.batch,
            datetime: settings.datetime.clone(),
        };
        Ok(Self {
            facts,
            input,
            missing_place,
            approximate_place,
            radiometry_warning,
            subdatasets,
            gsd_m,
            pixel_m,
        })
    }
}

impl RunFacts {
    /// Says so if the model sees the scene at less than half or more than twice the resolutions that it was trained on.
    pub fn resolution_warning(&self) -> Option<String> {
        let trained = self.model.trained_gsd_m;
        let metres =
            self.input_gsd_m.filter(|metres| *metres < trained.min / 2.0 || *metres > trained.max * 2.0)?;
        Some(format!(
            "the model sees {metres:.2} m per pixel, but was trained on {} to {} m: expect worse captions",
            trained.min, trained.max
        ))
    }

    /// When the scene was taken: as the user says, else as its file says.
    pub fn acquired(&self) -> Option<&Acquisition> {
        self.datetime.as_ref().or(self.raster.acquired.as_ref())
    }

    /// Number of tiles of all shards.
    pub fn all_tiles(&self) -> usize {
        self.area.as_ref().map_or_else(|| self.grid.count(), AreaFacts::count)
    }

    /// Number of batches of all shards.
    pub fn batches(&self) -> usize {
        self.all_tiles().div_ceil(self.batch.get())
    }

    /// Tile indexes of a batch.
    pub fn tiles_of(&self, batch: usize) -> impl Iterator<Item = usize> + '_ {
        let start = batch.saturating_mul(self.batch.get());
        let end = start.saturating_add(self.batch.get()).min(self.all_tiles());
        let all = if self.area.is_none() { start..end } else { 0..0 };
        all.chain(self.area.iter().flat_map(move |area| area.indexes(start, end)))
    }

    /// Tiles of this run's shard.
    pub fn tile_count(&self) -> usize {
        let size = |batch: usize| self.batch.get().min(self.all_tiles() - batch * self.batch.get());
        (0..self.batches()).filter(|&batch| self.shard.has_batch(batch)).map(size).sum()
    }

    /// What differs between an earlier run and this one: setting, value then, value now.
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let (then, now) = (facts_to_compare(earlier), facts_to_compare(self));
        now.iter()
            .filter(|(name, value)| then.get(name.as_str()) != Some(*value))
            .map(|(name, value)| {
                let before = then.get(name.as_str()).unwrap_or(&serde_json::Value::Null);
                format!("{name}: was {}, now {}", shown(before), shown(value))
            })
            .collect()
    }
}

/// All facts but the name of the raster's file, since a scene that was moved is the same scene, and but what earlier versions did not
/// record of it.
fn facts_to_compare(facts: &RunFacts) -> serde_json::Map<String, serde_json::Value> {
    let value = serde_json::to_value(facts).expect("facts are plain data");
    let mut map = value.as_object().cloned().unwrap_or_default();
    if let Some(raster) = map.get_mut("raster").and_then(serde_json::Value::as_object_mut) {
        for name in ["path", "acquired", "footprint"] {
            raster.remove(name);
        }
    }
    map
}

fn shown(value: &serde_json::Value) -> String {
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() > 160 {
        format!("{}...", text.chars().take(160).collect::<String>())
    } else {
        text
    }
}

impl RasterFacts {
    fn of(raster: &Raster) -> Result<Self, SceneError> {
        let info = raster.info();
        let unreadable = |source| RasterError::Unreadable { path: info.path.clone(), source };
        let (bytes, fingerprint) = fingerprint(raster.file()).map_err(unreadable)?;
        Ok(Self {
            path: info.path.display().to_string(),
            bytes,
            fingerprint,
            crs: info.crs.clone(),
            georeference: info.georeference.name().to_owned(),
            credit: info.credit.clone(),
            acquired: info.acquired.clone(),
            footprint: raster
                .footprint(Window::whole(info.size))
                .map(|footprint| SceneFootprint { geometry: footprint.to_geojson(), bbox: footprint.bbox() }),
        })
    }
}

/// Length of a file, and a hash over its beginning and end: quick, and enough to notice another scene of the same name.
fn fingerprint(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut hash = Sha256::new();
    let mut part = Vec::new();
    file.by_ref().take(FINGERPRINT_BYTES).read_to_end(&mut part)?;
    hash.update(&part);
    part.clear();
    file.seek(SeekFrom::Start(bytes.saturating_sub(FINGERPRINT_BYTES)))?;
    file.take(FINGERPRINT_BYTES).read_to_end(&mut part)?;
    hash.update(&part);
    Ok((bytes, hash.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))))
}
