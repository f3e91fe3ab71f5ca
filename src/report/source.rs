//! What a scene run wrote, read back.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::ReportError;
use crate::geo::{Size, Window};
use crate::scene::{Journal, OutputFormat, RunFacts, TileAnswer, journal_path, recorded_summary};

/// A captioned scene.
#[derive(Debug)]
pub(super) struct Scene {
    /// What the run did, if the output or the journal says so.
    pub(super) facts: Option<RunFacts>,
    /// The paragraph about the whole scene, if the run was asked for it.
    pub(super) summary: Option<String>,
    /// Its tiles, in order.
    pub(super) tiles: Vec<Tile>,
}

impl Scene {
    /// Size of the scene in pixels: of the run, or what the tiles span.
    pub(super) fn size(&self) -> Size {
        let span =
            |end: fn(Window) -> usize| self.tiles.iter().map(|tile| end(tile.window)).max().unwrap_or(1);
        self.facts.as_ref().map_or_else(
            || Size {
                width: span(|window| window.col.saturating_add(window.width)),
                height: span(|window| window.row.saturating_add(window.height)),
            },
            |facts| facts.grid.scene(),
        )
    }
}

/// A tile as the output has it.
#[derive(Debug, Deserialize)]
pub(super) struct Tile {
    pub(super) id: String,
    pub(super) status: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) caption: Option<String>,
    pub(super) confidence: Option<f64>,
    pub(super) familiarity: Option<f64>,
    pub(super) theme: Option<String>,
    pub(super) objects: Option<String>,
    pub(super) relationship: Option<String>,
    pub(super) window: Window,
    pub(super) valid_fraction: Option<f64>,
    pub(super) gsd_m: Option<f64>,
    #[serde(default)]
    pub(super) answers: Vec<TileAnswer>,
    /// Longitude and latitude of the middle of the outline.
    #[serde(skip)]
    pub(super) centre: Option<(f64, f64)>,
}

/// Reads the output of a scene run.
pub(super) fn read(path: &Path) -> Result<Scene, ReportError> {
    let not_a_scene = |problem: String| ReportError::NotAScene { path: path.to_path_buf(), problem };
    let text =
        fs::read(path).map_err(|source| ReportError::Unreadable { path: path.to_path_buf(), source })?;
    let (features, run) = match OutputFormat::of(path) {
        Ok(OutputFormat::GeoJson) => {
            let mut collection: Value =
                serde_json::from_slice(&text).map_err(|error| not_a_scene(error.to_string()))?;
            let Value::Array(features) = take(&mut collection, "features") else {
                return Err(not_a_scene("it has no features".to_owned()));
            };
            (features, take(&mut collection, "rsmoe"))
        }
        Ok(OutputFormat::GeoJsonLines) => {
            let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            let features: Result<Vec<Value>, _> = lines.map(serde_json::from_slice).collect();
            (features.map_err(|error| not_a_scene(error.to_string()))?, Value::Null)
        }
        Ok(OutputFormat::Csv | OutputFormat::Vector(_)) | Err(_) => {
            return Err(not_a_scene("another format".to_owned()));
        }
    };
    let mut summary = run["summary"]["text"].as_str().map(str::to_owned);
    let mut facts: Option<RunFacts> = serde_json::from_value(run).ok();
    if facts.is_none() {
        facts = Journal::read_facts(&journal_path(path)).ok().flatten();
        summary = recorded_summary(path).ok().flatten();
    }
    let tiles = features
        .into_iter()
        .map(tile)
        .collect::<Result<_, _>>()
        .map_err(|error| not_a_scene(error.to_string()))?;
    Ok(Scene { facts, summary, tiles })
}

fn tile(mut feature: Value) -> Result<Tile, serde_json::Error> {
    let centre = centre(&feature["geometry"]);
    let mut tile: Tile = serde_json::from_value(take(&mut feature, "properties"))?;
    tile.centre = centre;
    for share in [&mut tile.confidence, &mut tile.familiarity] {
        *share = share.filter(|share| (0.0..=1.0).contains(share));
    }
    Ok(tile)
}

/// A member of an object; null where there is none.
fn take(value: &mut Value, key: &str) -> Value {
    value.get_mut(key).map(Value::take).unwrap_or_default()
}

/// Middle of the bounding box of the first ring.
fn centre(geometry: &Value) -> Option<(f64, f64)> {
    let ring = match geometry["type"].as_str()? {
        "Polygon" => &geometry["coordinates"][0],
        "MultiPolygon" => &geometry["coordinates"][0][0],
        _ => return None,
    };
    let mut points =
        ring.as_array()?.iter().filter_map(|point| Some((point[0].as_f64()?, point[1].as_f64()?)));
    let first = points.next()?;
    let (low, high) = points.fold((first, first), |(low, high), (x, y)| {
        ((low.0.min(x), low.1.min(y)), (high.0.max(x), high.1.max(y)))
    });
    Some((f64::midpoint(low.0, high.0), f64::midpoint(low.1, high.1)))
}
