//! The journal: every finished tile, safe against a killed process and a torn write.
//!
//! A line of magic, then frames: length of the payload (u32, little-endian), CRC-32 of the payload (u32, little-endian),
//! payload (JSON). The first frame holds the facts of the run, each further one a tile, or the overview of the scene. Batches are
//! appended and synced to the disk; whatever follows the last good frame is dropped when a journal is opened again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use super::plan::MAX_TILES;
use super::settings::EarlierRun;
use super::{OverviewRecord, RunFacts, SceneError, TileCounts, TileOutcome, TileRecord};

const MAGIC: &[u8] = b"rsmoe-journal 1\n";
/// Length of length and checksum.
const FRAME_HEAD: usize = 8;
/// Most bytes of skipped tiles that are not known to be on the disk.
const MAX_UNSYNCED: u64 = 1 << 20;
/// Longest payload that is believed.
const MAX_PAYLOAD: u32 = 16 << 20;

/// Where the journal of an output lies: beside it, with `.journal` appended to its name.
pub fn journal_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".journal");
    PathBuf::from(name)
}

/// The journal of a run, open for appending. It is locked against other processes as long as it lives.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    facts: RunFacts,
    /// Where each tile's frame begins.
    offsets: Vec<Option<NonZeroU64>>,
    end: u64,
    /// Where the file is known to be on the disk.
    synced: u64,
    counts: TileCounts,
    overview: Option<OverviewRecord>,
}

impl Journal {
    /// Opens the journal at `path` for a run with these facts: a new one, or an earlier run's to go on with.
    ///
    /// # Errors
    /// [`SceneError::Unwritable`], [`SceneError::Busy`], [`SceneError::NotAJournal`], [`SceneError::OtherSettings`].
    pub fn open(path: &Path, facts: RunFacts, earlier: EarlierRun) -> Result<Self, SceneError> {
        let unwritable = |source| SceneError::Unwritable { path: path.to_path_buf(), source };
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SceneError::Busy { path: path.to_path_buf() }),
            // Some network file systems have no locks; a run alone needs none.
            Err(TryLockError::Error(error)) => tracing::debug!(%error, "journal not locked"),
        }
        let mut journal = Self::empty(path, file, facts);
        if earlier == EarlierRun::Resume && journal.load()? {
            journal.file.set_len(journal.end).map_err(unwritable)?;
        } else {
            journal.begin().map_err(unwritable)?;
        }
        Ok(journal)
    }

    /// Opens a journal to read its tiles. It is not changed, and locked against a run that would go on with it.
    ///
    /// # Errors
    /// [`SceneError::JournalUnreadable`], [`SceneError::Busy`], [`SceneError::NotAJournal`],
    /// [`SceneError::OtherSettings`] if it does not hold these facts.
    pub fn open_to_read(path: &Path, facts: RunFacts) -> Result<Self, SceneError> {
        let unreadable = |source| SceneError::JournalUnreadable { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(unreadable)?;
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SceneError::Busy { path: path.to_path_buf() }),
            Err(TryLockError::Error(error)) => tracing::debug!(%error, "journal not locked"),
        }
        let mut journal = Self::empty(path, file, facts);
        journal.load()?;
        Ok(journal)
    }

    /// A journal of which nothing is known yet.
    fn empty(path: &Path, file: File, facts: RunFacts) -> Self {
        let offsets = vec![None; facts.grid.count()];
        Self {
            path: path.to_path_buf(),
            file,
            facts,
            offsets,
            end: 0,
            synced: 0,
            counts: TileCounts::default(),
            overview: None,
        }
    }

    /// Reads the facts of a journal without changing or locking it; `None` if it holds none.
    ///
    /// # Errors
    /// [`SceneError::NotAJournal`], [`SceneError::JournalUnreadable`].
    pub fn read_facts(path: &Path) -> Result<Option<RunFacts>, SceneError> {
        let unreadable = |source| SceneError::JournalUnreadable { path: path.to_path_buf(), source };
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
        if !read_magic(&mut reader).map_err(unreadable)? {
            return Err(SceneError::NotAJournal { path: path.to_path_buf() });
        }
        let frame = read_frame(&mut reader).map_err(unreadable)?;
        let facts: Option<RunFacts> = frame.and_then(|payload| serde_json::from_slice(&payload).ok());
        // More tiles than a run may have would be an index that takes more memory than a run may take.
        Ok(facts.filter(|facts| facts.grid.count() <= MAX_TILES))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The facts of the run.
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// How many tiles are done, and how.
    pub fn counts(&self) -> TileCounts {
        self.counts
    }

    /// The scene as one picture, if a run has looked at it.
    pub fn overview(&self) -> Option<&OverviewRecord> {
        self.overview.as_ref()
    }

    /// Records the scene as one picture, in place of what was recorded before, and waits until it is on the disk.
    ///
    /// # Errors
    /// [`SceneError::Unwritable`].
    pub fn set_overview(&mut self, record: OverviewRecord) -> Result<(), SceneError> {
        let frame = frame(&serde_json::to_vec(&record).expect("a record is plain data"));
        let end = self.write(&frame)?;
        self.sync(end)?;
        self.end = end;
        self.overview = Some(record);
        Ok(())
    }

    /// True if the tile is done.
    pub fn has(&self, index: usize) -> bool {
        self.offsets.get(index).is_some_and(Option::is_some)
    }

    /// Appends the records of a batch that are not there yet, and waits until they are on the disk. Tiles that were skipped
    /// may wait for the next batch: they are quickly found again, and there may be many of them.
    ///
    /// # Errors
    /// [`SceneError::Unwritable`].
    pub fn append(&mut self, records: &[TileRecord]) -> Result<(), SceneError> {
        let mut frames = Vec::new();
        let mut places = Vec::new();
        let new: Vec<&TileRecord> = records.iter().filter(|record| !self.has(record.index)).collect();
        for record in &new {
            places.push((record.index, NonZeroU64::new(self.end + frames.len() as u64)));
            frames.extend(frame(&serde_json::to_vec(record).expect("a record is plain data")));
        }
        let end = self.write(&frames)?;
        let is_cheap = new.iter().all(|record| matches!(record.outcome, TileOutcome::Skipped { .. }));
        if !is_cheap || end - self.synced > MAX_UNSYNCED {
            self.sync(end)?;
        }
        self.end = end;
        for (record, (index, offset)) in new.iter().zip(places) {
            self.offsets[index] = offset;
            self.counts.add(&record.outcome);
        }
        Ok(())
    }

    /// Writes frames behind those that are there; gives where they end.
    fn write(&mut self, frames: &[u8]) -> Result<u64, SceneError> {
        let unwritable = |source| SceneError::Unwritable { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(self.end)).map_err(unwritable)?;
        self.file.write_all(frames).map_err(unwritable)?;
        Ok(self.end + frames.len() as u64)
    }

    /// Waits until everything up to `end` is on the disk.
    fn sync(&mut self, end: u64) -> Result<(), SceneError> {
        let unwritable = |source| SceneError::Unwritable { path: self.path.clone(), source };
        self.file.sync_data().map_err(unwritable)?;
        self.synced = end;
        Ok(())
    }

    /// Reads a finished tile back.
    ///
    /// # Errors
    /// [`SceneError::JournalUnreadable`].
    pub fn read(&mut self, index: usize) -> Result<Option<TileRecord>, SceneError> {
        let Some(offset) = self.offsets.get(index).copied().flatten() else { return Ok(None) };
        let unreadable = |source| SceneError::JournalUnreadable { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(offset.get())).map_err(unreadable)?;
        let payload = read_frame(&mut self.file).map_err(unreadable)?;
        let record = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        record
            .map(Some)
            .ok_or_else(|| unreadable(std::io::Error::other("a record that was written is damaged")))
    }

    /// Takes over an earlier run's tiles, up to the first damage; false if there is no earlier run.
    fn load(&mut self) -> Result<bool, SceneError> {
        let unreadable = |source| SceneError::JournalUnreadable { path: self.path.clone(), source };
        if self.file.metadata().map_err(unreadable)?.len() == 0 {
            return Ok(false);
        }
        let mut reader = BufReader::new(&self.file);
        if !read_magic(&mut reader).map_err(unreadable)? {
            return Err(SceneError::NotAJournal { path: self.path.clone() });
        }
        let Some(head) = read_frame(&mut reader).map_err(unreadable)? else { return Ok(false) };
        let Ok(earlier) = serde_json::from_slice::<RunFacts>(&head) else {
            return Err(SceneError::NotAJournal { path: self.path.clone() });
        };
        let differences = self.facts.differences(&earlier);
        if !differences.is_empty() {
            return Err(SceneError::OtherSettings { path: self.path.clone(), differences });
        }
        let mut end = (MAGIC.len() + FRAME_HEAD + head.len()) as u64;
        while let Some(payload) = read_frame(&mut reader).map_err(unreadable)? {
            if let Ok(record) = serde_json::from_slice::<TileRecord>(&payload) {
                let Some(slot) = self.offsets.get_mut(record.index) else { break };
                if slot.is_none() {
                    self.counts.add(&record.outcome);
                }
                *slot = NonZeroU64::new(end);
            } else if let Ok(record) = serde_json::from_slice::<OverviewRecord>(&payload) {
                self.overview = Some(record);
            } else {
                break;
            }
            end += (FRAME_HEAD + payload.len()) as u64;
        }
        (self.end, self.synced) = (end, end);
        Ok(true)
    }

    /// Empties the file and writes the facts of the run.
    fn begin(&mut self) -> std::io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(frame(&serde_json::to_vec(&self.facts)?));
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)?;
        self.file.sync_all()?;
        self.end = bytes.len() as u64;
        self.synced = self.end;
        Ok(())
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend(crc32fast::hash(payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// True if the file begins as a journal, or as the torn beginning of one.
fn read_magic(reader: &mut impl Read) -> std::io::Result<bool> {
    let mut magic = Vec::new();
    reader.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    Ok(MAGIC.starts_with(&magic))
}

/// The next payload; `None` at the end, or where the file is torn or damaged.
fn read_frame(reader: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    reader.by_ref().take(FRAME_HEAD as u64).read_to_end(&mut head)?;
    let (Some(&length), Some(&checksum)) = (head.first_chunk(), head.last_chunk()) else { return Ok(None) };
    if head.len() < FRAME_HEAD {
        return Ok(None);
    }
    let (length, checksum) = (u32::from_le_bytes(length), u32::from_le_bytes(checksum));
    if length > MAX_PAYLOAD {
        return Ok(None);
    }
    let mut payload = Vec::new();
    reader.take(u64::from(length)).read_to_end(&mut payload)?;
    let is_whole = payload.len() == length as usize && crc32fast::hash(&payload) == checksum;
    Ok(is_whole.then_some(payload))
}
