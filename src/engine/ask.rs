//! Answers: free text, or one of a closed set with its probability.

use std::time::Instant;

use super::drafts::Role;
use super::{Answer, Branch, Confidence, Engine, Job, Opening, Question, Seen, Timings, no_images, segments};
use crate::error::{Error, Result};
use crate::generate::{Afterwards, DecodeBatch, Writing};
use crate::manifest::ConfidenceSpec;
use crate::text::{PromptToken, TokenId};
use crate::vision::Look;

/// Refuses lists of choices, and thresholds, that have no meaning.
pub(super) fn check_question(question: &Question) -> Result<()> {
    if let Some(found) = question.unsure_below.filter(|&threshold| !ConfidenceSpec::is_threshold(threshold)) {
        return Err(Error::Threshold {
            of: format!("question \"{}\": not sure below", question.text),
            found,
        });
    }
    let Some(choices) = &question.choices else { return Ok(()) };
    let mut sorted: Vec<&str> = choices.iter().map(|choice| choice.trim()).collect();
    sorted.sort_unstable();
    let problem = if sorted.is_empty() {
        "the list of choices is empty"
    } else if sorted[0].is_empty() {
        "a choice is empty"
    } else if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        "a choice appears twice"
    } else {
        return Ok(());
    };
    Err(Error::Choices { question: question.text.clone(), problem })
}

impl Engine {
    /// One answer per job, in their order. Done with the prefixes of the images afterwards.
    pub(super) fn answer(
        &mut self,
        seen: &mut Seen,
        jobs: &[Job<'_>],
        timings: &mut Timings,
    ) -> Result<Vec<Answer>> {
        if !jobs.is_empty() && !self.connector.reads_instruction() && seen.prefixes.is_none() {
            let looks: Vec<Look<'_>> =
                (0..seen.features.images()).map(|image| Look { image, instruction: "" }).collect();
            let decoder = self.captioner.decoder.clone();
            let (batch, _) = self.open_rows(&decoder, &seen.features, &looks, Opening::Prefix, timings)?;
            seen.prefixes = Some(batch);
        }
        let mut answers = Vec::with_capacity(jobs.len());
        for jobs in jobs.chunks(self.rows_per_batch) {
            answers.extend(self.answer_chunk(seen, jobs, timings)?);
        }
        if let Some(batch) = seen.prefixes.take() {
            self.pool.decoder(&self.captioner.decoder)?.recycle(batch);
        }
        Ok(answers)
    }

    fn answer_chunk(&mut self, seen: &Seen, jobs: &[Job<'_>], timings: &mut Timings) -> Result<Vec<Answer>> {
        let mut batch = self.asked_rows(seen, jobs, timings)?;
        let started = Instant::now();
        let choices = jobs.iter().map(|job| self.choice_tokens(job.question)).collect::<Result<Vec<_>>>()?;
        let params = self.params(self.manifest().generation.max_new_tokens.answer);
        let questions = jobs
            .iter()
            .map(|job| self.format.instruction(&job.question.text, &self.tokenizer))
            .collect::<Result<Vec<_>, _>>()?;
        let decoder = self.pool.decoder(&self.captioner.decoder)?;
        // Choices first: they need the outputs of the prefill, which decoding overwrites.
        let scores = if choices.iter().any(|list| !list.is_empty()) {
            decoder.score(&batch, &choices)?
        } else {
            vec![Vec::new(); jobs.len()]
        };
        let is_free = |row: usize| jobs[row].question.choices.is_none();
        let drafting = self.drafts.of_rows(jobs.iter().map(|_| Role::Answer), &questions);
        let writing = Writing { params: &params, afterwards: Afterwards::Spent, drafting };
        let texts = decoder.write(&mut batch, writing, is_free)?;
        decoder.recycle(batch);
        timings.decode += started.elapsed();
        jobs.iter()
            .zip(scores.iter().zip(&texts))
            .map(|(job, (scores, text))| {
                let confidence = self.confidence(seen, job.image);
                let answer = match &job.question.choices {
                    Some(choices) => chosen(choices, scores, confidence),
                    None => Answer {
                        text: self.text(&text.tokens)?,
                        said: None,
                        confidence: confidence.of_text(text),
                        choices: None,
                        familiarity: confidence.familiarity,
                    },
                };
                Ok(answer.or_not_sure(job.question.unsure_below.unwrap_or(confidence.spec.unsure_below)))
            })
            .collect()
    }

    /// One row per job, up to where its answer begins.
    fn asked_rows(&mut self, seen: &Seen, jobs: &[Job<'_>], timings: &mut Timings) -> Result<DecodeBatch> {
        let Branch { decoder, adapter } = self.captioner.clone();
        let opening = self.format.answer(&self.tokenizer)?;
        let mut batch = if let Some(prefixes) = &seen.prefixes {
            let started = Instant::now();
            let mut questions = jobs
                .iter()
                .map(|job| self.format.instruction(&job.question.text, &self.tokenizer))
                .collect::<Result<Vec<_>, _>>()?;
            // The base answers: what opens the answer goes in with the question, in one run.
            if adapter == 0 {
                for question in &mut questions {
                    question.extend_from_slice(&opening);
                }
            }
            let images: Vec<usize> = jobs.iter().map(|job| job.image).collect();
            let decoder = self.pool.decoder(&decoder)?;
            let mut batch = decoder.replicate(prefixes, &images)?;
            decoder.extend(&mut batch, &segments(&questions, |_| 0, |_| 0), &no_images())?;
            timings.prefill += started.elapsed();
            if adapter == 0 {
                return Ok(batch);
            }
            batch
        } else {
            let looks: Vec<Look<'_>> =
                jobs.iter().map(|job| Look { image: job.image, instruction: &job.question.text }).collect();
            self.open_rows(&decoder, &seen.features, &looks, Opening::Instructed(None), timings)?.0
        };
        let started = Instant::now();
        let opening: Vec<Vec<PromptToken>> = vec![opening; jobs.len()];
        let decoder = self.pool.decoder(&decoder)?;
        decoder.extend(&mut batch, &segments(&opening, |_| 0, |_| adapter), &no_images())?;
        timings.prefill += started.elapsed();
        Ok(batch)
    }

    /// The tokens of each choice with the stop token that ends an answer; nothing for a free question.
    fn choice_tokens(&self, question: &Question) -> Result<Vec<Vec<TokenId>>> {
        question
            .choices
            .iter()
            .flatten()
            .map(|choice| {
                let mut tokens = self.tokenizer.tokenize_plain(choice.trim())?;
                tokens.push(self.stop_tokens[0]);
                Ok(tokens)
            })
            .collect()
    }
}

fn chosen(choices: &[String], scores: &[f64], confidence: Confidence) -> Answer {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        // The first of equals, so that the order of the choices decides.
        if *score > scores[best] {
            best = index;
        }
    }
    let listed: Vec<(String, f32)> = choices.iter().cloned().zip(confidence.of_choices(scores)).collect();
    let (text, probability) = listed[best].clone();
    Answer {
        text,
        said: None,
        confidence: probability,
        choices: Some(listed),
        familiarity: confidence.familiarity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NOT_SURE;
    use crate::error::ErrorKind;

    #[test]
    fn choices_without_meaning_are_refused() {
        for choices in [vec![], vec!["yes", " "], vec!["yes", "yes "]] {
            let error = check_question(&Question::with_choices("Is it?", choices)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
        }
        assert!(check_question(&Question::with_choices("Is it?", ["yes", "no"])).is_ok());
        assert!(check_question(&Question::new("What?")).is_ok());
    }

    #[test]
    fn a_threshold_is_from_0_to_below_1() {
        let with = |threshold| Question { unsure_below: Some(threshold), ..Question::new("What?") };
        for threshold in [-0.1, 1.0, f64::NAN] {
            let error = check_question(&with(threshold)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{threshold}");
            assert!(error.to_string().contains("0 <= number < 1"), "{error}");
        }
        assert!(check_question(&with(0.0)).is_ok() && check_question(&with(0.999)).is_ok());
    }

    fn yes_or_no(familiarity: Option<f32>) -> Answer {
        let confidence = Confidence { spec: ConfidenceSpec::default(), familiarity };
        chosen(&["yes".to_owned(), "no".to_owned()], &[0.25_f64.ln(), 0.75_f64.ln()], confidence)
    }

    #[test]
    fn the_most_probable_choice_is_the_answer_even_where_familiarity_hides_it() {
        let answer = yes_or_no(None);
        assert_eq!((answer.text.as_str(), answer.familiarity), ("no", None));
        assert!((answer.confidence - 0.75).abs() < 1e-6);
        assert_eq!(answer.choices.unwrap().len(), 2);
        let answer = yes_or_no(Some(0.0));
        assert_eq!((answer.text.as_str(), answer.familiarity), ("no", Some(0.0)));
        assert!((answer.confidence - 0.5).abs() < 1e-6);
    }

    #[test]
    fn below_the_threshold_the_answer_is_not_sure_and_the_probabilities_stay() {
        let sure = yes_or_no(None).or_not_sure(0.7);
        assert_eq!((sure.text.as_str(), sure.said), ("no", None));
        let unsure = yes_or_no(None).or_not_sure(0.8);
        assert_eq!((unsure.text.as_str(), unsure.said.as_deref()), (NOT_SURE, Some("no")));
        assert_eq!((unsure.confidence, unsure.choices), (sure.confidence, sure.choices));
    }

    #[test]
    fn a_threshold_of_0_always_answers() {
        let free = Answer {
            text: "a lake".to_owned(),
            said: None,
            confidence: 0.0,
            choices: None,
            familiarity: Some(0.0),
        };
        assert_eq!(free.clone().or_not_sure(0.0), free);
        assert_eq!(free.or_not_sure(0.1).said.as_deref(), Some("a lake"));
    }
}
