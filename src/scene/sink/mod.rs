//! The output file, written from the journal in one piece.

mod csv;
mod geojson;
mod layer;
mod table;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::journal::{Journal, journal_path};
use super::settings::{EarlierRun, OutputFormat};
use super::{RunFacts, SceneDigest, SceneError, TileRecord};
use crate::vector;

/// Checks, before any work, that the output can be written and is not somebody else's file.
///
/// # Errors
/// [`SceneError::Unwritable`], [`SceneError::OutputExists`], [`SceneError::Vector`].
pub(super) fn check_writable(
    out: &Path,
    format: OutputFormat,
    earlier: EarlierRun,
) -> Result<(), SceneError> {
    check_place(out, format)?;
    if has_content(out) && !journal_path(out).exists() && earlier == EarlierRun::Resume {
        return Err(SceneError::OutputExists { path: out.to_path_buf() });
    }
    Ok(())
}

/// Checks that a file of this format can be written where `out` says.
///
/// # Errors
/// [`SceneError::Unwritable`], [`SceneError::Vector`].
pub(super) fn check_place(out: &Path, format: OutputFormat) -> Result<(), SceneError> {
    if let OutputFormat::Vector(format) = format {
        format.check_available()?;
    }
    let unwritable = |source| SceneError::Unwritable { path: out.to_path_buf(), source };
    if out.is_dir() {
        return Err(unwritable(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let partial = partial_path(out, format);
    File::create(&partial).and_then(|_| fs::remove_file(&partial)).map_err(unwritable)
}

/// True if there is a file with something in it.
pub(super) fn has_content(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

/// Writes all tiles of the journal to `out`, with what they show as a whole where the format has a place for it: to a file beside it
/// first, which then takes its place.
///
/// # Errors
/// [`SceneError::Unwritable`], [`SceneError::JournalUnreadable`], [`SceneError::Vector`].
pub(super) fn write(
    out: &Path,
    format: OutputFormat,
    journal: &mut Journal,
    digest: &SceneDigest,
) -> Result<(), SceneError> {
    let unwritable = |source| SceneError::Unwritable { path: out.to_path_buf(), source };
    let partial = partial_path(out, format);
    if let Err(error) = write_partial(out, &partial, format, journal, digest) {
        // The error says more than whether this one could be removed.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    let written = File::options().read(true).write(true).open(&partial);
    written.and_then(|file| file.sync_all()).map_err(unwritable)?;
    fs::rename(&partial, out).map_err(unwritable)
}

fn write_partial(
    out: &Path,
    partial: &Path,
    format: OutputFormat,
    journal: &mut Journal,
    digest: &SceneDigest,
) -> Result<(), SceneError> {
    match format {
        OutputFormat::GeoJson | OutputFormat::GeoJsonLines | OutputFormat::Csv => {
            write_text(out, partial, format, journal, digest)
        }
        OutputFormat::Vector(format) => {
            let layer = layer::describe(journal, digest)?;
            format.check_placed(out, layer.is_placed)?;
            vector::write(partial, format, &layer, layer::features(journal))
        }
    }
}

/// One text for each tile, between a head and a foot.
fn write_text(
    out: &Path,
    partial: &Path,
    format: OutputFormat,
    journal: &mut Journal,
    digest: &SceneDigest,
) -> Result<(), SceneError> {
    let unwritable = |source| SceneError::Unwritable { path: out.to_path_buf(), source };
    let mut writer = BufWriter::new(File::create(partial).map_err(unwritable)?);
    let facts = journal.facts().clone();
    let (head, foot) = match format {
        OutputFormat::GeoJson => (geojson::head(&facts, digest), geojson::FOOT),
        OutputFormat::Csv => (csv::head(&facts), ""),
        OutputFormat::GeoJsonLines | OutputFormat::Vector(_) => (String::new(), ""),
    };
    writer.write_all(head.as_bytes()).map_err(unwritable)?;
    let mut separator = "";
    for record in records(journal) {
        let record = record?;
        let text = match format {
            OutputFormat::GeoJson => format!("{separator}{}", geojson::feature(&facts, &record)),
            OutputFormat::Csv => csv::line(&facts, &record),
            OutputFormat::GeoJsonLines | OutputFormat::Vector(_) => {
                format!("{}\n", geojson::feature(&facts, &record))
            }
        };
        writer.write_all(text.as_bytes()).map_err(unwritable)?;
        separator = ",\n";
    }
    writer.write_all(foot.as_bytes()).and_then(|()| writer.flush()).map_err(unwritable)
}

/// The tiles that are done, in the order of the grid.
pub(super) fn records(journal: &mut Journal) -> impl Iterator<Item = Result<TileRecord, SceneError>> {
    let count = journal.facts().grid.count();
    (0..count).filter_map(move |index| journal.read(index).transpose())
}

/// The file that is written first. It keeps the extension where the format's library insists on it.
fn partial_path(out: &Path, format: OutputFormat) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    if let OutputFormat::Vector(format) = format {
        name.push(".");
        name.push(format.extension());
    }
    PathBuf::from(name)
}

/// Identity of a tile within its scene: its place in the grid.
pub(super) fn id(facts: &RunFacts, record: &TileRecord) -> String {
    let columns = facts.grid.columns();
    format!("r{:04}c{:04}", record.index / columns, record.index % columns)
}
