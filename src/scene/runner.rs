//! The run: read ahead, describe in fixed batches, journal, write the output.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::journal::{Journal, journal_path};
use super::plan::ScenePlan;
use super::progress::{Progress, ProgressMeter};
use super::reader::{Content, ReadBatch, ReadTile, read_batches};
use super::record::rounded;
use super::settings::{OutputFormat, SceneSettings};
use super::{
    DescribeError, OverviewRecord, SceneDigest, SceneError, TileCounts, TileDescriber, TileOutcome,
    TileRecord, TileText, overview, sink,
};
use crate::image::PixelImage;
use crate::raster::Raster;

/// Batches that wait between reading and describing.
const QUEUE_BATCHES: usize = 2;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneSummary {
    /// All tiles that are done, earlier runs included.
    pub counts: TileCounts,
    /// Tiles that earlier runs had done.
    pub resumed: usize,
    /// How it ended.
    pub end: RunEnd,
    /// Why the first tile failed, of those that failed in this run.
    pub first_failure: Option<String>,
    /// Where the time of reading went.
    pub reading: ReadingTime,
    /// What the run took before its first batch of tiles: the plan, and the overview where there is one.
    pub before_tiles: Duration,
    /// What the scene shows, earlier runs included.
    pub digest: SceneDigest,
}

/// How long reading took, and how much of that nothing else could be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadingTime {
    /// In the reading thread, beside everything else: windows of the raster to pictures.
    pub busy: Duration,
    /// What the describer waited for it.
    pub waited: Duration,
}

/// Whether a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Every tile is done and the output is written.
    Complete,
    /// Stopped between two batches; the same run resumes.
    Interrupted,
    /// The deadline came first: the output holds the tiles that were done by then; the same run resumes.
    OutOfTime,
}

/// What happens while a run goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum SceneEvent<'a> {
    /// The run starts; `resumed` tiles are done already.
    Started {
        /// The run.
        plan: &'a ScenePlan,
        /// Tiles of earlier runs.
        resumed: usize,
        /// Tiles of this run's shard.
        total: usize,
    },
    /// A tile failed, and is recorded so.
    TileFailed {
        /// Its identity in the output.
        id: &'a str,
        /// The tile, with its reason.
        record: &'a TileRecord,
    },
    /// A batch is in the journal.
    BatchDone {
        /// How far the run is by now.
        progress: Progress,
    },
}

/// Runs a scene to its end, or until `cancel` is set.
///
/// Blocks; reading goes on in a thread of its own. `observe` is called from this thread.
///
/// # Errors
/// [`SceneError`]. Whatever was done stays in the journal.
pub fn run(
    settings: &SceneSettings,
    describer: &mut dyn TileDescriber,
    cancel: &AtomicBool,
    observe: &mut dyn FnMut(SceneEvent<'_>),
) -> Result<SceneSummary, SceneError> {
    let begun = Instant::now();
    let format = OutputFormat::of(&settings.out)?;
    sink::check_writable(&settings.out, format, settings.earlier)?;
    let plan = ScenePlan::settle(settings, describer.input_size(), describer.model_facts())?;
    if let OutputFormat::Vector(format) = format {
        format.check_placed(&settings.out, plan.missing_place.is_none())?;
    }
    let journal = Journal::open(&journal_path(&settings.out), plan.facts.clone(), settings.earlier)?;
    let resumed = journal.counts().total();
    observe(SceneEvent::Started { plan: &plan, resumed, total: plan.facts.tile_count() });
    let reading = ReadingTime::default();
    let deadline = settings.deadline;
    let meter = ProgressMeter::new(plan.facts.tile_count(), deadline);
    let mut run = Run { describer, journal, cancel, observe, deadline, meter, first_failure: None, reading };
    run.describe_whole(settings, &plan)?;
    let before_tiles = begun.elapsed();
    let end = run.read_and_describe(&settings.raster, &plan)?;
    let digest = SceneDigest::of(&mut run.journal)?;
    if end != RunEnd::Interrupted {
        sink::write(&settings.out, format, &mut run.journal, &digest)?;
    }
    Ok(SceneSummary {
        digest,
        counts: run.journal.counts(),
        resumed,
        end,
        first_failure: run.first_failure,
        reading: run.reading,
        before_tiles,
    })
}

/// A run under way.
struct Run<'a> {
    describer: &'a mut dyn TileDescriber,
    journal: Journal,
    cancel: &'a AtomicBool,
    observe: &'a mut dyn FnMut(SceneEvent<'_>),
    deadline: Option<Instant>,
    meter: ProgressMeter,
    first_failure: Option<String>,
    reading: ReadingTime,
}

impl Run<'_> {
    /// The whole scene as one picture, if it is asked for or time is short, into the journal. Looked at once: a run that goes on has it.
    fn describe_whole(&mut self, settings: &SceneSettings, plan: &ScenePlan) -> Result<(), SceneError> {
        if !settings.overview && self.deadline.is_none() {
            return Ok(());
        }
        let earlier = self.journal.overview().cloned();
        let is_summary_wanted =
            settings.overview || earlier.as_ref().is_some_and(|record| record.is_summary_wanted);
        let record = match earlier {
            Some(record) if record.is_summary_wanted == is_summary_wanted => return Ok(()),
            Some(record) => OverviewRecord { is_summary_wanted, ..record },
            None => {
                let raster = Raster::open(&settings.raster)?.with_nodata(plan.facts.nodata);
                let mut overview = overview::describe_whole(plan, &raster, self.describer)?;
                overview.iter_mut().for_each(round_shares);
                OverviewRecord { overview, is_summary_wanted }
            }
        };
        self.journal.set_overview(record)
    }

    /// Does the batches that the journal does not hold yet.
    fn read_and_describe(&mut self, raster: &Path, plan: &ScenePlan) -> Result<RunEnd, SceneError> {
        let facts = &plan.facts;
        let is_done = |batch| facts.tiles_of(batch).all(|tile| self.journal.has(tile));
        let mut missing: Vec<usize> =
            (0..facts.batches()).filter(|&batch| facts.shard.has_batch(batch) && !is_done(batch)).collect();
        let count = missing.len();
        if count == 0 {
            return Ok(RunEnd::Complete);
        }
        if self.deadline.is_some() {
            let raster = Raster::open(raster)?.with_nodata(facts.nodata);
            missing = overview::most_promising_first(facts, &raster, missing);
        }
        thread::scope(|scope| {
            let (sender, queue) = sync_channel(QUEUE_BATCHES);
            let reader =
                scope.spawn(move || read_batches(raster, facts, plan.input, missing.into_iter(), &sender));
            let described = self.describe(&queue);
            // Dropping the queue ends the reader, whatever it waits for.
            drop(queue);
            let read = reader.join().map_err(|_| SceneError::ReaderStopped)?;
            let (end, batches) = described?;
            self.reading.busy += read?;
            if end == RunEnd::Complete && batches < count { Err(SceneError::ReaderStopped) } else { Ok(end) }
        })
    }

    /// Describes the batches of the queue; gives their number too.
    fn describe(&mut self, queue: &Receiver<ReadBatch>) -> Result<(RunEnd, usize), SceneError> {
        let (mut batches, mut slowest) = (0, Duration::ZERO);
        loop {
            let started = Instant::now();
            // A batch that would end too late is not begun.
            if self.deadline.is_some_and(|deadline| started + slowest >= deadline) {
                return Ok((RunEnd::OutOfTime, batches));
            }
            let Ok(batch) = queue.recv() else { break };
            self.reading.waited += started.elapsed();
            if self.cancel.load(Ordering::Relaxed) {
                return Ok((RunEnd::Interrupted, batches));
            }
            let is_first = self.journal.counts().captioned == 0;
            let pictures = batch.tiles.iter().filter_map(ReadTile::picture).count();
            let records = describe_batch(self.describer, is_first, batch)?;
            self.journal.append(&records)?;
            self.tell_failures(&records);
            batches += 1;
            let time = started.elapsed();
            slowest = slowest.max(time);
            self.meter.add(pictures, records.len(), time);
            (self.observe)(SceneEvent::BatchDone { progress: self.meter.progress(self.journal.counts()) });
        }
        Ok((RunEnd::Complete, batches))
    }

    /// Tells which tiles of a batch failed, and keeps the first one of the run.
    fn tell_failures(&mut self, records: &[TileRecord]) {
        for record in records {
            let TileOutcome::Failed { reason } = &record.outcome else { continue };
            self.first_failure.get_or_insert_with(|| format!("tile ({}): {reason}", record.window));
            let id = sink::id(self.journal.facts(), record);
            (self.observe)(SceneEvent::TileFailed { id: &id, record });
        }
    }
}

/// The records of a batch whose pictures have their texts.
fn describe_batch(
    describer: &mut dyn TileDescriber,
    is_first: bool,
    batch: ReadBatch,
) -> Result<Vec<TileRecord>, SceneError> {
    let images: Vec<PixelImage> = batch.tiles.iter().filter_map(ReadTile::picture).cloned().collect();
    let mut outcomes = describe_pictures(describer, is_first, &images)
        .map_err(|source| SceneError::Describe { batch: batch.number, source })?
        .into_iter();
    let record = |tile: ReadTile| {
        let outcome = match tile.content {
            Content::Picture(_) => outcomes.next().expect("there is an outcome for every picture"),
            Content::Skipped { reason } => TileOutcome::Skipped { reason },
            Content::Failed { reason } => TileOutcome::Failed { reason },
        };
        TileRecord {
            index: tile.index,
            window: tile.window,
            valid_fraction: tile.valid_fraction,
            gsd_m: tile.gsd_m,
            geometry: tile.geometry,
            outcome,
        }
    };
    Ok(batch.tiles.into_iter().map(record).collect())
}

/// Describes pictures together. If that fails, each alone, so that one bad picture does not take the others along.
///
/// # Errors
/// If none can be described and, as `is_first` says, none ever was: then it is not the pictures.
fn describe_pictures(
    describer: &mut dyn TileDescriber,
    is_first: bool,
    images: &[PixelImage],
) -> Result<Vec<TileOutcome>, DescribeError> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let together = match describe(describer, images) {
        Ok(texts) => return Ok(texts.into_iter().map(TileOutcome::Captioned).collect()),
        Err(error) => error,
    };
    let outcomes: Vec<TileOutcome> = images
        .iter()
        .map(|image| match describe(describer, std::slice::from_ref(image)) {
            Ok(mut texts) => texts.pop().map_or_else(|| failed("no text"), TileOutcome::Captioned),
            Err(error) => failed(&error.to_string()),
        })
        .collect();
    if is_first && outcomes.iter().all(|outcome| outcome.text().is_none()) {
        Err(together)
    } else {
        Ok(outcomes)
    }
}

fn failed(reason: &str) -> TileOutcome {
    TileOutcome::Failed { reason: format!("cannot be described: {reason}") }
}

/// Texts as the record wants them: one for each picture, confidences rounded.
fn describe(
    describer: &mut dyn TileDescriber,
    images: &[PixelImage],
) -> Result<Vec<TileText>, DescribeError> {
    let mut texts = describer.describe(images)?;
    if texts.len() != images.len() {
        return Err(format!("{} texts for {} pictures", texts.len(), images.len()).into());
    }
    texts.iter_mut().for_each(round_shares);
    Ok(texts)
}

fn round_shares(text: &mut TileText) {
    text.confidence = rounded(text.confidence);
    text.familiarity = text.familiarity.map(rounded);
    for answer in &mut text.answers {
        answer.confidence = rounded(answer.confidence);
    }
}
