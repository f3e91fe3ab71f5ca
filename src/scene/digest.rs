//! A scene in one paragraph: its overview and what its tiles have in common.

use std::collections::HashMap;

use serde::Serialize;

use super::journal::Journal;
use super::{AnswerTally, SceneError, TileCounts, TileOutcome, TileRecord, TileText, sink};

/// Name of the expert whose texts say what kind of place a tile is.
const THEME: &str = "theme";
/// Most kinds of places that the paragraph names.
const NAMED_THEMES: usize = 5;
/// Most answers to a question that the paragraph names.
const NAMED_ANSWERS: usize = 4;
/// Words that make no difference between two kinds of places.
const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// What a whole scene shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SceneDigest {
    /// True if a run was asked for a summary: outputs have it then.
    #[serde(skip)]
    pub is_wanted: bool,
    /// The whole scene as one picture; `None` if it could not be read as one, or nobody has looked at it.
    pub overview: Option<TileText>,
    /// Kinds of places with their tiles, the most frequent first: of tiles that look like what the model knows.
    pub themes: Vec<(String, usize)>,
    /// The tiles that are done.
    pub counts: TileCounts,
    /// Tiles that the run did not reach.
    pub not_reached: usize,
    /// The answers of the tiles.
    pub answers: Vec<AnswerTally>,
}

impl SceneDigest {
    /// What the journal of a run knows.
    pub(super) fn of(journal: &mut Journal) -> Result<Self, SceneError> {
        let (facts, counts) = (journal.facts().clone(), journal.counts());
        let overview = journal.overview().cloned();
        let mut themes = Themes::default();
        let answers = sink::records(journal).map(|record| {
            let record = record?;
            themes.add(&record);
            Ok::<_, SceneError>(record.outcome.text().map(|text| text.answers.clone()).unwrap_or_default())
        });
        let answers = AnswerTally::count(&facts.questions, answers)?;
        Ok(Self {
            is_wanted: overview.as_ref().is_some_and(|record| record.is_summary_wanted),
            overview: overview.and_then(|record| record.overview),
            themes: themes.ranked(),
            counts,
            not_reached: facts.tile_count().saturating_sub(counts.total()),
            answers,
        })
    }

    /// The paragraph, if a run was asked for it.
    pub(super) fn summary(&self) -> Option<String> {
        self.is_wanted.then(|| self.paragraph())
    }

    /// The paragraph.
    pub fn paragraph(&self) -> String {
        let mut sentences = Vec::new();
        if let Some(overview) = &self.overview {
            let unsure = if overview.is_unfamiliar() {
                ", though it looks like nothing that the model knows"
            } else {
                ""
            };
            let text = overview.caption.trim().trim_end_matches('.').trim_end();
            sentences.push(format!(
                "As a whole (confidence {:.0} %{unsure}): {text}.",
                overview.confidence * 100.0
            ));
        }
        let TileCounts { captioned, unfamiliar, skipped, failed } = self.counts;
        let known = captioned - unfamiliar;
        let named: Vec<String> = self
            .themes
            .iter()
            .take(NAMED_THEMES)
            .map(|(theme, tiles)| format!("{theme} ({tiles})"))
            .collect();
        if !named.is_empty() {
            let left: usize = self.themes.iter().skip(NAMED_THEMES).map(|(_, tiles)| tiles).sum();
            let others = if left > 0 { format!(", and others ({left})") } else { String::new() };
            sentences.push(format!("Of {known} tiles: {}{others}.", named.join(", ")));
        }
        for tally in self.answers.iter().filter(|tally| tally.tiles > 0) {
            sentences.push(format!("{} {}.", tally.question.trim(), tally.line(NAMED_ANSWERS)));
        }
        let left_out = [
            (unfamiliar, "that look like nothing that the model knows"),
            (skipped, "with too few valid pixels"),
            (failed, "that failed"),
            (self.not_reached, "not reached in time"),
        ];
        let left_out: Vec<String> = left_out
            .iter()
            .filter(|(tiles, _)| *tiles > 0)
            .map(|(tiles, what)| format!("{tiles} {what}"))
            .collect();
        if !left_out.is_empty() {
            sentences.push(format!("Left out: {}.", left_out.join(", ")));
        }
        sentences.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Counts what kinds of places tiles are.
#[derive(Debug, Default)]
struct Themes {
    /// By the words that make a difference: the words as first written, and the tiles.
    counts: HashMap<Vec<String>, (Vec<String>, usize)>,
}

impl Themes {
    /// Counts a tile: what its theme expert wrote, or else the first sentence of its caption.
    fn add(&mut self, record: &TileRecord) {
        let TileOutcome::Captioned(text) = &record.outcome else { return };
        if text.is_unfamiliar() {
            return;
        }
        let theme =
            text.experts.iter().find(|expert| expert.name == THEME).map(|expert| expert.text.as_str());
        let sentence = theme.unwrap_or(&text.caption).split('.').next().unwrap_or_default();
        let words: Vec<String> = sentence.split_whitespace().map(str::to_owned).collect();
        let key = words.iter().map(|word| word.to_lowercase()).filter(|word| !is_article(word)).collect();
        self.counts.entry(key).or_insert((words, 0)).1 += 1;
    }

    /// The kinds, the most frequent first, without the words with which all of them begin.
    fn ranked(self) -> Vec<(String, usize)> {
        let mut ranked: Vec<(Vec<String>, usize)> = self.counts.into_values().collect();
        ranked.sort_by(|first, second| second.1.cmp(&first.1).then_with(|| first.0.cmp(&second.0)));
        let begins_all = |position: usize| {
            let word = |words: &Vec<String>| words.get(position).map(|word| word.to_lowercase());
            let first = ranked.first().and_then(|(words, _)| word(words));
            first.is_some()
                && ranked.iter().all(|(words, _)| word(words) == first && words.len() > position + 1)
        };
        let longest = ranked.first().map_or(0, |(words, _)| words.len());
        let shared = if ranked.len() > 1 {
            (0..longest).take_while(|&position| begins_all(position)).count()
        } else {
            0
        };
        let shown = |words: Vec<String>| {
            let rest: Vec<String> = words.into_iter().skip(shared).collect();
            let articles = if shared > 0 {
                rest.iter().take_while(|word| is_article(&word.to_lowercase())).count()
            } else {
                0
            };
            rest[articles.min(rest.len().saturating_sub(1))..].join(" ")
        };
        ranked
            .into_iter()
            .map(|(words, tiles)| (shown(words), tiles))
            .filter(|(theme, _)| !theme.is_empty())
            .collect()
    }
}

fn is_article(word: &str) -> bool {
    ARTICLES.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Window;
    use crate::scene::ExpertText;

    fn text(caption: &str, theme: Option<&str>) -> TileText {
        let expert = |text: &str| ExpertText { name: THEME.to_owned(), text: text.to_owned() };
        TileText {
            caption: caption.to_owned(),
            confidence: 0.5,
            familiarity: None,
            experts: theme.map(expert).into_iter().collect(),
            answers: Vec::new(),
        }
    }

    fn ranked(texts: Vec<TileText>) -> Vec<(String, usize)> {
        let mut themes = Themes::default();
        for (index, text) in texts.into_iter().enumerate() {
            themes.add(&TileRecord {
                index,
                window: Window { col: 0, row: 0, width: 1, height: 1 },
                valid_fraction: None,
                gsd_m: None,
                geometry: None,
                outcome: TileOutcome::Captioned(text),
            });
        }
        themes.ranked()
    }

    #[test]
    fn kinds_are_counted_without_the_words_that_all_begin_with() {
        let themes = [
            "The scene is farmland.",
            "The scene is a farmland.",
            "The scene is a river.",
            "The scene is a bare land.",
        ];
        let found = ranked(themes.iter().map(|theme| text("x", Some(theme))).collect());
        assert_eq!(found[0], ("farmland".to_owned(), 2));
        assert_eq!(found[1..], [("bare land".to_owned(), 1), ("river".to_owned(), 1)]);
        let brief = ranked(vec![text("a river with a bridge.", None), text("some trees. And more.", None)]);
        assert_eq!(brief, [("a river with a bridge".to_owned(), 1), ("some trees".to_owned(), 1)]);
        assert_eq!(ranked(vec![text("x", Some("The scene is farmland."))])[0].0, "The scene is farmland");
    }

    #[test]
    fn the_paragraph_says_what_is_there_and_what_is_missing() {
        let digest = SceneDigest {
            is_wanted: true,
            overview: Some(text("a river through farmland .", None)),
            themes: (0..7).map(|number| (format!("kind {number}"), 9 - number)).collect(),
            counts: TileCounts { captioned: 44, unfamiliar: 2, skipped: 3, failed: 0 },
            not_reached: 11,
            answers: Vec::new(),
        };
        assert_eq!(
            digest.paragraph(),
            "As a whole (confidence 50 %): a river through farmland. Of 42 tiles: kind 0 (9), kind 1 (8), kind 2 (7), \
             kind 3 (6), kind 4 (5), and others (7). Left out: 2 that look like nothing that the model knows, 3 with too few valid \
             pixels, 11 not reached in time."
        );
        let empty = SceneDigest {
            is_wanted: true,
            overview: None,
            themes: Vec::new(),
            counts: TileCounts::default(),
            not_reached: 0,
            answers: Vec::new(),
        };
        assert_eq!(empty.paragraph(), "");
    }
}
