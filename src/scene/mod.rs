//! Scenes: a large raster, tile by tile, into one georeferenced file.
//!
//! ```text
//! reader thread ──(bounded queue)──► describer (the engine) ──► journal ──► output file
//!   windows, valid pixels, stretch     fixed batches of tiles     one checksummed record per tile, then GeoJSON, ...
//! ```
//!
//! The journal beside the output holds every finished tile, so a run that was killed goes on where it stopped, and ends
//! with the same bytes as one that was not. It is also all that [`merge`] needs to put the shards of a scene together, and
//! [`convert`] to write a run's output in another format.

mod area;
mod convert;
mod describe;
mod digest;
mod error;
mod journal;
mod measure;
mod merge;
mod overview;
mod past;
mod plan;
mod progress;
mod reader;
mod record;
mod runner;
mod settings;
mod sink;
mod stac;
mod tally;

pub use area::{AreaFacts, SceneArea, SceneAreaError};
pub use convert::{ConvertSummary, convert};
pub use describe::{
    DescribeError, EngineDescriber, ExpertText, ModelFacts, TileAnswer, TileDescriber, TileText,
};
pub use digest::SceneDigest;
pub use error::SceneError;
pub use journal::{Journal, journal_path};
pub use measure::{TileTime, measure};
pub use merge::{MergeSummary, merge};
pub use past::{Existing, PastRunError, recorded_stretch, recorded_summary};
pub use plan::{RasterFacts, RunFacts, SceneFootprint, ScenePlan};
pub use progress::Progress;
pub(crate) use record::tiles;
pub use record::{OverviewRecord, TileCounts, TileOutcome, TileRecord};
pub use runner::{ReadingTime, RunEnd, SceneEvent, SceneSummary, run};
pub use settings::{
    CaptionStyle, EarlierRun, OutputFormat, SceneSettings, Shard, ShardParseError, TileSide,
    TileSideParseError,
};
pub use stac::{StacItem, write_stac};
pub use tally::{AnswerCount, AnswerTally};
