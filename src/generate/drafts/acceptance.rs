//! How far guesses are to be trusted, and how many of them a step should check.

use super::Draft;
use crate::generate::step::WIDEST_STEP;

/// Classes of guesses: by the share of the times that the token followed, and those of prompt lookup.
const SHARES: usize = 8;

/// Guesses that the expectation before any experience counts for.
const PRIOR_WEIGHT: f32 = 4.0;
/// Expected of prompt lookup before any experience.
const PRIOR_OF_LOOKUP: f32 = 0.5;
/// Experience of a class is halved at this many guesses, so that it follows a change.
const MEMORY: f32 = 256.0;

/// What a step costs beside its new tokens, in the cost of one: the graph's weights and nodes, whatever the rows, and each row's
/// cache. Fitted to the processor time of rsmoe-mini's w8a8 decoder at 1 to 48 rows of 1 to 16 new tokens (see benches/).
const STEP_COST: f32 = 13.5;
const ROW_COST: f32 = 0.4;

/// Most new tokens of all rows together in one step; bounds the memory of their logits.
const STEP_TOKENS: usize = 256;

/// Running acceptance of guesses, by class.
#[derive(Debug, Clone)]
pub(crate) struct Acceptance {
    seen: [f32; SHARES + 1],
    agreed: [f32; SHARES + 1],
}

/// The class of a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuessClass(u8);

impl GuessClass {
    /// Prompt lookup.
    pub(super) const LOOKUP: Self = Self(SHARES as u8);

    /// By share, `0..1`.
    pub(super) fn of_share(share: f32) -> Self {
        Self(((share * SHARES as f32) as u8).min(SHARES as u8 - 1))
    }
}

impl Default for Acceptance {
    fn default() -> Self {
        let mut agreed = [0.0; SHARES + 1];
        for (class, agreed) in agreed.iter_mut().enumerate() {
            *agreed = PRIOR_WEIGHT * (class as f32 + 0.5) / SHARES as f32;
        }
        agreed[SHARES] = PRIOR_WEIGHT * PRIOR_OF_LOOKUP;
        Self { seen: [PRIOR_WEIGHT; SHARES + 1], agreed }
    }
}

impl Acceptance {
    /// The share of guesses of a class that the model agreed with, `0..=1`.
    pub(super) fn of(&self, class: GuessClass) -> f32 {
        let class = usize::from(class.0);
        self.agreed[class] / self.seen[class]
    }

    /// What became of a guess, whether a step checked it or not.
    pub(crate) fn record(&mut self, class: GuessClass, has_agreed: bool) {
        let class = usize::from(class.0);
        self.seen[class] += 1.0;
        self.agreed[class] += f32::from(u8::from(has_agreed));
        if self.seen[class] > MEMORY {
            self.seen[class] /= 2.0;
            self.agreed[class] /= 2.0;
        }
    }
}

/// New tokens for each row of the next step, `1..=room`: as many as give the most tokens for their cost.
///
/// All rows are as wide as the widest, so the drafts of all rows decide together; `rows` counts those that idle too.
pub(crate) fn step_width<'a>(
    drafts: &(impl Iterator<Item = &'a Draft> + Clone),
    rows: usize,
    room: usize,
) -> usize {
    let per_token = rows as f32;
    let fixed = STEP_COST + ROW_COST * per_token;
    let mut tokens = drafts.clone().count() as f32;
    let (mut best, mut width) = (tokens / (fixed + per_token), 1);
    for wider in 2..=room.min(WIDEST_STEP).min(STEP_TOKENS / rows.max(1)) {
        let gained: f32 = drafts.clone().map(|draft| draft.probability_of(wider - 2)).sum();
        if gained <= 0.0 {
            break;
        }
        tokens += gained;
        let rate = tokens / (fixed + per_token * wider as f32);
        if rate > best {
            (best, width) = (rate, wider);
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafts(probability: f32, length: usize, rows: usize) -> Vec<Draft> {
        vec![Draft::of_probability(probability, length); rows]
    }

    #[test]
    fn one_row_is_drafted_far_even_where_drafts_are_doubtful_and_many_rows_only_where_they_are_good() {
        let width = |probability, rows| step_width(&drafts(probability, 15, rows).iter(), rows, 99);
        assert!(width(0.95, 1) >= 8 && width(0.5, 1) >= 3, "{} {}", width(0.95, 1), width(0.5, 1));
        assert!((2..=6).contains(&width(0.9, 48)), "{}", width(0.9, 48));
        assert_eq!((width(0.3, 48), width(0.02, 1)), (1, 1));
    }

    #[test]
    fn a_step_is_no_wider_than_the_drafts_and_the_room() {
        assert_eq!(step_width(&drafts(1.0, 3, 2).iter(), 2, 99), 4);
        assert_eq!(step_width(&drafts(1.0, 15, 2).iter(), 2, 5), 5);
        assert_eq!(step_width(&drafts(1.0, 0, 2).iter(), 2, 5), 1);
        assert_eq!(step_width(&drafts(1.0, 15, 1).iter(), 1, 99), WIDEST_STEP);
    }

    #[test]
    fn a_class_that_fails_is_trusted_less_and_recovers() {
        let mut acceptance = Acceptance::default();
        let class = GuessClass::of_share(0.9);
        assert!(acceptance.of(class) > 0.8);
        for _ in 0..400 {
            acceptance.record(class, false);
        }
        assert!(acceptance.of(class) < 0.05 && acceptance.of(GuessClass::of_share(0.5)) > 0.5);
        for _ in 0..400 {
            acceptance.record(class, true);
        }
        assert!(acceptance.of(class) > 0.8);
    }
}
