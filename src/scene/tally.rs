//! What a scene's tiles answered, counted.

use serde::Serialize;

use super::record::rounded;
use super::{TileAnswer, tiles};
use crate::engine::NOT_SURE;

/// The answers to one question over a scene.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerTally {
    /// The question.
    pub question: String,
    /// Tiles that were asked: those with texts.
    pub tiles: usize,
    /// Every answer with its tiles: `yes` first, "not sure" last, the others by their number.
    pub answers: Vec<AnswerCount>,
}

/// An answer, and how many tiles gave it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerCount {
    /// The answer.
    pub answer: String,
    /// How many tiles gave it.
    pub tiles: usize,
    /// The mean of their confidences, `0..=1`.
    pub confidence: f64,
}

impl AnswerTally {
    /// Counts the answers of tiles to each of the questions.
    ///
    /// # Errors
    /// The first one of `texts`.
    pub fn count<E>(
        questions: &[String],
        texts: impl Iterator<Item = Result<Vec<TileAnswer>, E>>,
    ) -> Result<Vec<Self>, E> {
        let mut tallies: Vec<Self> = questions
            .iter()
            .map(|question| Self { question: question.clone(), tiles: 0, answers: Vec::new() })
            .collect();
        for answers in texts {
            let answers = answers?;
            for tally in &mut tallies {
                // A question that was asked twice is one.
                if let Some(answer) = answers.iter().find(|answer| answer.question == tally.question) {
                    tally.add(&answer.answer, answer.confidence);
                }
            }
        }
        for tally in &mut tallies {
            tally.add_missing_yes();
            for count in &mut tally.answers {
                count.confidence = rounded(count.confidence / count.tiles.max(1) as f64);
            }
            tally
                .answers
                .sort_by_key(|count| (count.rank(), std::cmp::Reverse(count.tiles), count.answer.clone()));
        }
        Ok(tallies)
    }

    fn add(&mut self, answer: &str, confidence: f64) {
        self.tiles += 1;
        if let Some(count) = self.answers.iter_mut().find(|count| count.answer == answer) {
            count.tiles += 1;
            count.confidence += confidence;
        } else {
            self.answers.push(AnswerCount { answer: answer.to_owned(), tiles: 1, confidence });
        }
    }

    /// To a question that is answered with no, and with nothing else than yes and no, nobody said yes.
    fn add_missing_yes(&mut self) {
        let has = |answer: &str| self.answers.iter().any(|count| count.answer == answer);
        let is_closed =
            self.answers.iter().all(|count| ["yes", "no", NOT_SURE].contains(&count.answer.as_str()));
        if is_closed && has("no") && !has("yes") {
            self.answers.push(AnswerCount { answer: "yes".to_owned(), tiles: 0, confidence: 0.0 });
        }
    }

    /// The tally as a line: `37 of 400 tiles: yes; 350 no, 13 not sure`, with at most so many answers.
    pub fn line(&self, most: usize) -> String {
        self.line_with(most, str::to_owned)
    }

    /// As [`AnswerTally::line`], with every answer as `shown` writes it.
    pub fn line_with(&self, most: usize, shown: impl Fn(&str) -> String) -> String {
        let Some((first, others)) = self.answers.split_first() else { return "no tile was asked".to_owned() };
        let mut line = format!("{} of {}: {}", first.tiles, tiles(self.tiles), shown(&first.answer));
        let count = others.len().min(most.saturating_sub(1));
        let counts: Vec<String> =
            others[..count].iter().map(|count| format!("{} {}", count.tiles, shown(&count.answer))).collect();
        if !counts.is_empty() {
            line = format!("{line}; {}", counts.join(", "));
        }
        let left: usize = others[count..].iter().map(|count| count.tiles).sum();
        if left > 0 { format!("{line}, {left} other answers") } else { line }
    }
}

impl AnswerCount {
    fn rank(&self) -> u8 {
        match self.answer.as_str() {
            "yes" => 0,
            NOT_SURE => 2,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &str, confidence: f64) -> Vec<TileAnswer> {
        let (question, answer) = ("Water?".to_owned(), answer.to_owned());
        vec![TileAnswer { question, answer, said: None, confidence }]
    }

    fn count(questions: &[String], texts: impl IntoIterator<Item = Vec<TileAnswer>>) -> Vec<AnswerTally> {
        AnswerTally::count(questions, texts.into_iter().map(Ok::<_, ()>)).unwrap()
    }

    #[test]
    fn yes_comes_first_not_sure_last_and_the_others_by_number() {
        let texts = [
            text("no", 0.5),
            text("yes", 0.8),
            text("no", 0.7),
            text(NOT_SURE, 0.1),
            text(NOT_SURE, 0.1),
            text("a bit", 1.0),
        ];
        let questions = ["Water?".to_owned(), "Snow?".to_owned()];
        let tallies = count(&questions, texts);
        assert_eq!(tallies[0].line(9), "1 of 6 tiles: yes; 2 no, 1 a bit, 2 not sure");
        assert_eq!(tallies[0].line(2), "1 of 6 tiles: yes; 2 no, 3 other answers");
        assert!((tallies[0].answers[1].confidence - 0.6).abs() < 1e-12);
        assert_eq!(tallies[1].line(9), "no tile was asked");
        let none = count(&questions, [text("no", 0.5), text(NOT_SURE, 0.5)]);
        assert_eq!(none[0].line(9), "0 of 2 tiles: yes; 1 no, 1 not sure");
    }
}
