//! The parts of a scene that was shared out, put together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::journal::{Journal, journal_path};
use super::past::{self, Existing, PastRunError};
use super::{EarlierRun, OutputFormat, RunFacts, SceneDigest, SceneError, Shard, TileCounts, sink};

/// Tiles that are copied at a time.
const COPIED_TILES: usize = 1024;

/// What was put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeSummary {
    /// All tiles of the scene.
    pub counts: TileCounts,
    /// Parts that the scene was shared out into.
    pub shards: usize,
}

/// Puts the shards of a run together: writes the output of one run over the whole scene, and a journal with all its
/// tiles.
///
/// The sources are outputs of `rsmoe scene --shard`, or their journals, or both, in any order. A merge that was killed may be
/// repeated.
///
/// # Errors
/// [`SceneError::Past`] if the sources are not all parts of one run, or one is missing or unfinished;
/// [`SceneError::Busy`], [`SceneError::OutputFormat`], [`SceneError::Unwritable`], [`SceneError::Vector`].
pub fn merge(sources: &[PathBuf], out: &Path, existing: Existing) -> Result<MergeSummary, SceneError> {
    let parts = identify(sources)?;
    let mut unfinished = Vec::new();
    for (facts, source) in parts.values() {
        let done = past::open(source)?.counts().total();
        let missing = facts.tile_count() - done.min(facts.tile_count());
        if missing > 0 {
            let (name, total) = (source.display(), facts.tile_count());
            unfinished.push(format!("{name} (shard {}): {missing} of {total} tiles missing", facts.shard));
        }
    }
    if !unfinished.is_empty() {
        return Err(PastRunError::Unfinished { parts: unfinished }.into());
    }
    // There is a first part: without any, the whole would be missing.
    let whole = parts.values().next().map(|(facts, _)| RunFacts { shard: Shard::WHOLE, ..facts.clone() });
    let Some(whole) = whole else { return Err(missing_shards(&parts, 1)) };
    let (format, earlier) = check_out(sources, out, &whole, existing)?;
    let mut journal = Journal::open(&journal_path(out), whole, earlier)?;
    for (_, source) in parts.values() {
        copy(&mut past::open(source)?, &mut journal)?;
    }
    let digest = SceneDigest::of(&mut journal)?;
    sink::write(out, format, &mut journal, &digest)?;
    Ok(MergeSummary { counts: journal.counts(), shards: parts.len() })
}

/// The parts by their numbers: each there once, and all of one run.
fn identify(sources: &[PathBuf]) -> Result<BTreeMap<usize, (RunFacts, PathBuf)>, SceneError> {
    let mut parts: BTreeMap<usize, (RunFacts, PathBuf)> = BTreeMap::new();
    let mut count = 1;
    let mut reference: Option<(RunFacts, &PathBuf)> = None;
    for (index, source) in sources.iter().enumerate() {
        // A pattern may well name both an output and its journal.
        let is_known =
            |earlier: &PathBuf| past::is_same(&past::journal_of(earlier), &past::journal_of(source));
        if sources[..index].iter().any(is_known) {
            continue;
        }
        let facts = past::facts_of(source)?;
        let (shard, path) = (facts.shard, source.clone());
        count = shard.count();
        let (first_facts, first) = reference.get_or_insert_with(|| (facts.clone(), source));
        let same_part = RunFacts { shard: first_facts.shard, ..facts.clone() };
        let mut differences = same_part.differences(first_facts);
        if shard.count() != first_facts.shard.count() {
            differences.push(format!("shard: was {}, now {shard}", first_facts.shard));
        }
        if !differences.is_empty() {
            return Err(PastRunError::OtherRun { path, first: first.clone(), differences }.into());
        }
        if let Some((_, first)) = parts.insert(shard.number(), (facts, path.clone())) {
            return Err(PastRunError::ShardRepeated { path, first, shard: shard.to_string() }.into());
        }
    }
    if parts.len() == count { Ok(parts) } else { Err(missing_shards(&parts, count)) }
}

fn missing_shards(parts: &BTreeMap<usize, (RunFacts, PathBuf)>, count: usize) -> SceneError {
    let missing = (1..=count).filter(|number| !parts.contains_key(number));
    PastRunError::ShardsMissing {
        missing: missing.map(|number| format!("{number}/{count}")).collect(),
        count,
    }
    .into()
}

/// Checks the place of the result. An earlier merge of the same run may be repeated over its own result.
fn check_out(
    sources: &[PathBuf],
    out: &Path,
    whole: &RunFacts,
    existing: Existing,
) -> Result<(OutputFormat, EarlierRun), SceneError> {
    let journal = journal_path(out);
    if sources.iter().any(|source| past::is_same(&past::journal_of(source), &journal)) {
        return Err(PastRunError::OutputOfRun { path: out.to_path_buf() }.into());
    }
    let is_repeated =
        journal.exists() && past::facts_of(out).is_ok_and(|facts| whole.differences(&facts).is_empty());
    if journal.exists() && !is_repeated && existing == Existing::Keep {
        return Err(PastRunError::Occupied { path: out.to_path_buf() }.into());
    }
    let over = if is_repeated { Existing::Replace } else { existing };
    let format = past::check_new(out, over)?;
    Ok((format, if is_repeated { EarlierRun::Resume } else { EarlierRun::Restart }))
}

/// Appends the tiles of one journal to another, and the overview unless it is there: it is the same in all parts, wanted in one of
/// them or not.
fn copy(from: &mut Journal, to: &mut Journal) -> Result<(), SceneError> {
    let is_wanted = |journal: &Journal| journal.overview().is_some_and(|record| record.is_summary_wanted);
    if let Some(record) =
        from.overview().filter(|_| to.overview().is_none() || is_wanted(from) && !is_wanted(to))
    {
        to.set_overview(record.clone())?;
    }
    let mut records = Vec::new();
    for index in 0..from.facts().grid.count() {
        records.extend(from.read(index)?);
        if records.len() == COPIED_TILES {
            to.append(&records)?;
            records.clear();
        }
    }
    to.append(&records)
}
