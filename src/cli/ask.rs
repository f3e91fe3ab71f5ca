//! `rsmoe ask`: one answer per question.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::args::AskArgs;
use super::caption::{report_failed_input, round6, split, warn_if_unfamiliar};
use super::inputs::{self, error_json};
use super::output::{self, CliError, Outcome};
use super::settings::{Settings, picture_options};
use crate::engine::{Answer, Engine, ImageQuestion, Question};
use crate::error::Error;

/// One line of `--questions`, or one question of the command line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    input: PathBuf,
    question: String,
    #[serde(default)]
    choices: Option<Vec<String>>,
}

pub(crate) fn run(args: &AskArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let options = picture_options(&args.picture)?;
    let entries = entries(args)?;
    let mut engine = settings.load_engine()?;
    let batches: Vec<&[Entry]> = entries.chunks(args.batch.get()).collect();
    let groups: Vec<Batch> = batches.iter().map(|entries| Batch::of(entries)).collect();
    let paths: Vec<Vec<PathBuf>> = groups.iter().map(|batch| batch.paths.clone()).collect();
    let mut failed = 0;
    let mut records = Vec::new();
    let mut warned: HashSet<&Path> = HashSet::new();
    inputs::for_each_batch(&paths, engine.input_size(), &options, |index, pictures| {
        let start = Instant::now();
        let (images, errors) = split(pictures);
        let questions = groups[index].questions(batches[index], args.unsure_below, &errors);
        let mut answers = engine.ask(&images, &questions)?.into_iter();
        let ms = start.elapsed().as_secs_f64() * 1e3 / questions.len().max(1) as f64;
        for (entry, &image) in batches[index].iter().zip(&groups[index].image_of) {
            let result = match &errors[image] {
                Some(error) => Err(error),
                None => Ok(answers.next().expect("the engine gives one answer per question")),
            };
            failed += usize::from(result.is_err());
            if settings.json {
                records.push(record(entry, &result, &engine, ms));
            } else if args.jsonl {
                output::json_line(&record(entry, &result, &engine, ms))?;
            } else {
                if let Ok(answer) = &result
                    && !settings.quiet
                    && warned.insert(&entry.input)
                {
                    warn_if_unfamiliar(&entry.input, answer.familiarity);
                }
                print(entry, &result, entries.len() > 1)?;
            }
        }
        Ok(())
    })?;
    if settings.json {
        output::json(&records)?;
    }
    Ok(Outcome::of_inputs(failed, entries.len()))
}

/// The questions in order: those of the command line, or the lines of `--questions`.
fn entries(args: &AskArgs) -> anyhow::Result<Vec<Entry>> {
    if let Some(file) = &args.questions {
        return read_questions(file);
    }
    let input = args.input.clone().expect("clap requires INPUT without --questions");
    let entries = args
        .question
        .iter()
        .map(|question| Entry {
            input: input.clone(),
            question: question.clone(),
            choices: args.choices.clone(),
        })
        .collect();
    check_choices(entries, "--choices")
}

fn read_questions(file: &Path) -> anyhow::Result<Vec<Entry>> {
    let reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file_handle = File::open(file).map_err(|error| {
            CliError::usage(
                format!("--questions {}: {error}", file.display()),
                "name a readable file, or - for standard input",
            )
        })?;
        Box::new(BufReader::new(file_handle))
    };
    let mut entries = Vec::new();
    for (number, line) in reader.lines().enumerate() {
        let line = line.with_context(|| format!("{}, line {}", file.display(), number + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let entry: Entry = serde_json::from_str(&line).map_err(|error| {
            CliError::usage(
                format!("{}, line {}: {error}", file.display(), number + 1),
                r#"each line is a JSON object {"input": PATH, "question": TEXT} with an optional "choices": [TEXT, ...]"#,
            )
        })?;
        entries.push(entry);
    }
    check_choices(entries, &file.display().to_string())
}

fn check_choices(entries: Vec<Entry>, place: &str) -> anyhow::Result<Vec<Entry>> {
    for choices in entries.iter().filter_map(|entry| entry.choices.as_ref()) {
        let mut distinct: Vec<&str> = choices.iter().map(|choice| choice.trim()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != choices.len()
            || choices.len() < 2
            || distinct.iter().any(|choice| choice.is_empty())
        {
            return Err(CliError::usage(
                format!("{place}: choices {choices:?}: expected at least two different answers, none of them empty"),
                "for example --choices yes,no",
            )
            .into());
        }
    }
    Ok(entries)
}

/// The pictures of a batch of questions: each is read and encoded once, however many questions there are about it.
struct Batch {
    paths: Vec<PathBuf>,
    /// For each question, which of `paths`.
    image_of: Vec<usize>,
}

impl Batch {
    fn of(entries: &[Entry]) -> Self {
        let mut place: HashMap<&Path, usize> = HashMap::new();
        let mut paths = Vec::new();
        let image_of = entries
            .iter()
            .map(|entry| {
                *place.entry(&entry.input).or_insert_with(|| {
                    paths.push(entry.input.clone());
                    paths.len() - 1
                })
            })
            .collect();
        Self { paths, image_of }
    }

    /// The questions about the pictures that were read, with their index among those.
    fn questions(
        &self,
        entries: &[Entry],
        unsure_below: Option<f64>,
        errors: &[Option<Error>],
    ) -> Vec<ImageQuestion> {
        let read_before = |image: usize| errors[..image].iter().filter(|error| error.is_none()).count();
        entries
            .iter()
            .zip(&self.image_of)
            .filter(|&(_, &image)| errors[image].is_none())
            .map(|(entry, &image)| ImageQuestion {
                image: read_before(image),
                question: Question {
                    text: entry.question.clone(),
                    choices: entry.choices.clone(),
                    unsure_below,
                },
            })
            .collect()
    }
}

fn print(entry: &Entry, result: &Result<Answer, &Error>, named: bool) -> anyhow::Result<()> {
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            report_failed_input(&entry.input, error);
            return Ok(());
        }
    };
    let said = output::one_line(&answer.text);
    let mut text =
        if named { format!("{}\t{}\t{said}", entry.input.display(), entry.question) } else { said };
    for (choice, probability) in answer.choices.iter().flatten() {
        text.push_str(&format!("\t{choice}={probability:.3}"));
    }
    if let (Some(said), None) = (&answer.said, &answer.choices) {
        text.push_str(&format!("\t{}={:.3}", output::one_line(said), answer.confidence));
    }
    output::line(&text)
}

fn record(entry: &Entry, result: &Result<Answer, &Error>, engine: &Engine, ms: f64) -> Value {
    let input = entry.input.to_string_lossy();
    match result {
        Ok(answer) => json!({
            "input": input,
            "question": entry.question,
            "answer": answer.text,
            "said": answer.said,
            "confidence": round6(answer.confidence),
            "familiarity": answer.familiarity.map(round6),
            "choices": answer.choices.as_ref().map(|choices| {
                choices.iter().map(|(choice, probability)| (choice.clone(), round6(*probability).into())).collect::<Map<_, _>>()
            }),
            "model": engine.model_id(),
            "provider": engine.provider(),
            "variant": engine.variant().to_string(),
            "ms": (ms * 10.0).round() / 10.0,
        }),
        Err(error) => json!({"input": input, "question": entry.question, "error": error_json(error)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(input: &str, question: &str) -> Entry {
        Entry { input: input.into(), question: question.to_owned(), choices: None }
    }

    #[test]
    fn questions_about_one_picture_read_it_once_and_failed_pictures_are_left_out() {
        let entries = [entry("a", "1"), entry("b", "2"), entry("a", "3"), entry("c", "4")];
        let batch = Batch::of(&entries);
        assert_eq!(batch.paths, ["a", "b", "c"].map(PathBuf::from));
        assert_eq!(batch.image_of, [0, 1, 0, 2]);
        let unreadable = Error::from(crate::manifest::ManifestError::NotFound { root: PathBuf::new() });
        let questions = batch.questions(&entries, Some(0.4), &[None, Some(unreadable), None]);
        assert!(questions.iter().all(|each| each.question.unsure_below == Some(0.4)));
        let of: Vec<_> =
            questions.iter().map(|question| (question.image, question.question.text.as_str())).collect();
        assert_eq!(of, [(0, "1"), (0, "3"), (1, "4")]);
    }

    #[test]
    fn choices_must_be_different_and_not_empty() {
        let with = |choices: &[&str]| {
            let mut entry = entry("a", "q");
            entry.choices = Some(choices.iter().map(|&choice| choice.to_owned()).collect());
            check_choices(vec![entry], "here").is_ok()
        };
        assert!(with(&["yes", "no"]));
        assert!(!with(&["yes"]));
        assert!(!with(&["yes", "yes "]));
        assert!(!with(&["yes", ""]));
    }
}
