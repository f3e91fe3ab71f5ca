//! The output of a past run, written again in another format.

use std::path::Path;

use super::journal::journal_path;
use super::past::{self, Existing, PastRunError};
use super::{SceneDigest, SceneError, Shard, TileCounts, sink};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertSummary {
    /// The tiles of the output.
    pub counts: TileCounts,
    /// Tiles that a finished run has.
    pub total: usize,
    /// The part of the scene that the run does.
    pub shard: Shard,
}

impl ConvertSummary {
    /// True if the run was finished.
    pub fn is_complete(&self) -> bool {
        self.counts.total() == self.total
    }
}

/// Writes what the journal of `source` (an output of a run, or its journal) holds to `out`, in the format of its name.
///
/// A run that is not finished gives the tiles that are done. The result is no run: it gets no journal.
///
/// # Errors
/// [`SceneError::Past`], [`SceneError::Busy`] if the run is going on, [`SceneError::OutputFormat`],
/// [`SceneError::Unwritable`], [`SceneError::Vector`].
pub fn convert(source: &Path, out: &Path, existing: Existing) -> Result<ConvertSummary, SceneError> {
    // A file without the journal that belongs to it could not be resumed.
    if journal_path(out).exists() {
        return Err(PastRunError::OutputOfRun { path: out.to_path_buf() }.into());
    }
    let mut journal = past::open(source)?;
    let format = past::check_new(out, existing)?;
    let digest = SceneDigest::of(&mut journal)?;
    sink::write(out, format, &mut journal, &digest)?;
    let facts = journal.facts();
    Ok(ConvertSummary { counts: journal.counts(), total: facts.tile_count(), shard: facts.shard })
}
