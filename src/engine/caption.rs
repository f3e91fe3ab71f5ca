//! Captions: router, experts, merge; or one sentence of the captioner.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Branch, Caption, CaptionRequest, Engine, ExpertText, Seen, Style, Timings, no_images, segments};
use crate::error::Result;
use crate::generate::{DecodeBatch, Generation};
use crate::merge::merge_captions;
use crate::router::{Assignment, RoutingPlan, fixed_plan, plan_from_text};
use crate::vision::Look;

/// Batches of one request by decoder: one row per image, with prefix and instruction.
struct Instructed {
    batches: BTreeMap<String, DecodeBatch>,
    /// Positions of prefix and instruction, the same for all images.
    length: usize,
    prefix: usize,
}

impl Instructed {
    /// Takes rows back for the next branch, rewound to prefix and instruction.
    fn put_back(&mut self, decoder: &str, mut batch: DecodeBatch) {
        batch.rewind(&vec![self.length; batch.rows()]);
        self.batches.insert(decoder.to_owned(), batch);
    }
}

impl Engine {
    pub(super) fn write_captions(
        &mut self,
        seen: &mut Seen,
        request: &CaptionRequest,
        timings: &mut Timings,
    ) -> Result<Vec<Caption>> {
        let instruction = request
            .instruction
            .clone()
            .unwrap_or_else(|| self.manifest().language.caption_instruction.clone());
        let mut rows = Instructed { batches: BTreeMap::new(), length: 0, prefix: 0 };
        let captions = match request.style {
            Style::Brief => self.write_brief(seen, &instruction, &mut rows, timings)?,
            Style::Full => self.write_full(seen, &instruction, &mut rows, timings)?,
        };
        self.keep_prefixes(seen, rows);
        let finished = *timings;
        Ok(captions.into_iter().map(|caption| Caption { timings: finished, ..caption }).collect())
    }

    fn write_brief(
        &mut self,
        seen: &Seen,
        instruction: &str,
        rows: &mut Instructed,
        timings: &mut Timings,
    ) -> Result<Vec<Caption>> {
        let Branch { decoder, adapter } = self.captioner.clone();
        let mut batch = self.instructed(&decoder, seen, instruction, rows, timings)?;
        let opening = vec![self.format.answer(&self.tokenizer)?; batch.rows()];
        let limit = self.manifest().generation.max_new_tokens.caption;
        let texts = self.branch(&decoder, &mut batch, &opening, |_| adapter, limit, timings)?;
        rows.put_back(&decoder, batch);
        texts
            .iter()
            .map(|text| {
                Ok(Caption {
                    text: self.text(&text.tokens)?,
                    experts: Vec::new(),
                    confidence: text.confidence(),
                    timings: Timings::default(),
                })
            })
            .collect()
    }

    fn write_full(
        &mut self,
        seen: &Seen,
        instruction: &str,
        rows: &mut Instructed,
        timings: &mut Timings,
    ) -> Result<Vec<Caption>> {
        let plans = self.route(seen, instruction, rows, timings)?;
        let mut texts: Vec<Vec<Option<ExpertText>>> = vec![vec![None; self.experts.len()]; plans.len()];
        // Decoder by decoder, so that each has to be in memory once per batch of images.
        let mut by_decoder: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, expert) in self.experts.iter().enumerate() {
            by_decoder.entry(expert.decoder.clone()).or_default().push(index);
        }
        for (decoder, experts) in by_decoder {
            let batch = self.instructed(&decoder, seen, instruction, rows, timings)?;
            let jobs: Vec<(usize, usize)> = (0..plans.len())
                .flat_map(|image| experts.iter().map(move |&expert| (image, expert)))
                .collect();
            let sources: Vec<usize> = jobs.iter().map(|&(image, _)| image).collect();
            let mut branches = self.pool.decoder(&decoder).replicate(&batch, &sources)?;
            rows.put_back(&decoder, batch);
            let assignments: Vec<&Assignment> =
                jobs.iter().map(|&(image, expert)| &plans[image].assignments[expert]).collect();
            let opening = assignments
                .iter()
                .map(|each| self.format.expert(&each.prompt, &self.tokenizer))
                .collect::<Result<Vec<_>, _>>()?;
            let adapters: Vec<i64> = jobs.iter().map(|&(_, expert)| self.experts[expert].adapter).collect();
            let limit = self.manifest().generation.max_new_tokens.expert;
            let written =
                self.branch(&decoder, &mut branches, &opening, |row| adapters[row], limit, timings)?;
            self.pool.decoder(&decoder).recycle(branches);
            for (((image, expert), assignment), text) in jobs.into_iter().zip(assignments).zip(&written) {
                texts[image][expert] = Some(self.expert_text(expert, assignment, text)?);
            }
        }
        Ok(texts.into_iter().map(|texts| merged(texts.into_iter().flatten().collect())).collect())
    }

    fn expert_text(&self, expert: usize, assignment: &Assignment, text: &Generation) -> Result<ExpertText> {
        Ok(ExpertText {
            name: self.experts[expert].name.clone(),
            prompt: assignment.prompt.clone(),
            prompt_source: assignment.source,
            text: self.text(&text.tokens)?,
            confidence: text.confidence(),
            finish: text.finish,
        })
    }

    /// One plan per image.
    fn route(
        &mut self,
        seen: &Seen,
        instruction: &str,
        rows: &mut Instructed,
        timings: &mut Timings,
    ) -> Result<Vec<RoutingPlan>> {
        let images = seen.features.images();
        let Some(Branch { decoder, adapter }) = self.router.clone() else {
            return Ok(vec![fixed_plan(&self.manifest().experts.list); images]);
        };
        let mut batch = self.instructed(&decoder, seen, instruction, rows, timings)?;
        let started = Instant::now();
        let opening = vec![self.format.router(&self.tokenizer)?; images];
        let limit = self.manifest().generation.max_new_tokens.router;
        let mut own = Timings::default();
        let texts = self.branch(&decoder, &mut batch, &opening, |_| adapter, limit, &mut own)?;
        rows.put_back(&decoder, batch);
        let plans = texts
            .iter()
            .map(|text| {
                let lines = self.tokenizer.detokenize(&text.tokens)?;
                Ok(plan_from_text(&lines, &self.manifest().experts.list))
            })
            .collect::<Result<_>>()?;
        timings.route += started.elapsed();
        Ok(plans)
    }

    /// Opens a branch in every row and writes its text.
    fn branch(
        &mut self,
        decoder: &str,
        batch: &mut DecodeBatch,
        opening: &[Vec<crate::text::PromptToken>],
        adapter: impl Fn(usize) -> i64,
        limit: usize,
        timings: &mut Timings,
    ) -> Result<Vec<Generation>> {
        let params = self.params(limit);
        let decoder = self.pool.decoder(decoder);
        let started = Instant::now();
        decoder.extend(batch, &segments(opening, |_| 0, adapter), &no_images())?;
        timings.prefill += started.elapsed();
        let started = Instant::now();
        let texts = decoder.greedy(batch, &params, |_| true)?;
        timings.decode += started.elapsed();
        Ok(texts)
    }

    /// The rows of `decoder` with prefix and instruction of each image; made once per request and decoder.
    fn instructed(
        &mut self,
        decoder: &str,
        seen: &Seen,
        instruction: &str,
        rows: &mut Instructed,
        timings: &mut Timings,
    ) -> Result<DecodeBatch> {
        if let Some(batch) = rows.batches.remove(decoder) {
            return Ok(batch);
        }
        let looks: Vec<Look<'_>> =
            (0..seen.features.images()).map(|image| Look { image, instruction }).collect();
        let (batch, prefix) = self.open_rows(decoder, &seen.features, &looks, true, timings)?;
        rows.length = batch.lengths().first().copied().unwrap_or(0);
        rows.prefix = prefix;
        Ok(batch)
    }

    /// Keeps the captioner's prefixes for questions where they would be the same; all else is done with.
    fn keep_prefixes(&mut self, seen: &mut Seen, rows: Instructed) {
        for (name, mut batch) in rows.batches {
            if name == self.captioner.decoder && !self.connector.reads_instruction() {
                batch.rewind(&vec![rows.prefix; batch.rows()]);
                seen.prefixes = Some(batch);
            } else {
                self.pool.decoder(&name).recycle(batch);
            }
        }
    }
}

fn merged(experts: Vec<ExpertText>) -> Caption {
    let sum: f32 = experts.iter().map(|expert| expert.confidence).sum();
    Caption {
        text: merge_captions(experts.iter().map(|expert| expert.text.as_str())),
        confidence: sum / experts.len().max(1) as f32,
        experts,
        timings: Timings::default(),
    }
}
