//! Where drafts come from: the texts of one role, and the prompt.

use super::acceptance::{Acceptance, GuessClass};
use super::index::{END, Keys, START, TextIndex};
use crate::generate::step::WIDEST_STEP;
use crate::generate::{FinishReason, Generation};
use crate::text::{PromptToken, TokenId};

/// Tokens of texts after which the older half of what was learned is forgotten; bounds the memory.
const LEARNED_TOKENS: usize = 8192;
/// A guess that is reached with less probability is not worth its place.
const IMPROBABLE: f32 = 0.05;
/// Longest and shortest end of a text that is looked for in its prompt, tokens.
const LOOKUP: std::ops::RangeInclusive<usize> = 2..=8;

/// What is known of the texts of one role, such as the router's lines or one expert's texts, for drafts of the next.
///
/// Memory is bounded: texts that came with the package stay, learned ones are forgotten in two generations. Guesses follow from
/// the texts and their order alone.
#[derive(Debug, Clone, Default)]
pub struct DraftSource {
    shipped: TextIndex,
    older: TextIndex,
    newer: TextIndex,
    acceptance: Acceptance,
}

/// Drafts for the rows of a batch.
#[derive(Debug)]
pub struct Drafting<'a> {
    /// One source per role.
    pub sources: &'a mut [DraftSource],
    /// Of each row: index of its role among the sources.
    pub roles: Vec<usize>,
    /// Of each row: the prompt that its text follows, or the part of it that tells it from other rows.
    pub prompts: &'a [Vec<PromptToken>],
}

/// A token that may come next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guess {
    /// `None`: the text ends.
    pub(crate) token: Option<TokenId>,
    pub(crate) class: GuessClass,
    /// That this and all guesses before it are right.
    probability: f32,
}

/// What a row is expected to say next.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    guesses: Vec<Guess>,
}

impl DraftSource {
    /// Takes in a text that comes with the package; it is never forgotten.
    pub fn ship(&mut self, text: &[TokenId]) {
        self.shipped.learn(text.iter().copied().chain([END]));
    }

    /// Takes in a text of this role that was just written.
    pub fn learn(&mut self, text: &Generation) {
        let end = (text.finish == FinishReason::Stop).then_some(END);
        self.newer.learn(text.tokens.iter().copied().chain(end));
        if self.newer.tokens() > LEARNED_TOKENS {
            self.older = std::mem::take(&mut self.newer);
        }
    }

    /// Forgets what was learned, but not what came with the package.
    pub fn forget(&mut self) {
        *self = Self { shipped: std::mem::take(&mut self.shipped), ..Self::default() };
    }

    pub(crate) fn record(&mut self, guess: Guess, has_agreed: bool) {
        self.acceptance.record(guess.class, has_agreed);
    }

    /// Writes what is likely to follow `context`, which [`context_of`] has begun and the text continues.
    pub(crate) fn draft(&self, context: &mut Vec<TokenId>, draft: &mut Draft, vocabulary: usize) {
        draft.guesses.clear();
        let (length, mut probability) = (context.len(), 1.0);
        // The last token of a step comes from the model itself.
        while draft.guesses.len() + 1 < WIDEST_STEP {
            let Some((token, class)) = self.guess(context) else { break };
            probability *= self.acceptance.of(class);
            if probability < IMPROBABLE || (token != END && token as usize >= vocabulary) {
                break;
            }
            draft.guesses.push(Guess { token: (token != END).then_some(token), class, probability });
            if token == END {
                break;
            }
            context.push(token);
        }
        context.truncate(length);
    }

    fn guess(&self, context: &[TokenId]) -> Option<(TokenId, GuessClass)> {
        let keys = Keys::of(context);
        let best = [&self.newer, &self.older, &self.shipped]
            .into_iter()
            .filter_map(|index| index.continuation(&keys))
            .reduce(|best, other| {
                let is_better = (other.context, other.share) > (best.context, best.share);
                if is_better { other } else { best }
            });
        match best {
            Some(found) => Some((found.token, GuessClass::of_share(found.share))),
            None => looked_up(context).map(|token| (token, GuessClass::LOOKUP)),
        }
    }
}

/// The beginning of a row's context: its prompt, and the mark that a text starts. Room is left for a text of `tokens`.
pub(crate) fn context_of(prompt: &[PromptToken], tokens: usize) -> Vec<TokenId> {
    let mut context = Vec::with_capacity(prompt.len() + 1 + tokens + WIDEST_STEP);
    context.extend(prompt.iter().filter_map(|token| match token {
        PromptToken::Token(token) => Some(*token),
        PromptToken::Image(_) => None,
    }));
    context.push(START);
    context
}

/// What followed the longest earlier place that reads as the context's end; the last of several.
fn looked_up(context: &[TokenId]) -> Option<TokenId> {
    let (mut longest, mut found) = (*LOOKUP.start() - 1, None);
    for end in (1..context.len()).rev() {
        let same = context[..end].iter().rev().zip(context.iter().rev()).take(*LOOKUP.end());
        let length = same.take_while(|(earlier, own)| earlier == own).count();
        if length > longest && context[end] != START {
            (longest, found) = (length, Some(context[end]));
        }
    }
    found
}

impl Draft {
    pub(crate) fn new() -> Self {
        Self { guesses: Vec::with_capacity(WIDEST_STEP) }
    }

    /// The guess at a place, if there is one.
    pub(crate) fn guess(&self, place: usize) -> Option<Guess> {
        self.guesses.get(place).copied()
    }

    /// The tokens that a step of this width checks.
    pub(crate) fn tokens(&self, width: usize) -> impl Iterator<Item = TokenId> + '_ {
        self.guesses.iter().map_while(|guess| guess.token).take(width - 1)
    }

    /// No more than so many guesses.
    pub(crate) fn truncate(&mut self, guesses: usize) {
        self.guesses.truncate(guesses);
    }

    /// That a step which checks the guess at a place gains a token by it; 0 where there is none, or the text would end.
    pub(super) fn probability_of(&self, place: usize) -> f32 {
        self.guess(place).filter(|guess| guess.token.is_some()).map_or(0.0, |guess| guess.probability)
    }

    #[cfg(test)]
    pub(super) fn of_probability(each: f32, length: usize) -> Self {
        let guess = |place: usize| Guess {
            token: Some(0),
            class: GuessClass::LOOKUP,
            probability: each.powi(place as i32 + 1),
        };
        Self { guesses: (0..length).map(guess).collect() }
    }
}
