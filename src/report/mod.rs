//! The report: a scene's captions on its picture, as one HTML page that needs nothing else.
//!
//! The page holds the quick-look as an embedded JPEG, the tiles as SVG outlines, the captions as plain HTML and a small
//! script for filters and selection. It loads nothing, so it works from a file, offline, on a telephone.

mod error;
mod page;
mod picture;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use crate::scene::RunFacts;

pub use error::ReportError;

/// What a report is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOptions {
    /// Output of a scene run: `.geojson` or `.geojsonl`.
    pub source: PathBuf,
    /// The page to write.
    pub out: PathBuf,
    /// The scene, if it is elsewhere than when it was captioned.
    pub raster: Option<PathBuf>,
    /// Title of the page; `None`: the scene's name.
    pub title: Option<String>,
}

/// What a report shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSummary {
    /// Tiles on the page.
    pub tiles: usize,
    /// What is missing on the page, and why.
    pub notes: Vec<String>,
}

/// Writes the report.
///
/// A scene that is gone leaves the page without a picture, and with a note; one that `raster` names must be there.
///
/// # Errors
/// [`ReportError`].
pub fn write(options: &ReportOptions) -> Result<ReportSummary, ReportError> {
    let scene = source::read(&options.source)?;
    let mut notes = Vec::new();
    let look = match picture::draw(&scene, options) {
        Ok(look) => Some(look),
        Err(source) if options.raster.is_some() => return Err(ReportError::Raster { source: source.into() }),
        Err(error) => {
            notes.push(format!("There is no picture of the scene: {error}. Name it with --raster."));
            None
        }
    };
    if let Some(look) = &look {
        notes.extend(look.note.clone());
    }
    if let Some(mut warning) = scene.facts.as_ref().and_then(RunFacts::resolution_warning) {
        warning[..1].make_ascii_uppercase();
        notes.push(format!("{warning}."));
    }
    let title = options.title.clone().unwrap_or_else(|| title_of(&scene, &options.source));
    let html = page::render(&scene, look.as_ref(), &title, &notes);
    save(&options.out, &html)?;
    Ok(ReportSummary { tiles: scene.tiles.len(), notes })
}

fn title_of(scene: &source::Scene, source: &Path) -> String {
    let named = scene.facts.as_ref().map(|facts| PathBuf::from(&facts.raster.path));
    let path = named.as_deref().unwrap_or(source);
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn save(out: &Path, html: &str) -> Result<(), ReportError> {
    let unwritable = |source| ReportError::Unwritable { path: out.to_path_buf(), source };
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, html).and_then(|()| fs::rename(&partial, out)).map_err(unwritable)
}
