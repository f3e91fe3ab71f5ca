//! Joins the experts' texts to one caption.

use std::collections::HashSet;

/// Joins texts in their order with one space between; a sentence that was said before is dropped.
///
/// Two sentences are the same if their letters and digits are, whatever case, spaces and punctuation. A text that does
/// not end a sentence gets a full stop if another follows.
pub fn merge_captions<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut said = HashSet::new();
    let mut merged = String::new();
    for sentence in texts.into_iter().flat_map(sentences) {
        let key = normalised(sentence);
        if key.is_empty() || !said.insert(key) {
            continue;
        }
        if !merged.is_empty() {
            if !merged.ends_with(is_end) {
                merged.push('.');
            }
            merged.push(' ');
        }
        merged.push_str(sentence);
    }
    merged
}

/// Splits behind `.`, `!` or `?` where white space follows, so that "0.5 m" stays whole.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest
            .char_indices()
            .zip(rest.chars().skip(1))
            .find(|&((_, own), next)| is_end(own) && next.is_whitespace())
            .map_or(rest.len(), |((index, own), _)| index + own.len_utf8());
        let (sentence, after) = rest.split_at(end);
        rest = after.trim_start();
        Some(sentence)
    })
}

fn is_end(character: char) -> bool {
    matches!(character, '.' | '!' | '?')
}

fn normalised(sentence: &str) -> String {
    let words =
        sentence.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_joined_in_order_and_repetitions_dropped() {
        let texts = [
            "The scene is an airport.",
            " It shows planes. the scene is an  airport! ",
            "",
            "Planes are 0.5 m apart",
            "Two of them",
        ];
        assert_eq!(
            merge_captions(texts),
            "The scene is an airport. It shows planes. Planes are 0.5 m apart. Two of them"
        );
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(merge_captions([]), "");
        assert_eq!(merge_captions(["", " . "]), "");
    }

    proptest! {
        #[test]
        fn merging_twice_changes_nothing(texts in proptest::collection::vec("[a-c .!?]{0,12}", 0..5)) {
            let once = merge_captions(texts.iter().map(String::as_str));
            prop_assert_eq!(merge_captions([once.as_str()]), once);
        }

        #[test]
        fn every_sentence_is_said_exactly_once(texts in proptest::collection::vec("([a-c]{1,3}\\. ){0,4}", 0..5)) {
            let merged = merge_captions(texts.iter().map(String::as_str));
            let wanted: HashSet<String> = texts.iter().flat_map(|text| sentences(text)).map(normalised).collect();
            let found: Vec<String> = sentences(&merged).map(normalised).collect();
            prop_assert_eq!(found.len(), wanted.len());
            prop_assert_eq!(found.into_iter().collect::<HashSet<_>>(), wanted);
        }

        #[test]
        fn arbitrary_text_does_not_panic(texts in proptest::collection::vec(any::<String>(), 0..4)) {
            let _ = merge_captions(texts.iter().map(String::as_str));
        }
    }
}
