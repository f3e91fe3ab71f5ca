//! Drafts and compaction make fewer and smaller steps; what is written stays the same, token for token.

use std::fs;

use ndarray::Array3;
use rsmoe::engine::{EngineOptions, Speculation, Style};
use rsmoe::generate::{
    Afterwards, DecodeBatch, Decoder, DecoderFiles, DraftSource, Drafting, FinishReason, Generation,
    GenerationError, GenerationParams, Segment, Writing,
};
use rsmoe::manifest::{FileSpec, Manifest, ManifestError, Variant};
use rsmoe::text::{PromptToken, TokenId};
use rsmoe::{Caption, CaptionRequest, Engine, Error};
use sha2::{Digest, Sha256};

use crate::support::{
    IMAGE_TOKENS, PACKAGES, chain, changed, cpu, engine, options, package, package_path, picture, runtime,
};

/// Steps of different widths sum in different orders where weights are not 8-bit; log-probabilities are near -1 to -10.
const SUM_ORDER_TOLERANCE: f32 = 1e-4;
/// The same where the other order decides which way an 8-bit activation is rounded.
const ROUNDING_TOLERANCE: f32 = 1e-3;
/// The same inside int4's products, which round their inputs too, where ONNX Runtime sums a single row in another order than several: .0036 found.
const INT4_ROUNDING_TOLERANCE: f32 = 1e-2;
/// Length of a text without a stop token.
const LENGTH: usize = 24;
/// Rows of the large batch: sixteen images for three experts.
const ROWS: usize = 48;

fn decoder(name: &str, variant: Variant) -> Decoder {
    let package = package(name);
    let decoder = package.manifest().decoders.keys().next().unwrap().clone();
    let files = DecoderFiles { package: &package, name: &decoder, variant };
    Decoder::load(runtime(), files, &cpu()).unwrap()
}

/// A prompt for each row, of different lengths and words; `tail` more tokens for the first one.
fn prompts(rows: usize, tail: usize) -> Vec<Vec<PromptToken>> {
    let prompt = |row: usize| {
        let longer = if row == 0 { tail } else { 0 };
        let tokens = (0..3 + row % 7 + longer)
            .map(|place| PromptToken::Token((40 + 13 * row + 5 * place) as TokenId % 140));
        tokens.collect()
    };
    (0..rows).map(prompt).collect()
}

fn prompted(decoder: &mut Decoder, prompts: &[Vec<PromptToken>], first: usize) -> DecodeBatch {
    let adapters = decoder.adapter_id(Some("theme")).map_or(1, |_| 4);
    let segments: Vec<Segment<'_>> = prompts
        .iter()
        .enumerate()
        .map(|(row, tokens)| Segment { tokens, image: 0, adapter: (first + row) as i64 % adapters })
        .collect();
    let mut batch = decoder.batch(prompts.len()).unwrap();
    let images = Array3::zeros((1, IMAGE_TOKENS, 32));
    decoder.extend(&mut batch, &segments, &images.view()).unwrap();
    batch
}

/// Every row in a batch of its own, without drafts.
fn alone(decoder: &mut Decoder, prompts: &[Vec<PromptToken>], params: &GenerationParams) -> Vec<Generation> {
    let one = |(row, prompt): (usize, &Vec<PromptToken>)| {
        let mut batch = prompted(decoder, std::slice::from_ref(prompt), row);
        let text = decoder.greedy(&mut batch, params, |_| true).unwrap().remove(0);
        decoder.recycle(batch);
        text
    };
    prompts.iter().enumerate().map(one).collect()
}

fn together(
    decoder: &mut Decoder,
    prompts: &[Vec<PromptToken>],
    params: &GenerationParams,
    sources: Option<&mut [DraftSource]>,
) -> Vec<Generation> {
    let mut batch = prompted(decoder, prompts, 0);
    let drafting = sources.map(|sources| {
        let roles = (0..prompts.len()).map(|row| row % sources.len()).collect();
        Drafting { sources, roles, prompts }
    });
    let writing = Writing { params, afterwards: Afterwards::Spent, drafting };
    let texts = decoder.write(&mut batch, writing, |_| true).unwrap();
    decoder.recycle(batch);
    texts
}

/// Ends texts at many different lengths: the words that some of them say there end all of them.
fn ragged(decoder: &mut Decoder, prompts: &[Vec<PromptToken>]) -> GenerationParams {
    let full = alone(decoder, prompts, &GenerationParams::exactly(LENGTH));
    let stop_tokens =
        full.iter().enumerate().step_by(5).map(|(row, text)| text.tokens[2 + row % (LENGTH - 4)]).collect();
    GenerationParams { max_new_tokens: LENGTH, stop_tokens }
}

/// True on x86-64 processors with AVX2 alone.
fn sums_single_rows_in_another_order() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn assert_same(found: &[Generation], expected: &[Generation], variant: Variant, case: &str) {
    // Integer products are exact, and everything else works row by row; but one query head for each key-value head, as in
    // tiny-graph, makes products of a single row, which are summed in another order than those of several.
    let tolerance = match variant {
        Variant::W8a8 if case != "tiny-graph" => 0.0,
        Variant::W8a8 => ROUNDING_TOLERANCE,
        Variant::Int4 if sums_single_rows_in_another_order() => INT4_ROUNDING_TOLERANCE,
        Variant::Fp32 | Variant::Int4 => SUM_ORDER_TOLERANCE,
    };
    assert_eq!(found.len(), expected.len());
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(
            (&found.tokens, found.finish),
            (&expected.tokens, expected.finish),
            "{case}, {variant}, row {row}"
        );
        assert_eq!(found.logprobs.len(), expected.logprobs.len(), "{case}, {variant}, row {row}");
        for (one, other) in found.logprobs.iter().zip(&expected.logprobs) {
            assert!((one - other).abs() <= tolerance, "{case}, {variant}, row {row}: {one} {other}");
        }
    }
}

fn source_of(texts: &[Generation]) -> DraftSource {
    let mut source = DraftSource::default();
    for text in texts {
        source.learn(text);
    }
    source
}

#[test]
fn finished_rows_leave_the_batch_and_every_text_is_that_of_its_row_alone() {
    for name in PACKAGES {
        for variant in Variant::ALL {
            let mut decoder = decoder(name, variant);
            let prompts = prompts(ROWS, 0);
            let params = ragged(&mut decoder, &prompts);
            let expected = alone(&mut decoder, &prompts, &params);
            let lengths: std::collections::BTreeSet<usize> =
                expected.iter().map(|text| text.tokens.len()).collect();
            assert!(lengths.len() > 5, "{name} {variant}: the texts are ragged: {lengths:?}");
            let before = decoder.counters();
            let found = together(&mut decoder, &prompts, &params, None);
            let done = decoder.counters() - before;
            assert_same(&found, &expected, variant, name);
            let steps: u64 = expected.iter().map(|text| text.logprobs.len() as u64 - 1).sum();
            assert_eq!(done.live_row_steps, steps, "{name} {variant}");
            // Fewer than one in eight of a step's rows idles.
            assert!(done.live_row_steps * 8 > done.row_steps * 7, "{name} {variant}: {done:?}");
            assert_eq!((done.drafted_tokens, done.accepted_tokens), (0, 0));
        }
    }
}

#[test]
fn rows_that_are_kept_go_on_as_if_nothing_had_been_written() {
    for variant in Variant::ALL {
        let mut decoder = decoder("tiny-adapter", variant);
        let prompts = prompts(12, 0);
        let params = ragged(&mut decoder, &prompts);
        let mut untouched = prompted(&mut decoder, &prompts, 0);
        let mut written = prompted(&mut decoder, &prompts, 0);
        decoder.greedy(&mut written, &params, |row| row != 3).unwrap();
        assert_eq!(written.lengths(), untouched.lengths());
        let more: Vec<Vec<PromptToken>> = (0..12).map(|row| vec![PromptToken::Token(30 + row)]).collect();
        let segments: Vec<Segment<'_>> =
            more.iter().map(|tokens| Segment { tokens, image: 0, adapter: 2 }).collect();
        let images = Array3::zeros((1, IMAGE_TOKENS, 32));
        for batch in [&mut untouched, &mut written] {
            decoder.extend(batch, &segments, &images.view()).unwrap();
        }
        assert_eq!(untouched.next_ids(), written.next_ids(), "{variant}");
        for (one, other) in untouched.logits().iter().zip(written.logits()) {
            assert!((one - other).abs() <= SUM_ORDER_TOLERANCE, "{variant}: {one} {other}");
        }
    }
}

#[test]
fn good_drafts_make_fewer_steps_of_the_same_texts() {
    for name in PACKAGES {
        for variant in Variant::ALL {
            for rows in [1, 3, ROWS] {
                let mut decoder = decoder(name, variant);
                let prompts = prompts(rows, 0);
                let params = ragged(&mut decoder, &prompts);
                let before = decoder.counters();
                let expected = together(&mut decoder, &prompts, &params, None);
                let plain = decoder.counters() - before;
                let mut sources = [source_of(&expected), source_of(&expected)];
                let before = decoder.counters();
                let found = together(&mut decoder, &prompts, &params, Some(&mut sources));
                let done = decoder.counters() - before;
                assert_same(&found, &expected, variant, name);
                assert!(done.accepted_tokens > 0 && done.accepted_tokens <= done.drafted_tokens, "{done:?}");
                assert!(done.steps.runs < plain.steps.runs, "{name} {variant} {rows}: {done:?} {plain:?}");
                // Each accepted token saves its row a step; one that is accepted before a stop word saves the step of the stop.
                assert_eq!(
                    done.live_row_steps + done.accepted_tokens,
                    plain.live_row_steps,
                    "{name} {variant} {rows}"
                );
                assert_eq!(done.written_tokens, plain.written_tokens);
            }
        }
    }
}

/// Runs of the graph, texts and filled positions if texts follow `openings`, which are drafted along or extended first.
fn opened(
    decoder: &mut Decoder,
    (prompts, openings): (&[Vec<PromptToken>], &[Vec<PromptToken>]),
    params: &GenerationParams,
    said: Option<&[Generation]>,
    is_drafted_along: bool,
) -> (u64, Vec<Generation>, Vec<usize>) {
    let mut batch = prompted(decoder, prompts, 0);
    let segments: Vec<Segment<'_>> = openings
        .iter()
        .zip((0..4).cycle())
        .map(|(tokens, adapter)| Segment { tokens, image: 0, adapter })
        .collect();
    let images = Array3::zeros((1, IMAGE_TOKENS, 32));
    let mut sources: Vec<DraftSource> =
        said.iter().flat_map(|texts| texts.chunks(1)).map(source_of).collect();
    let roles = (0..prompts.len()).collect();
    let drafting = said.map(|_| Drafting { sources: &mut sources, roles, prompts: openings });
    let writing = Writing { params, afterwards: Afterwards::Kept, drafting };
    let before = decoder.counters();
    let texts = if is_drafted_along {
        let texts = decoder.open(&mut batch, (&segments, &images.view()), writing).unwrap();
        decoder.finish(&mut batch, texts).unwrap()
    } else {
        decoder.extend(&mut batch, &segments, &images.view()).unwrap();
        decoder.write(&mut batch, writing, |_| true).unwrap()
    };
    let done = decoder.counters() - before;
    let given: u64 = openings.iter().map(|opening| opening.len() as u64).sum();
    assert_eq!(done.prompt_tokens, given);
    (done.prefill.runs + done.steps.runs, texts, batch.lengths().to_vec())
}

#[test]
fn a_text_that_is_drafted_while_its_row_is_opened_is_the_same_in_fewer_runs() {
    let mut saved = 0;
    for name in PACKAGES {
        for variant in Variant::ALL {
            for rows in [1, 3, 16, ROWS] {
                let mut decoder = decoder(name, variant);
                let prompts = prompts(rows, 0);
                let openings: Vec<Vec<PromptToken>> =
                    (0..rows).map(|row| prompts[(row + 1) % rows][row % 3..].to_vec()).collect();
                for length in [1, 2, LENGTH] {
                    let params =
                        GenerationParams { max_new_tokens: length, ..ragged(&mut decoder, &prompts) };
                    let case = (&prompts[..], &openings[..]);
                    let (_, expected, lengths) = opened(&mut decoder, case, &params, None, false);
                    let (before, found, _) = opened(&mut decoder, case, &params, Some(&expected), false);
                    assert_same(&found, &expected, variant, name);
                    let (runs, found, kept) = opened(&mut decoder, case, &params, Some(&expected), true);
                    assert_same(&found, &expected, variant, name);
                    assert_eq!(kept, lengths, "rows are as they were before their texts");
                    assert!(runs <= before, "{name} {variant} {rows} {length}: {runs} {before}");
                    saved += before - runs;
                    let (_, found, kept) = opened(&mut decoder, case, &params, None, true);
                    assert_same(&found, &expected, variant, name);
                    assert_eq!(kept, lengths);
                }
            }
        }
    }
    assert!(saved > 20, "{saved}");
}

#[test]
fn a_full_row_may_have_a_short_opening_beside_a_long_one() {
    let mut decoder = decoder("tiny-adapter", Variant::W8a8);
    // 90 of 96 positions of the first row are filled.
    let prompts = prompts(3, 87);
    let openings = [2, 20, 9].map(|length| vec![PromptToken::Token(50); length]);
    let params = GenerationParams::exactly(LENGTH);
    let case = (&prompts[..], &openings[..]);
    let (_, expected, lengths) = opened(&mut decoder, case, &params, None, false);
    let (_, found, kept) = opened(&mut decoder, case, &params, Some(&expected), true);
    assert_same(&found, &expected, Variant::W8a8, "full row");
    assert_eq!(kept, lengths);
}

#[test]
fn an_opening_that_leaves_no_room_is_refused_before_anything_runs() {
    let mut decoder = decoder("tiny-adapter", Variant::W8a8);
    let prompts = prompts(2, 80);
    let mut batch = prompted(&mut decoder, &prompts, 0);
    let images = Array3::zeros((1, IMAGE_TOKENS, 32));
    let params = GenerationParams::exactly(4);
    for (tokens, expected) in [(vec![PromptToken::Token(7); 13], "too long"), (vec![], "empty")] {
        let segments = [0, 1].map(|_| Segment { tokens: &tokens, image: 0, adapter: 0 });
        for drafts in [false, true] {
            let mut sources = [DraftSource::default()];
            let drafting =
                drafts.then_some(Drafting { sources: &mut sources, roles: vec![0; 2], prompts: &prompts });
            let writing = Writing { params: &params, afterwards: Afterwards::Kept, drafting };
            let lengths = batch.lengths().to_vec();
            let error = decoder.open(&mut batch, (&segments, &images.view()), writing).unwrap_err();
            assert!(
                matches!(
                    (expected, &error),
                    ("too long", GenerationError::PromptTooLong { .. })
                        | ("empty", GenerationError::EmptySegment { .. })
                ),
                "{error}"
            );
            assert_eq!(batch.lengths(), lengths);
        }
    }
}

#[test]
fn wrong_drafts_change_nothing_and_are_given_up() {
    for variant in Variant::ALL {
        for rows in [1, ROWS] {
            let mut decoder = decoder("tiny-adapter", variant);
            let prompts = prompts(rows, 0);
            let params = GenerationParams::exactly(60);
            let expected = together(&mut decoder, &prompts, &params, None);
            // After every word that is really said, another one than that which follows.
            let wrong = |text: &Generation| {
                let tokens = text.tokens.iter().flat_map(|&token| [token, (token + 1) % 140, 7]).collect();
                Generation { tokens, logprobs: vec![0.0], finish: FinishReason::Stop }
            };
            let wrong: Vec<Generation> = expected.iter().map(wrong).collect();
            let mut sources = [source_of(&wrong)];
            let before = decoder.counters();
            let found = together(&mut decoder, &prompts, &params, Some(&mut sources));
            let done = decoder.counters() - before;
            assert_same(&found, &expected, variant, "wrong drafts");
            // One row is cheap to try something with; many rows stop.
            let most =
                2 * done.accepted_tokens + if rows == 1 { 2 * done.live_row_steps } else { 8 * rows as u64 };
            assert!(done.drafted_tokens < most, "{variant} {rows}: {done:?}");
        }
    }
}

#[test]
fn a_stop_word_inside_a_draft_ends_the_text_there() {
    for variant in Variant::ALL {
        let mut decoder = decoder("tiny-adapter", variant);
        let prompts = prompts(6, 0);
        let full = alone(&mut decoder, &prompts, &GenerationParams::exactly(LENGTH));
        let params = ragged(&mut decoder, &prompts);
        let expected = alone(&mut decoder, &prompts, &params);
        assert!(expected.iter().any(|text| text.finish == FinishReason::Stop));
        // Drafts that go on behind the end.
        let mut sources = [source_of(&full)];
        assert_same(
            &together(&mut decoder, &prompts, &params, Some(&mut sources)),
            &expected,
            variant,
            "stop",
        );
    }
}

#[test]
fn drafts_keep_to_the_end_of_the_cache_and_to_the_longest_text() {
    for variant in Variant::ALL {
        let mut decoder = decoder("tiny-adapter", variant);
        // The first row has 90 of 96 positions filled, so the others may be no wider than it has room.
        let prompts = prompts(3, 87);
        for length in [1, 2, 5, 40] {
            let params = GenerationParams::exactly(length);
            let expected = alone(&mut decoder, &prompts, &params);
            let mut sources = [source_of(&expected)];
            for _ in 0..2 {
                let found = together(&mut decoder, &prompts, &params, Some(&mut sources));
                assert_same(&found, &expected, variant, "capacity");
            }
        }
    }
}

#[test]
fn a_token_that_the_model_does_not_know_is_never_drafted() {
    let mut decoder = decoder("tiny-adapter", Variant::W8a8);
    let prompts = prompts(1, 0);
    let params = GenerationParams::exactly(LENGTH);
    let expected = alone(&mut decoder, &prompts, &params);
    let mut source = DraftSource::default();
    let foreign: Vec<TokenId> = expected[0].tokens.iter().flat_map(|&token| [token, 5_000_000]).collect();
    for _ in 0..9 {
        source.ship(&foreign);
    }
    let found = together(&mut decoder, &prompts, &params, Some(std::slice::from_mut(&mut source)));
    assert_same(&found, &expected, Variant::W8a8, "foreign tokens");
}

fn engine_with(name: &str, variant: Variant, speculation: Speculation) -> Engine {
    runtime();
    Engine::load(&EngineOptions { speculation, ..options(&package_path(name), variant) }).unwrap()
}

/// Everything that a caption says, to the last bit; the variant has to repeat itself exactly.
fn said(captions: &[Caption]) -> Vec<String> {
    let experts = |caption: &Caption| {
        caption
            .experts
            .iter()
            .map(|expert| format!("{} {} {}", expert.prompt, expert.text, expert.confidence))
            .collect::<Vec<_>>()
    };
    captions
        .iter()
        .map(|caption| format!("{} {} {:?}", caption.text, caption.confidence, experts(caption)))
        .collect()
}

fn words(captions: &[Caption]) -> Vec<&str> {
    captions.iter().map(|caption| caption.text.as_str()).collect()
}

#[test]
fn captions_are_the_same_with_drafts_and_without_and_repeat_to_the_last_bit_whatever_was_written_before() {
    for name in PACKAGES {
        for variant in Variant::ALL {
            let mut on = engine_with(name, variant, Speculation::On);
            let mut off = engine_with(name, variant, Speculation::Off);
            let pictures: Vec<_> = (0..on.images_per_batch() + 2).map(|seed| picture(&on, seed)).collect();
            let has_history = variant == Variant::W8a8 && name == "tiny-adapter";
            for style in [Style::Full, Style::Brief] {
                let request = CaptionRequest { style, ..CaptionRequest::default() };
                let first = on.caption(&pictures, &request).unwrap();
                let plain = off.caption(&pictures, &request).unwrap();
                assert_eq!(words(&first), words(&plain), "{name} {variant}");
                assert!(!has_history || said(&first) == said(&plain), "{name} {variant}");
                let before = on.counters();
                assert_eq!(
                    said(&on.caption(&pictures, &request).unwrap()),
                    said(&first),
                    "{name} {variant}: again"
                );
                let again = (on.counters() - before).decoders;
                assert!(
                    !has_history || again.accepted_tokens > 0,
                    "{name}: what was said before is drafted: {again:?}"
                );
                on.forget_texts();
                assert_eq!(
                    said(&on.caption(&pictures, &request).unwrap()),
                    said(&first),
                    "{name} {variant}: forgotten"
                );
            }
            assert_eq!(off.counters().decoders.drafted_tokens, 0);
        }
    }
}

/// A tiny package with a file of draft texts.
fn with_drafts(drafts: &[u8]) -> tempfile::TempDir {
    let copy = changed("tiny-adapter", |manifest: &mut Manifest| {
        manifest.generation.drafts = Some("drafts.json".to_owned());
        let sha256 =
            Sha256::digest(drafts).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let file = FileSpec { size: drafts.len() as u64, sha256 };
        manifest.files.insert("drafts.json".to_owned(), file);
    });
    fs::write(copy.path().join("drafts.json"), drafts).unwrap();
    copy
}

#[test]
fn draft_texts_of_the_package_help_from_the_first_image_on() {
    let mut plain = engine("tiny-adapter", Variant::Fp32);
    let pictures = [picture(&plain, 4)];
    let request = CaptionRequest::default();
    let expected = plain.caption(&pictures, &request).unwrap();
    let texts: serde_json::Map<String, serde_json::Value> = expected[0]
        .experts
        .iter()
        .map(|expert| (expert.name.clone(), [expert.text.clone()].into()))
        .collect();
    let copy = with_drafts(serde_json::json!({ "experts": texts }).to_string().as_bytes());
    let mut engine = Engine::load(&options(copy.path(), Variant::Fp32)).unwrap();
    for _ in 0..2 {
        let before = engine.counters();
        let found = engine.caption(&pictures, &request).unwrap();
        assert_eq!(found[0].text, expected[0].text);
        let done = (engine.counters() - before).decoders;
        assert!(done.accepted_tokens > 0, "{done:?}");
    }
}

#[test]
fn draft_texts_that_cannot_be_used_are_a_clear_error() {
    let too_large = format!("{{\"router\": [\"{}\"]}}", "a".repeat(1 << 20));
    for (content, expected) in [
        (&b"not json"[..], "drafts.json: no draft texts: "),
        (br#"{"poems": []}"#, "unknown field `poems`"),
        (br#"{"experts": {"weather": ["rain"]}}"#, "texts of \"weather\", which is no expert of the package"),
        (too_large.as_bytes(), "expected at most 1048576 bytes of draft texts"),
    ] {
        let copy = with_drafts(content);
        runtime();
        let error = Engine::load(&options(copy.path(), Variant::W8a8)).unwrap_err();
        assert!(matches!(&error, Error::Manifest { source: ManifestError::Content { .. }, .. }), "{error:?}");
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
}

#[test]
fn draft_texts_are_verified_and_must_be_listed() {
    let copy = with_drafts(b"{}");
    fs::write(copy.path().join("drafts.json"), b"[]").unwrap();
    let error = Engine::load(&options(copy.path(), Variant::W8a8)).unwrap_err();
    assert!(chain(&error).contains("drafts.json: expected SHA-256"), "{}", chain(&error));
    let unlisted =
        changed("tiny-adapter", |manifest| manifest.generation.drafts = Some("drafts.json".to_owned()));
    let error = Engine::load(&options(unlisted.path(), Variant::W8a8)).unwrap_err();
    assert!(
        chain(&error).contains("generation.drafts: \"drafts.json\" is not listed under files"),
        "{}",
        chain(&error)
    );
}
