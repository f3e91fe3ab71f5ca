//! `--srcwin`, `--bbox`, `--geometry`: a part of the scene.

use std::path::PathBuf;

use clap::Args;

use crate::cli::output::CliError;
use crate::geo::Window;
use crate::scene::SceneArea;

/// The part of the scene to do; its tiles are those of the whole scene, so that ids and windows stay.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct AreaArgs {
    /// Do the tiles in this rectangle of pixels only
    #[arg(long, value_name = "COL,ROW,WIDTH,HEIGHT", value_parser = window)]
    srcwin: Option<Window>,
    /// Do the tiles in this box only, degrees on WGS84; WEST greater than EAST crosses the antimeridian
    #[arg(long, value_name = "WEST,SOUTH,EAST,NORTH", value_parser = bounds, allow_hyphen_values = true)]
    bbox: Option<[f64; 4]>,
    /// Do the tiles in these polygons only: a GeoJSON file, WGS84
    #[arg(long, value_name = "FILE")]
    geometry: Option<PathBuf>,
}

/// `--srcwin`.
fn window(text: &str) -> Result<Window, String> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[col, row, width, height]) if width > 0 && height > 0 => Ok(Window { col, row, width, height }),
        _ => Err("expected COL,ROW,WIDTH,HEIGHT in pixels, for example 0,0,1024,512".to_owned()),
    }
}

/// `--bbox`.
fn bounds(text: &str) -> Result<[f64; 4], String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let four = numbers.and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
    four.ok_or_else(|| {
        "expected WEST,SOUTH,EAST,NORTH in degrees, for example -54.7,-25.6,-54.5,-25.3".to_owned()
    })
}

impl AreaArgs {
    /// The area, if one is asked for.
    pub(super) fn resolve(&self) -> anyhow::Result<Option<SceneArea>> {
        if let Some(window) = self.srcwin {
            return Ok(Some(SceneArea::Pixels(window)));
        }
        if let Some(bounds) = self.bbox {
            let area = SceneArea::from_bounds(bounds).map_err(|error| {
                CliError::usage(format!("--bbox: {error}"), "for example --bbox -54.7,-25.6,-54.5,-25.3")
            })?;
            return Ok(Some(area));
        }
        let Some(path) = &self.geometry else { return Ok(None) };
        let area = SceneArea::from_file(path).map_err(|error| {
            let hint = "--geometry takes a GeoJSON file with polygons in longitude and latitude; \
                        ogr2ogr -t_srs EPSG:4326 area.geojson FILE makes one";
            let error = anyhow::Error::from(error);
            CliError::usage(format!("--geometry {error:#}"), hint)
        })?;
        Ok(Some(area))
    }
}
