//! Captions: router, experts, merge; or one sentence of the captioner.

use std::collections::BTreeMap;
use std::time::Instant;

use super::drafts::Role;
use super::work::Text;
use super::{
    Branch, Caption, CaptionRequest, Confidence, Engine, ExpertText, FixedWork, Opening, RouterChoice, Seen,
    Style, Timings, no_images, segments,
};
use crate::error::{Error, Result};
use crate::generate::{Afterwards, DecodeBatch, Generation, Writing};
use crate::manifest::{ConfidenceSpec, ExpertSpec, Manifest, RouterSpec};
use crate::merge::merge_captions;
use crate::router::{Assignment, RoutingPlan, fixed_plan, plan_from_text};
use crate::text::PromptToken;
use crate::vision::Look;

/// What is under way about the images of one pass.
struct Unfinished {
    rows: Instructed,
    /// One per image.
    plans: Vec<RoutingPlan>,
    /// By image and expert.
    texts: Vec<Vec<Option<ExpertText>>>,
}

/// Batches of one request by decoder: one row per image, with prefix and instruction.
struct Instructed {
    batches: BTreeMap<String, DecodeBatch>,
    /// Positions of prefix and instruction, the same for all images.
    length: usize,
    prefix: usize,
    /// Lengths that everything is brought to.
    work: Option<FixedWork>,
}

impl Instructed {
    fn new(work: Option<FixedWork>) -> Self {
        Self { batches: BTreeMap::new(), length: 0, prefix: 0, work }
    }
}

/// What every row of a batch goes on with, and writes.
struct Branches {
    /// What opens the text of each row.
    opening: Vec<Vec<PromptToken>>,
    /// Of each row: whose text it is, and with which adapter.
    rows: Vec<(Role, i64)>,
    /// How long the texts may be.
    text: (Text, Option<FixedWork>),
    afterwards: Afterwards,
}

/// Refuses experts and routers that the package does not have, and thresholds that are none.
pub(super) fn check_request(request: &CaptionRequest, model: &str, manifest: &Manifest) -> Result<()> {
    if let Some(found) = request.silent_below.filter(|&threshold| !ConfidenceSpec::is_threshold(threshold)) {
        return Err(Error::Threshold { of: "silent below".to_owned(), found });
    }
    if let Some(asked) = &request.experts {
        check_experts(asked, &manifest.experts.list)?;
    }
    match (request.router, &manifest.router) {
        (Some(RouterChoice::Generative), RouterSpec::Fixed) => {
            Err(Error::NoGenerativeRouter { model: model.to_owned() })
        }
        _ => Ok(()),
    }
}

fn check_experts(asked: &[String], experts: &[ExpertSpec]) -> Result<()> {
    let known = || experts.iter().map(|expert| expert.name.clone());
    let is_subset = asked.iter().all(|name| known().any(|own| own == *name));
    let is_distinct = asked.iter().enumerate().all(|(index, name)| !asked[..index].contains(name));
    if !asked.is_empty() && is_subset && is_distinct {
        return Ok(());
    }
    Err(Error::Experts { asked: asked.to_vec(), known: known().collect() })
}

impl Engine {
    /// One caption per image, pass by pass.
    pub(super) fn write_captions(
        &mut self,
        passes: &mut [Seen],
        request: &CaptionRequest,
        timings: &mut Timings,
    ) -> Result<Vec<Caption>> {
        let instruction = request
            .instruction
            .clone()
            .unwrap_or_else(|| self.manifest().language.caption_instruction.clone());
        let captions = match request.style {
            Style::Brief => {
                let mut captions = Vec::new();
                for seen in passes {
                    let mut rows = Instructed::new(request.work);
                    captions.extend(self.write_brief(seen, &instruction, &mut rows, timings)?);
                    self.keep_prefixes(seen, rows)?;
                }
                captions
            }
            Style::Full => self.write_full(passes, (request, &instruction), timings)?,
        };
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
        let images = batch.rows();
        let opening = vec![self.format.answer(&self.tokenizer)?; images];
        let branches = Branches {
            opening,
            rows: vec![(Role::Caption, adapter); images],
            text: (Text::Brief, rows.work),
            afterwards: Afterwards::Kept,
        };
        let texts = self.write_branches(&decoder, &mut batch, &branches, timings)?;
        self.put_back(&decoder, batch, rows)?;
        texts
            .iter()
            .enumerate()
            .map(|(image, text)| {
                let confidence = self.confidence(seen, image);
                Ok(Caption {
                    text: self.text(&text.tokens)?,
                    experts: Vec::new(),
                    confidence: confidence.of_text(text),
                    familiarity: confidence.familiarity,
                    timings: Timings::default(),
                })
            })
            .collect()
    }

    fn write_full(
        &mut self,
        passes: &mut [Seen],
        (request, instruction): (&CaptionRequest, &str),
        timings: &mut Timings,
    ) -> Result<Vec<Caption>> {
        let mut unfinished = Vec::with_capacity(passes.len());
        for seen in &*passes {
            let mut rows = Instructed::new(request.work);
            let plans = if request.router == Some(RouterChoice::Fixed) {
                self.fixed_plans(seen)
            } else {
                self.route(seen, instruction, &mut rows, timings)?
            };
            unfinished.push(Unfinished {
                texts: vec![vec![None; self.experts.len()]; plans.len()],
                plans,
                rows,
            });
        }
        // Decoder by decoder, so that each has to be in memory once for all passes.
        for (decoder, experts) in self.experts_by_decoder(request) {
            for (seen, own) in passes.iter().zip(&mut unfinished) {
                self.write_experts((&decoder, &experts), seen, instruction, own, timings)?;
            }
        }
        let lead = self.manifest().experts.lead.clone();
        let silent_below = request.silent_below.unwrap_or(self.silent_below());
        let mut captions = Vec::new();
        for (seen, own) in passes.iter_mut().zip(unfinished) {
            let merged = |(image, texts): (usize, Vec<Option<ExpertText>>)| {
                merged(
                    texts.into_iter().flatten().collect(),
                    (lead.as_deref(), silent_below),
                    self.confidence(seen, image).familiarity,
                )
            };
            captions.extend(own.texts.into_iter().enumerate().map(merged));
            self.keep_prefixes(seen, own.rows)?;
        }
        Ok(captions)
    }

    /// The experts that are asked for, by decoder: those first that are in memory already, as far as they are then.
    fn experts_by_decoder(&self, request: &CaptionRequest) -> Vec<(String, Vec<usize>)> {
        let is_asked = |name: &String| request.experts.as_ref().is_none_or(|asked| asked.contains(name));
        let mut by_decoder: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
        for (index, expert) in self.experts.iter().enumerate().filter(|(_, expert)| is_asked(&expert.name)) {
            by_decoder.entry(&expert.decoder).or_default().push(index);
        }
        let mut list: Vec<(String, Vec<usize>)> =
            by_decoder.into_iter().map(|(decoder, experts)| (decoder.clone(), experts)).collect();
        list.sort_by_key(|(decoder, _)| !self.pool.is_resident(decoder));
        list
    }

    /// The texts of the experts of one decoder about all images of a pass.
    fn write_experts(
        &mut self,
        (decoder, experts): (&str, &[usize]),
        seen: &Seen,
        instruction: &str,
        own: &mut Unfinished,
        timings: &mut Timings,
    ) -> Result<()> {
        let Unfinished { rows, plans, texts } = own;
        let batch = self.instructed(decoder, seen, instruction, rows, timings)?;
        let jobs: Vec<(usize, usize)> =
            (0..plans.len()).flat_map(|image| experts.iter().map(move |&expert| (image, expert))).collect();
        let sources: Vec<usize> = jobs.iter().map(|&(image, _)| image).collect();
        let mut copies = self.pool.decoder(decoder)?.replicate(&batch, &sources)?;
        self.put_back(decoder, batch, rows)?;
        let assignments: Vec<&Assignment> =
            jobs.iter().map(|&(image, expert)| &plans[image].assignments[expert]).collect();
        let opening = assignments
            .iter()
            .map(|each| {
                let mut tokens = self.format.expert(&each.prompt, &self.tokenizer)?;
                rows.work.inspect(|work| work.fit_prompt(&mut tokens));
                Ok(tokens)
            })
            .collect::<Result<Vec<_>>>()?;
        let role = |&(_, expert): &(usize, usize)| (Role::Expert(expert), self.experts[expert].adapter);
        let branches = Branches {
            opening,
            rows: jobs.iter().map(role).collect(),
            text: (Text::Expert, rows.work),
            afterwards: Afterwards::Spent,
        };
        let written = self.write_branches(decoder, &mut copies, &branches, timings)?;
        self.pool.decoder(decoder)?.recycle(copies);
        for (((image, expert), assignment), text) in jobs.into_iter().zip(assignments).zip(&written) {
            let confidence = self.confidence(seen, image);
            texts[image][expert] = Some(self.expert_text(expert, assignment, text, confidence)?);
        }
        Ok(())
    }

    fn expert_text(
        &self,
        expert: usize,
        assignment: &Assignment,
        text: &Generation,
        confidence: Confidence,
    ) -> Result<ExpertText> {
        Ok(ExpertText {
            name: self.experts[expert].name.clone(),
            prompt: assignment.prompt.clone(),
            prompt_source: assignment.source,
            text: self.text(&text.tokens)?,
            confidence: confidence.of_text(text),
            in_caption: true,
            finish: text.finish,
        })
    }

    /// The manifest's prompts, once per image.
    fn fixed_plans(&self, seen: &Seen) -> Vec<RoutingPlan> {
        vec![fixed_plan(&self.manifest().experts.list); seen.features.images()]
    }

    /// One plan per image, as the package's router has it.
    fn route(
        &mut self,
        seen: &Seen,
        instruction: &str,
        rows: &mut Instructed,
        timings: &mut Timings,
    ) -> Result<Vec<RoutingPlan>> {
        let images = seen.features.images();
        let Some(Branch { decoder, adapter }) = self.router.clone() else {
            return Ok(self.fixed_plans(seen));
        };
        let mut batch = self.instructed(&decoder, seen, instruction, rows, timings)?;
        let started = Instant::now();
        let branches = Branches {
            opening: vec![self.format.router(&self.tokenizer)?; images],
            rows: vec![(Role::Router, adapter); images],
            text: (Text::Router, rows.work),
            afterwards: Afterwards::Kept,
        };
        let mut own = *timings;
        let texts = self.write_branches(&decoder, &mut batch, &branches, &mut own)?;
        self.put_back(&decoder, batch, rows)?;
        let plans = texts
            .iter()
            .map(|text| {
                let lines = self.tokenizer.detokenize(&text.tokens)?;
                Ok(plan_from_text(&lines, &self.manifest().experts.list))
            })
            .collect::<Result<_>>()?;
        timings.first_token = own.first_token;
        timings.route += started.elapsed();
        Ok(plans)
    }

    /// Opens a branch in every row and writes its text.
    fn write_branches(
        &mut self,
        decoder: &str,
        batch: &mut DecodeBatch,
        branches: &Branches,
        timings: &mut Timings,
    ) -> Result<Vec<Generation>> {
        let Branches { opening, rows, text: (text, work), afterwards } = branches;
        let params = self.params_of(*text, *work);
        let decoder = self.pool.decoder(decoder)?;
        let started = Instant::now();
        let drafting = self.drafts.of_rows(rows.iter().map(|&(role, _)| role), opening);
        let writing = Writing { params: &params, afterwards: *afterwards, drafting };
        let segments = segments(opening, |_| 0, |row| rows[row].1);
        let texts = decoder.open(batch, (&segments, &no_images()), writing)?;
        timings.prefill += started.elapsed();
        timings.first_token = timings.first_token.or(Some(timings.total()));
        let started = Instant::now();
        let texts = decoder.finish(batch, texts)?;
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
        let opening = Opening::Instructed(rows.work);
        let (batch, prefix) = self.open_rows(decoder, &seen.features, &looks, opening, timings)?;
        rows.length = batch.lengths().first().copied().unwrap_or(0);
        rows.prefix = prefix;
        Ok(batch)
    }

    /// Keeps the captioner's prefixes for questions where they would be the same; all else is done with.
    fn keep_prefixes(&mut self, seen: &mut Seen, rows: Instructed) -> Result<()> {
        for (name, mut batch) in rows.batches {
            if name == self.captioner.decoder && !self.connector.reads_instruction() {
                batch.rewind(&vec![rows.prefix; batch.rows()]);
                seen.prefixes = Some(batch);
            } else {
                self.pool.decoder(&name)?.recycle(batch);
            }
        }
        Ok(())
    }

    /// Takes rows back for the next branch, rewound to prefix and instruction. A decoder that may be evicted gets them back at
    /// once: they would hold its weights.
    fn put_back(&mut self, decoder: &str, mut batch: DecodeBatch, rows: &mut Instructed) -> Result<()> {
        if self.pool.keeps_all() {
            batch.rewind(&vec![rows.length; batch.rows()]);
            rows.batches.insert(decoder.to_owned(), batch);
        } else {
            self.pool.decoder(decoder)?.recycle(batch);
        }
        Ok(())
    }
}

/// `lead`: name of the expert that the caption is as sure as, and that is always part of it, as the surest one is; of the others those
/// that are not below `silent_below`.
fn merged(
    mut experts: Vec<ExpertText>,
    (lead, silent_below): (Option<&str>, f64),
    familiarity: Option<f32>,
) -> Caption {
    let surest = experts.iter().map(|expert| expert.confidence).fold(0.0, f32::max);
    for expert in &mut experts {
        expert.in_caption = Some(expert.name.as_str()) == lead
            || expert.confidence >= surest
            || f64::from(expert.confidence) >= silent_below;
    }
    let led = experts.iter().find(|expert| Some(expert.name.as_str()) == lead);
    let mean = experts.iter().map(|expert| expert.confidence).sum::<f32>() / experts.len().max(1) as f32;
    let heard = experts.iter().filter(|expert| expert.in_caption);
    Caption {
        text: merge_captions(heard.map(|expert| expert.text.as_str())),
        confidence: led.map_or(mean, |expert| expert.confidence),
        familiarity,
        experts,
        timings: Timings::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: &[&str]) -> Result<()> {
        let experts = ["theme", "objects", "relationship"].map(|name| ExpertSpec {
            name: name.to_owned(),
            prompt: "Say it.".to_owned(),
            decoder: "base".to_owned(),
            adapter: None,
        });
        check_experts(&asked.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), &experts)
    }

    /// Of confidence .9, .6 and .3.
    fn experts() -> Vec<ExpertText> {
        [("theme", 0.9), ("objects", 0.6), ("relationship", 0.3)]
            .map(|(name, confidence)| ExpertText {
                name: name.to_owned(),
                prompt: String::new(),
                prompt_source: crate::router::PromptSource::Fixed,
                finish: crate::generate::FinishReason::Stop,
                text: format!("Of the {name}."),
                confidence,
                in_caption: true,
            })
            .to_vec()
    }

    #[test]
    fn a_full_caption_is_as_sure_as_its_lead_or_else_as_its_experts_are_on_average() {
        let confidence = |lead| merged(experts(), (lead, 0.0), None).confidence;
        assert!((confidence(Some("objects")) - 0.6).abs() < 1e-6);
        assert!((confidence(None) - 0.6).abs() < 1e-6 && (confidence(Some("theme")) - 0.9).abs() < 1e-6);
        let rest = merged(experts().split_off(1), (Some("theme"), 0.0), None);
        assert!((rest.confidence - 0.45).abs() < 1e-6, "the lead was not asked");
    }

    #[test]
    fn an_expert_that_is_less_sure_stays_out_of_the_caption_unless_it_leads_or_none_is_surer() {
        let text = |lead, silent_below| merged(experts(), (lead, silent_below), None).text;
        assert_eq!(text(Some("theme"), 0.0), "Of the theme. Of the objects. Of the relationship.");
        assert_eq!(text(Some("theme"), 0.5), "Of the theme. Of the objects.");
        assert_eq!(text(Some("theme"), 0.95), "Of the theme.");
        assert_eq!(text(Some("relationship"), 0.95), "Of the theme. Of the relationship.");
        assert_eq!(text(None, 0.95), "Of the theme.");
        let caption = merged(experts(), (Some("theme"), 0.5), None);
        let kept: Vec<bool> = caption.experts.iter().map(|expert| expert.in_caption).collect();
        assert_eq!(kept, [true, true, false], "what was left out can be read all the same");
    }

    #[test]
    fn some_of_the_packages_experts_may_be_asked_in_any_order_but_none_twice() {
        assert!(check(&["objects"]).is_ok() && check(&["relationship", "theme"]).is_ok());
        for wrong in [&[][..], &["weather"], &["theme", "theme"], &["Theme"]] {
            let error = check(wrong).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage, "{wrong:?}");
            assert!(error.to_string().contains("some of theme, objects, relationship"), "{error}");
        }
    }
}
