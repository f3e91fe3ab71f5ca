//! Runs of the past, opened by their journals alone: neither the scene nor the model is needed.

use std::fs;
use std::path::{Path, PathBuf};

use super::journal::{Journal, journal_path};
use super::{OutputFormat, RunFacts, SceneDigest, SceneError, sink};
use crate::vision::radiometry::Stretch;

/// End of the name of a journal.
pub(super) const JOURNAL_EXTENSION: &str = "journal";
/// Most things of a kind that a message names.
const NAMED: usize = 8;

/// What to do with a file that is in the way of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Leave it, and refuse.
    #[default]
    Keep,
    /// Replace it.
    Replace,
}

/// Something that is wrong with a past run, for what is to be done with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PastRunError {
    /// There is no journal, or it is another file.
    #[error("{}: no run of `rsmoe scene`: {problem}", path.display())]
    NotARun {
        /// The file that was named.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A part that was made with other settings, or of another scene, than the first.
    #[error("{}: not a part of the same run as {}: {}", path.display(), first.display(), differences.join("; "))]
    OtherRun {
        /// The part.
        path: PathBuf,
        /// The part that it is compared with.
        first: PathBuf,
        /// Setting, value of the first, value of the part.
        differences: Vec<String>,
    },
    /// Two files hold one part.
    #[error("{} and {}: both hold shard {shard}", path.display(), first.display())]
    ShardRepeated {
        /// The later file.
        path: PathBuf,
        /// The earlier file.
        first: PathBuf,
        /// The part, `I/N`.
        shard: String,
    },
    /// Parts that nobody named.
    #[error("{} of {count} shards missing: {}", missing.len(), listed(missing))]
    ShardsMissing {
        /// The parts, `I/N`.
        missing: Vec<String>,
        /// Parts that there must be.
        count: usize,
    },
    /// Parts with tiles that are not done.
    #[error("not finished: {}", listed(parts))]
    Unfinished {
        /// File, part, and number of missing tiles of each.
        parts: Vec<String>,
    },
    /// The file to write is there.
    #[error("{}: the file exists", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The file to write belongs to a run: its journal lies beside it.
    #[error("{}: the output of another run, with its journal", path.display())]
    OutputOfRun {
        /// The file.
        path: PathBuf,
    },
}

impl PastRunError {
    /// True if an input is no run at all; everything else is a matter of the command line.
    pub(super) fn is_about_input(&self) -> bool {
        matches!(self, Self::NotARun { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotARun { .. } => {
                "name an output of `rsmoe scene`; its journal, FILE.journal, must lie beside it"
            }
            Self::OtherRun { .. } => "run that part again with the settings of the others",
            Self::ShardRepeated { .. } => "name one file for each shard",
            Self::ShardsMissing { .. } => {
                "name the output of every shard, or run `rsmoe scene --shard` for these"
            }
            Self::Unfinished { .. } => "repeat the command of each: it resumes",
            Self::Occupied { .. } => "name another file, or --overwrite to replace it",
            Self::OutputOfRun { .. } => "name another file",
        };
        Some(hint.to_owned())
    }
}

/// The first things of a list, and how many more there are.
fn listed(things: &[String]) -> String {
    let shown = things.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match things.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The journal of an output; a journal itself may be named too.
pub(super) fn journal_of(file: &Path) -> PathBuf {
    if file.extension().is_some_and(|extension| extension == JOURNAL_EXTENSION) {
        file.to_path_buf()
    } else {
        journal_path(file)
    }
}

/// The facts of the run that wrote, or would have written, the file.
pub(super) fn facts_of(file: &Path) -> Result<RunFacts, SceneError> {
    let no_run = |problem: String| PastRunError::NotARun { path: file.to_path_buf(), problem };
    match Journal::read_facts(&journal_of(file)) {
        Ok(Some(facts)) => Ok(facts),
        Ok(None) => Err(no_run("the journal is empty or damaged".to_owned()).into()),
        Err(SceneError::NotAJournal { path }) => {
            Err(no_run(format!("{} is no journal", path.display())).into())
        }
        Err(SceneError::JournalUnreadable { path, source }) => {
            Err(no_run(format!("{} cannot be read: {source}", path.display())).into())
        }
        Err(other) => Err(other),
    }
}

/// The stretch of a past run, named by its output or its journal.
///
/// # Errors
/// [`SceneError::Past`].
pub fn recorded_stretch(file: &Path) -> Result<Stretch, SceneError> {
    Ok(facts_of(file)?.stretch)
}

/// The paragraph about the whole scene of a past run, named by its output or its journal; `None` if it was not asked for.
///
/// # Errors
/// [`SceneError::Past`], [`SceneError::Busy`] if the run is going on, [`SceneError::JournalUnreadable`].
pub fn recorded_summary(file: &Path) -> Result<Option<String>, SceneError> {
    Ok(SceneDigest::of(&mut open(file)?)?.summary())
}

/// The run that wrote, or would have written, the file: for reading, and locked against a run that would go on.
pub(super) fn open(file: &Path) -> Result<Journal, SceneError> {
    let facts = facts_of(file)?;
    Journal::open_to_read(&journal_of(file), facts)
}

/// Checks that a new file may be written to `out`, and the format that its name asks for.
pub(super) fn check_new(out: &Path, existing: Existing) -> Result<OutputFormat, SceneError> {
    let format = OutputFormat::of(out)?;
    if existing == Existing::Keep && sink::has_content(out) {
        return Err(PastRunError::Occupied { path: out.to_path_buf() }.into());
    }
    sink::check_place(out, format)?;
    Ok(format)
}

/// True if both lead to one file that is there.
pub(super) fn is_same(left: &Path, right: &Path) -> bool {
    matches!((fs::canonicalize(left), fs::canonicalize(right)), (Ok(left), Ok(right)) if left == right)
}
