//! What must not make a difference: the batch, its order, the way a prompt is cut, the caches that are shared.

use ndarray::{Array3, ArrayView3};
use rsmoe::engine::{CaptionRequest, ImageQuestion, Question, Style};
use rsmoe::generate::{DecodeBatch, Decoder, DecoderFiles, GenerationError, GenerationParams, Segment};
use rsmoe::image::PixelImage;
use rsmoe::manifest::Variant;
use rsmoe::text::PromptToken;
use rsmoe::{Caption, Engine};

use crate::support::{IMAGE_TOKENS, PACKAGES, cpu, engine, package, picture, runtime};

/// Runs of different widths sum in different orders; values are near 1.
const SUM_ORDER_TOLERANCE: f32 = 1e-4;

fn texts(captions: &[Caption]) -> Vec<(String, Vec<(String, String)>)> {
    let experts = |caption: &Caption| {
        caption.experts.iter().map(|expert| (expert.prompt.clone(), expert.text.clone())).collect()
    };
    captions.iter().map(|caption| (caption.text.clone(), experts(caption))).collect()
}

fn pictures(engine: &Engine, count: usize) -> Vec<PixelImage> {
    (0..count).map(|seed| picture(engine, seed)).collect()
}

#[test]
fn a_batch_of_pictures_gives_the_texts_of_single_ones_in_any_order() {
    for name in PACKAGES {
        for variant in Variant::ALL {
            let mut engine = engine(name, variant);
            let pictures = pictures(&engine, 5);
            for style in [Style::Full, Style::Brief] {
                let request = CaptionRequest { style, ..CaptionRequest::default() };
                let together = texts(&engine.caption(&pictures, &request).unwrap());
                let mut turned = pictures.clone();
                turned.reverse();
                let mut reversed = texts(&engine.caption(&turned, &request).unwrap());
                reversed.reverse();
                assert_eq!(together, reversed, "{name} {variant}");
                for (picture, expected) in pictures.iter().zip(together) {
                    let single = engine.caption(std::slice::from_ref(picture), &request).unwrap();
                    assert_eq!(texts(&single), [expected], "{name} {variant}");
                }
            }
        }
    }
}

#[test]
fn more_pictures_than_fit_into_one_batch_are_captioned_in_order() {
    let mut engine = engine("tiny-adapter", Variant::W8a8);
    let pictures = pictures(&engine, engine.images_per_batch() + 3);
    let request = CaptionRequest::default();
    let together = texts(&engine.caption(&pictures, &request).unwrap());
    assert_eq!(together.len(), pictures.len());
    let last = engine.caption(&pictures[pictures.len() - 1..], &request).unwrap();
    assert_eq!(together[pictures.len() - 1..], texts(&last));
    assert!(engine.caption(&[], &request).unwrap().is_empty());
}

#[test]
fn questions_give_the_same_answers_alone_together_and_after_a_caption() {
    for name in PACKAGES {
        let mut engine = engine(name, Variant::Fp32);
        let pictures = pictures(&engine, 3);
        let questions = [
            Question::new("Is there a road?"),
            Question::with_choices("Is it a scene?", ["yes", "no", "road"]),
            Question::new("What is it, and where? Tell me more of it."),
        ];
        let single: Vec<_> = (0..pictures.len())
            .flat_map(|image| questions.iter().map(move |question| (image, question.clone())))
            .map(|(image, question)| {
                let asked = [ImageQuestion { image: 0, question }];
                engine.ask(&pictures[image..=image], &asked).unwrap().remove(0)
            })
            .collect();
        let jobs: Vec<ImageQuestion> = (0..pictures.len())
            .flat_map(|image| {
                questions.iter().cloned().map(move |question| ImageQuestion { image, question })
            })
            .collect();
        let together = engine.ask(&pictures, &jobs).unwrap();
        let request = CaptionRequest::default();
        let both = engine.caption_and_ask(&pictures, &request, &questions).unwrap();
        let captions: Vec<Caption> = both.iter().map(|(caption, _)| caption.clone()).collect();
        assert_eq!(texts(&captions), texts(&engine.caption(&pictures, &request).unwrap()), "{name}");
        let after: Vec<_> = both.into_iter().flat_map(|(_, answers)| answers).collect();
        for (index, single) in single.iter().enumerate() {
            for other in [&together[index], &after[index]] {
                assert_eq!((&single.text, &single.said), (&other.text, &other.said), "{name} {index}");
                assert!((single.confidence - other.confidence).abs() < SUM_ORDER_TOLERANCE, "{name} {index}");
            }
        }
    }
}

fn decoder(name: &str, variant: Variant) -> Decoder {
    let package = package(name);
    let files = DecoderFiles { package: &package, name: "base", variant };
    Decoder::load(runtime(), files, &cpu()).unwrap()
}

fn tokens(ids: &[u32]) -> Vec<PromptToken> {
    ids.iter().map(|&id| PromptToken::Token(id)).collect()
}

fn image_embeddings(images: usize) -> Array3<f32> {
    Array3::from_shape_fn((images, IMAGE_TOKENS, 32), |(image, token, channel)| {
        (((image * 7 + token * 3 + channel) % 11) as f32 - 5.0) / 10.0
    })
}

fn extended(
    decoder: &mut Decoder,
    rows: &[(Vec<PromptToken>, i64)],
    images: ArrayView3<'_, f32>,
) -> DecodeBatch {
    let mut batch = decoder.batch(rows.len()).unwrap();
    extend(decoder, &mut batch, rows, images);
    batch
}

fn extend(
    decoder: &mut Decoder,
    batch: &mut DecodeBatch,
    rows: &[(Vec<PromptToken>, i64)],
    images: ArrayView3<'_, f32>,
) {
    let segments: Vec<Segment<'_>> = rows
        .iter()
        .enumerate()
        .map(|(row, (tokens, adapter))| Segment { tokens, image: row.min(1), adapter: *adapter })
        .collect();
    decoder.extend(batch, &segments, &images).unwrap();
}

fn assert_same_logits(one: &DecodeBatch, row: usize, other: &DecodeBatch, other_row: usize) {
    assert_eq!(one.next_ids()[row], other.next_ids()[other_row]);
    for (a, b) in one.logits().row(row).iter().zip(other.logits().row(other_row)) {
        assert!((a - b).abs() <= SUM_ORDER_TOLERANCE, "{a} {b}");
    }
}

/// A prompt with image tokens between words.
fn prompt() -> Vec<PromptToken> {
    let mut prompt = tokens(&[1, 60, 61]);
    prompt.extend((0..IMAGE_TOKENS).map(PromptToken::Image));
    prompt.extend(tokens(&[70, 71, 72, 73]));
    prompt
}

#[test]
fn a_prompt_in_pieces_is_the_prompt_at_once() {
    let images = image_embeddings(2);
    for variant in Variant::ALL {
        let mut decoder = decoder("tiny-adapter", variant);
        let rows = [(prompt(), 0), (prompt()[..8].to_vec(), 0)];
        let whole = extended(&mut decoder, &rows, images.view());
        let parts = |range: std::ops::Range<usize>| {
            rows.clone()
                .map(|(tokens, adapter)| (tokens[range.start..range.end.min(tokens.len())].to_vec(), adapter))
        };
        let mut pieces = extended(&mut decoder, &parts(0..3), images.view());
        extend(&mut decoder, &mut pieces, &parts(3..7), images.view());
        extend(&mut decoder, &mut pieces, &parts(7..prompt().len()), images.view());
        assert_eq!(whole.lengths(), pieces.lengths());
        for row in 0..2 {
            assert_same_logits(&whole, row, &pieces, row);
        }
    }
}

#[test]
fn adapter_zero_is_the_bare_base_whatever_runs_beside_it() {
    let images = image_embeddings(2);
    for variant in Variant::ALL {
        let mut decoder = decoder("tiny-adapter", variant);
        let base = extended(&mut decoder, &[(prompt(), 0), (prompt(), 0)], images.view());
        let mixed = extended(&mut decoder, &[(prompt(), 0), (prompt(), 2), (prompt(), 0)], images.view());
        assert_same_logits(&base, 0, &mixed, 0);
        assert_same_logits(&base, 1, &mixed, 2);
        let differs =
            mixed.logits().row(1).iter().zip(mixed.logits().row(2)).any(|(a, b)| (a - b).abs() > 0.01);
        assert!(differs, "an adapter changes something");
    }
}

#[test]
fn rewound_and_replicated_rows_continue_as_if_nothing_else_had_been() {
    let images = image_embeddings(2);
    let params = GenerationParams { max_new_tokens: 5, stop_tokens: vec![] };
    let mut decoder = decoder("tiny-adapter", Variant::W8a8);
    let mut shared = extended(&mut decoder, &[(prompt(), 0), (prompt()[..9].to_vec(), 0)], images.view());
    let lengths = shared.lengths().to_vec();
    // Another branch, long enough to leave traces behind the prefix.
    extend(&mut decoder, &mut shared, &[(tokens(&[80, 81, 82]), 1), (tokens(&[83]), 1)], images.view());
    decoder.greedy(&mut shared, &params, |_| true).unwrap();
    shared.rewind(&lengths);
    let mut rows = decoder.replicate(&shared, &[1, 0, 1]).unwrap();
    let branches = [(tokens(&[90, 91]), 3), (tokens(&[92]), 2), (tokens(&[93, 94, 95]), 4)];
    extend(&mut decoder, &mut rows, &branches, images.view());
    let found = decoder.greedy(&mut rows, &params, |_| true).unwrap();
    for (row, (source, (branch, adapter))) in [1, 0, 1].into_iter().zip(branches).enumerate() {
        let prefix = if source == 0 { prompt() } else { prompt()[..9].to_vec() };
        let image = images.slice(ndarray::s![source..=source, .., ..]);
        let mut alone = extended(&mut decoder, &[(prefix, 0)], image);
        extend(&mut decoder, &mut alone, &[(branch, adapter)], image);
        let expected = decoder.greedy(&mut alone, &params, |_| true).unwrap();
        assert_eq!(found[row].tokens, expected[0].tokens, "row {row}");
    }
}

#[test]
fn rows_that_do_not_write_stay_empty_and_leave_the_others_alone() {
    let images = image_embeddings(2);
    let params = GenerationParams { max_new_tokens: 4, stop_tokens: vec![] };
    let mut decoder = decoder("tiny-adapter", Variant::Fp32);
    let rows = [(prompt(), 1), (prompt(), 2)];
    let mut all = extended(&mut decoder, &rows, images.view());
    let all = decoder.greedy(&mut all, &params, |_| true).unwrap();
    let mut some = extended(&mut decoder, &rows, images.view());
    let some = decoder.greedy(&mut some, &params, |row| row == 1).unwrap();
    assert!(some[0].tokens.is_empty());
    assert_eq!(some[1].tokens, all[1].tokens);
}

#[test]
fn a_text_ends_at_the_end_of_the_cache() {
    let mut decoder = decoder("tiny-adapter", Variant::Fp32);
    let images = image_embeddings(2);
    let long = tokens(&[60; 93]);
    let params = GenerationParams { max_new_tokens: 20, stop_tokens: vec![] };
    let mut batch = extended(&mut decoder, &[(long, 0), (prompt(), 0)], images.view());
    let written = decoder.greedy(&mut batch, &params, |_| true).unwrap();
    // The cache of 96 positions holds 93 of the prompt and 3 of the text; one more token follows from the last.
    assert_eq!(written[0].tokens.len(), 4);
    assert_eq!(written[1].tokens.len(), 20);
    let mut alone = extended(&mut decoder, &[(prompt(), 0)], images.slice(ndarray::s![1.., .., ..]));
    assert_eq!(decoder.greedy(&mut alone, &params, |_| true).unwrap()[0].tokens, written[1].tokens);
}

/// Logits of the first of two rows behind its prompt, and log-probabilities of its text; the other prompt is `other` tokens long.
fn beside(decoder: &mut Decoder, other: usize) -> (Vec<f32>, Vec<f32>) {
    let images = image_embeddings(2);
    let params = GenerationParams { max_new_tokens: 12, stop_tokens: vec![] };
    let mut batch = extended(decoder, &[(prompt(), 0), (tokens(&vec![60; other]), 1)], images.view());
    let logits = batch.logits().row(0).to_vec();
    let text = decoder.greedy(&mut batch, &params, |row| row == 0).unwrap().remove(0);
    decoder.recycle(batch);
    (logits, text.logprobs)
}

#[test]
fn how_much_room_the_cache_has_for_other_rows_changes_no_bit_of_a_row() {
    let mut decoder = decoder("tiny-adapter", Variant::W8a8);
    let expected = beside(&mut decoder, 3);
    for other in [40, 70, 95, 3] {
        assert!(beside(&mut decoder, other) == expected, "beside a prompt of {other} tokens");
    }
}

#[test]
fn a_cache_has_room_for_what_its_rows_need_and_starts_small_again() {
    let mut decoder = decoder("tiny-adapter", Variant::W8a8);
    let images = image_embeddings(1);
    let of_prompt = |decoder: &mut Decoder, length: usize| {
        let batch = extended(decoder, &[(tokens(&vec![60; length]), 0)], images.view());
        let found = (batch.cache().capacity(), batch.cache().longest());
        decoder.recycle(batch);
        found
    };
    for (length, capacity) in [(5, 32), (33, 64), (80, 96), (32, 32), (64, 64)] {
        assert_eq!(of_prompt(&mut decoder, length), (capacity, 96), "{length} tokens");
    }
}

#[test]
fn a_text_is_the_same_whether_its_cache_grows_on_the_way_or_was_long_before() {
    let images = image_embeddings(2);
    for variant in Variant::ALL {
        let mut decoder = decoder("tiny-adapter", variant);
        let params = GenerationParams { max_new_tokens: 20, stop_tokens: vec![] };
        let rows = [(tokens(&[60; 58]), 1), (prompt(), 2)];
        let mut growing = extended(&mut decoder, &rows, images.view());
        assert_eq!(growing.cache().capacity(), 64);
        let grown = decoder.greedy(&mut growing, &params, |_| true).unwrap();
        assert_eq!(growing.cache().capacity(), 96, "{variant}");
        let mut neighbours = rows.to_vec();
        neighbours.push((tokens(&[61; 80]), 0));
        let mut long = extended(&mut decoder, &neighbours, images.view());
        assert_eq!(long.cache().capacity(), 96);
        let texts = decoder.greedy(&mut long, &params, |row| row < 2).unwrap();
        for (one, other) in grown.iter().zip(&texts) {
            assert_eq!(one.tokens, other.tokens, "{variant}");
            for (a, b) in one.logprobs.iter().zip(&other.logprobs) {
                assert!((a - b).abs() <= SUM_ORDER_TOLERANCE, "{variant}: {a} {b}");
            }
        }
        // The memory is used again, from the beginning.
        decoder.recycle(growing);
        let mut again = extended(&mut decoder, &rows, images.view());
        assert_eq!(again.cache().capacity(), 64);
        assert_eq!(decoder.greedy(&mut again, &params, |_| true).unwrap()[0].tokens, grown[0].tokens);
    }
}

#[test]
fn a_prompt_that_leaves_no_room_is_refused_before_anything_runs() {
    let mut decoder = decoder("tiny-adapter", Variant::Fp32);
    let mut batch = decoder.batch(1).unwrap();
    let long = tokens(&[60; 96]);
    let segments = [Segment { tokens: &long, image: 0, adapter: 0 }];
    let error = decoder.extend(&mut batch, &segments, &image_embeddings(1).view()).unwrap_err();
    assert!(matches!(error, GenerationError::PromptTooLong { tokens: 96, capacity: 96 }), "{error}");
    assert_eq!(batch.lengths(), [0]);
}

#[test]
fn a_score_that_is_not_a_number_is_an_error() {
    let mut decoder = decoder("tiny-adapter", Variant::Fp32);
    let images = Array3::from_elem((1, IMAGE_TOKENS, 32), f32::NAN);
    let mut batch = extended(&mut decoder, &[(prompt(), 0)], images.view());
    let params = GenerationParams { max_new_tokens: 4, stop_tokens: vec![] };
    let error = decoder.greedy(&mut batch, &params, |_| true).unwrap_err();
    assert!(matches!(error, GenerationError::NotANumber { row: 0, .. }), "{error}");
    let error = decoder.score(&batch, &[vec![vec![2]]]).unwrap_err();
    assert!(matches!(error, GenerationError::NotANumber { row: 0, .. }), "{error}");
}
