//! What followed which words in the texts seen so far.

use std::collections::HashMap;

use crate::text::TokenId;

/// Lengths of the contexts that are remembered, tokens; the longest one that was seen before decides.
const CONTEXTS: [usize; 6] = [8, 6, 4, 3, 2, 1];

/// Stands before the first token of a text.
pub(super) const START: TokenId = TokenId::MAX;
/// Follows the last token of a text that the model ended.
pub(super) const END: TokenId = TokenId::MAX - 1;

/// The commonest continuation of each context of a number of texts.
///
/// Contexts are known by a hash of 64 bits; two that share one would cost a rejected draft, no more.
#[derive(Debug, Clone, Default)]
pub(super) struct TextIndex {
    commonest: HashMap<u64, Commonest>,
    /// How often each token followed each context.
    counts: HashMap<u64, u32>,
    tokens: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Commonest {
    token: TokenId,
    count: u32,
    /// Of all continuations.
    total: u32,
}

/// A token that followed a context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Continuation {
    pub(super) token: TokenId,
    /// Tokens of the context.
    pub(super) context: usize,
    /// Share of the times that this token followed, `0..1`; lower where the context was rare.
    pub(super) share: f32,
}

impl TextIndex {
    /// Tokens of all texts, starts and ends included.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Takes a text in; `END` closes one that the model ended.
    pub(super) fn learn(&mut self, text: impl IntoIterator<Item = TokenId>) {
        let mut context = vec![START];
        for token in text {
            for (_, key) in Keys::of(&context).iter() {
                let count = self.counts.entry(extended(key, token)).or_default();
                *count += 1;
                let commonest = self.commonest.entry(key).or_default();
                commonest.total += 1;
                // The first of equals stays.
                if *count > commonest.count {
                    (commonest.token, commonest.count) = (token, *count);
                }
            }
            context.push(token);
        }
        self.tokens += context.len();
    }

    /// The commonest continuation of the longest known end of `context`.
    pub(super) fn continuation(&self, keys: &Keys) -> Option<Continuation> {
        keys.iter().find_map(|(context, key)| {
            let Commonest { token, count, total } = *self.commonest.get(&key)?;
            Some(Continuation { token, context, share: count as f32 / (total + 1) as f32 })
        })
    }
}

/// The hashes of a context's ends, the longest first.
pub(super) struct Keys {
    hashes: [u64; CONTEXTS.len()],
    /// Position of the longest one that the context is long enough for.
    first: usize,
}

impl Keys {
    pub(super) fn of(context: &[TokenId]) -> Self {
        let mut keys = Self { hashes: [0; CONTEXTS.len()], first: CONTEXTS.len() };
        let mut hash = 0;
        for (length, &token) in (1..=CONTEXTS[0]).zip(context.iter().rev()) {
            hash = extended(hash, token);
            if CONTEXTS[keys.first - 1] == length {
                keys.first -= 1;
                keys.hashes[keys.first] = hash;
            }
        }
        keys
    }

    fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        CONTEXTS.into_iter().zip(self.hashes).skip(self.first)
    }
}

/// The hash of a sequence and one more token, by the finalizer of `SplitMix64` (Steele et al., OOPSLA 2014).
fn extended(hash: u64, token: TokenId) -> u64 {
    let mut mixed = hash.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(token) << 1 | 1);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(texts: &[&[TokenId]]) -> TextIndex {
        let mut index = TextIndex::default();
        for text in texts {
            index.learn(text.iter().copied().chain([END]));
        }
        index
    }

    fn next(index: &TextIndex, context: &[TokenId]) -> Option<(TokenId, usize)> {
        index.continuation(&Keys::of(context)).map(|found| (found.token, found.context))
    }

    #[test]
    fn the_longest_known_context_decides_and_there_the_commonest_token() {
        let index = index(&[&[1, 2, 3], &[1, 2, 3], &[9, 2, 4]]);
        assert_eq!(next(&index, &[9, 2]), Some((4, 2)));
        assert_eq!(next(&index, &[7, 2]), Some((3, 1)));
        assert_eq!(next(&index, &[START, 1, 2]), Some((3, 3)));
        assert_eq!(next(&index, &[2, 3]), Some((END, 2)));
        assert_eq!(next(&index, &[START]), Some((1, 1)));
        assert_eq!((next(&index, &[7]), next(&index, &[])), (None, None));
        assert_eq!(index.tokens(), 15);
    }

    #[test]
    fn a_continuation_without_alternative_has_the_larger_share_the_oftener_it_was_seen() {
        let index = index(&[&[1, 2], &[1, 2], &[1, 3], &[4, 5]]);
        let share = |context: &[TokenId]| index.continuation(&Keys::of(context)).unwrap().share;
        assert!((share(&[1]) - 0.5).abs() < f32::EPSILON && (share(&[4]) - 0.5).abs() < f32::EPSILON);
        assert!((share(&[1, 2]) - 2.0 / 3.0).abs() < f32::EPSILON);
    }
}
