//! What was measured. The JSON Schema in `schemas/bench.schema.json` is generated from these types.

use schemars::JsonSchema;
use serde::Serialize;

/// Speed of one package on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BenchReport {
    /// Version of the program.
    pub rsmoe: String,
    /// Name and digest of the model package.
    pub model: String,
    /// Precision of the language model.
    pub variant: String,
    /// Execution provider that really ran.
    pub provider: String,
    /// Threads for inference.
    pub threads: usize,
    /// Most weights in memory at a time, bytes; null: all of the package stay there.
    pub memory_limit_bytes: Option<u64>,
    /// Where.
    pub machine: Machine,
    /// On which work.
    pub work: Work,
    /// Measured repeats of each situation, after one that is not counted.
    pub repeats: usize,
    /// From the package's directory to an engine that is ready: files are hashed, graphs loaded. Milliseconds, one measurement.
    pub load_ms: f64,
    /// From the package's directory to the first caption, in a new process: loading, and one image. Milliseconds.
    pub first_caption_ms: f64,
    /// Most memory of the process up to the end of the last repeat, MiB; null where the system does not say.
    pub peak_rss_mib: Option<f64>,
    /// The same of the process that reads rasters for it, MiB; null without one (`--reader inline`). The sum of both is more than what they
    /// held at a time, or as much.
    pub reader_peak_rss_mib: Option<f64>,
    /// Memory bandwidth of `threads` threads that read a buffer from end to end, in this run, GB (10^9 bytes) per second.
    pub memory_gb_per_s: Spread,
    /// One image at a time, from a file; null if it was not asked for.
    pub one: Option<OneImage>,
    /// A scene: many tiles, in batches; null if it was not asked for.
    pub scene: Option<Scene>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Machine {
    /// Operating system.
    pub os: String,
    /// Instruction set.
    pub arch: String,
    /// Name of the processor, if the system says.
    pub processor: Option<String>,
    /// Cores that the process may use.
    pub cores: usize,
}

/// The work, as it was really done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Work {
    /// Fixed lengths, or the texts as the model ends them.
    pub lengths: Lengths,
    /// Image tokens of the package.
    pub image_tokens: usize,
    /// Experts of the package.
    pub experts: usize,
    /// `generative`: the router writes the experts' prompts; `fixed`: it writes nothing.
    pub router: String,
    /// Width of the pictures, pixels: the size that the vision encoder wants.
    pub picture_width: usize,
    /// Height of the pictures, pixels.
    pub picture_height: usize,
}

/// Where lengths come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lengths {
    /// From `benches/work.yaml`, the same for every package.
    Fixed,
    /// From the package and the pictures: what a user gets.
    Natural,
}

/// One image, from a file to a merged text.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OneImage {
    /// From the picture's pixels to the first token that is written (the router's, if it writes). Milliseconds.
    pub first_token_ms: Spread,
    /// From the file to the merged text. Milliseconds.
    pub caption_ms: Spread,
    /// The same without reading, preprocessing, vision encoder and connector. Milliseconds.
    pub from_embeddings_ms: Spread,
    /// What it took.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Many tiles, from a raster to an output file, journal included.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Scene {
    /// Tiles.
    pub tiles: usize,
    /// Tiles that are described together; they run through the graphs in passes as large as the caches allow.
    pub tiles_per_batch: usize,
    /// Tiles per second.
    pub tiles_per_s: Spread,
    /// Time of the reading thread, beside everything else. Seconds.
    pub reading_thread_s: Spread,
    /// What it took.
    #[serde(flatten)]
    pub cost: Cost,
}

/// What work took, and where.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Cost {
    /// Tokens of prompts for each image, image tokens and openings of texts included.
    pub prompt_tokens_per_image: f64,
    /// Tokens of texts for each image, the router's included.
    pub written_tokens_per_image: f64,
    /// Decoders that were loaded for each image, because a memory limit let them be evicted; 0: all stayed in memory.
    pub decoder_loads_per_image: f64,
    /// Decoders that were evicted for each image.
    pub decoder_evictions_per_image: f64,
    /// Of the rows of all decode steps, the share whose text was not finished, `0..=1`; the others idled. 0 without a step.
    pub occupancy: f64,
    /// Decode steps for each image.
    pub steps_per_image: f64,
    /// Drafted tokens for each image that decode steps checked; 0 without speculation.
    pub drafted_tokens_per_image: f64,
    /// Of these, tokens that the model agreed with: each saved its row a step.
    pub accepted_tokens_per_image: f64,
    /// Share of drafted tokens that were accepted, `0..=1`; null: none was drafted, every token takes a decode step.
    pub acceptance_rate: Option<f64>,
    /// Written tokens per second of the whole time.
    pub tokens_per_s: Spread,
    /// Prompt tokens per second inside the prefill's graph.
    pub prefill_tokens_per_s: Spread,
    /// Written tokens per second inside the decode step's graph.
    pub decode_tokens_per_s: Spread,
    /// Shares of the whole time, over all repeats; they add up to 1.
    pub share: Share,
    /// Bytes that the decode steps had to read at least (a decoder's whole weight files once a step, and the filled cache)
    /// per second inside their graph, over the memory bandwidth of this run. Null: the provider has its own memory.
    pub roofline: Option<Spread>,
}

/// Shares of the whole time, each `0..=1`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Share {
    /// Inside ONNX Runtime: vision encoder and connector.
    pub vision: f64,
    /// Inside ONNX Runtime: prompts.
    pub prefill: f64,
    /// Inside ONNX Runtime: decode steps.
    pub decode: f64,
    /// Loading decoders that a memory limit had let be evicted.
    pub loading: f64,
    /// Reading (GDAL, radiometry), as far as everything else waited for it.
    pub reading: f64,
    /// Everything else: our own code, and the writing of journal and output.
    pub own: f64,
}

/// A figure over the repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Spread {
    /// The middle one; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of figures; zeros if there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Self { median, min, max }
    }

    /// The spread in another unit, `factor` of which make one of this; `factor` is above 0.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { median: self.median * factor, min: self.min * factor, max: self.max * factor }
    }
}

impl BenchReport {
    /// The JSON Schema of the report, generated from these types; `schemas/bench.schema.json` holds a copy.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!(odd, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]).times(2.0), Spread { median: 5.0, min: 2.0, max: 8.0 });
        assert_eq!(Spread::of([]), Spread { median: 0.0, min: 0.0, max: 0.0 });
    }
}
