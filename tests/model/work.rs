//! Work of a known size, and what is counted of it.

use ndarray::Array3;
use rsmoe::engine::{EngineOptions, FixedWork, Speculation};
use rsmoe::generate::{Decoder, DecoderFiles, FinishReason, GenerationParams, Segment};
use rsmoe::manifest::Variant;
use rsmoe::text::PromptToken;
use rsmoe::{CaptionRequest, Engine, ErrorKind, Style};

use crate::support::{IMAGE_TOKENS, PACKAGES, cpu, engine, options, package, package_path, picture, runtime};

const WORK: FixedWork =
    FixedWork { prefix_tokens: 40, router_tokens: 9, prompt_tokens: 12, expert_tokens: 17, brief_tokens: 11 };

#[test]
fn a_text_of_exactly_n_tokens_has_n_tokens_even_where_the_model_would_stop() {
    let package = package("tiny-adapter");
    let files = DecoderFiles { package: &package, name: "base", variant: Variant::Fp32 };
    let mut decoder = Decoder::load(runtime(), files, &cpu()).unwrap();
    let tokens: Vec<PromptToken> = [1, 60, 61].map(PromptToken::Token).to_vec();
    let segments: Vec<Segment<'_>> =
        (0..2).map(|row| Segment { tokens: &tokens, image: 0, adapter: row }).collect();
    let images = Array3::zeros((1, IMAGE_TOKENS, 32));
    let mut texts = |params: &GenerationParams| {
        let mut batch = decoder.batch(2).unwrap();
        decoder.extend(&mut batch, &segments, &images.view()).unwrap();
        decoder.greedy(&mut batch, params, |_| true).unwrap()
    };
    let first = texts(&GenerationParams::exactly(1))[0].tokens[0];
    let stopped = texts(&GenerationParams { max_new_tokens: 20, stop_tokens: vec![first] });
    assert_eq!((stopped[0].tokens.len(), stopped[0].finish), (0, FinishReason::Stop));
    for length in [1, 2, 20] {
        for text in texts(&GenerationParams::exactly(length)) {
            assert_eq!((text.tokens.len(), text.logprobs.len()), (length, length));
            assert_eq!(text.finish, FinishReason::Length);
        }
    }
}

#[test]
fn fixed_work_writes_and_reads_as_many_tokens_as_it_says_whatever_the_instruction() {
    for name in PACKAGES {
        let mut engine = engine(name, Variant::W8a8);
        let images = [picture(&engine, 1), picture(&engine, 2)];
        let experts = engine.manifest().experts.list.len() as u64;
        let mut counted = |style, instruction: Option<&str>| {
            let instruction = instruction.map(str::to_owned);
            let request =
                CaptionRequest { style, instruction, work: Some(WORK), ..CaptionRequest::default() };
            let before = engine.counters();
            engine.caption(&images, &request).unwrap();
            let done = (engine.counters() - before).decoders;
            (done.prompt_tokens, done.written_tokens)
        };
        let brief = counted(Style::Brief, None);
        assert_eq!(brief.1, 2 * 11, "{name}");
        assert_eq!(brief, counted(Style::Brief, Some("List every building that you see, and say why.")));
        let full = counted(Style::Full, None);
        let router = full.1 - 2 * experts * 17;
        assert!(router == 2 * 9 || router == 0, "{name}: {router}");
        assert_eq!(full, counted(Style::Full, Some("Go.")), "{name}");
        assert!(full.0 >= 2 * (40 + experts * 12), "{name}: {full:?}");
    }
}

#[test]
fn the_work_of_one_request_leaves_the_next_as_it_was() {
    let mut engine = engine("tiny-adapter", Variant::W8a8);
    let images = [picture(&engine, 5)];
    let plain = CaptionRequest::default();
    let texts = |captions: Vec<rsmoe::Caption>| captions.into_iter().map(|caption| caption.text).collect();
    let before: Vec<String> = texts(engine.caption(&images, &plain).unwrap());
    engine.caption(&images, &CaptionRequest { work: Some(WORK), ..CaptionRequest::default() }).unwrap();
    let after: Vec<String> = texts(engine.caption(&images, &plain).unwrap());
    assert_eq!(before, after);
}

#[test]
fn counters_add_up() {
    for name in PACKAGES {
        let options =
            EngineOptions { speculation: Speculation::Off, ..options(&package_path(name), Variant::W8a8) };
        runtime();
        let mut engine = Engine::load(&options).unwrap();
        let images = [picture(&engine, 1), picture(&engine, 2)];
        let start = engine.counters();
        assert_eq!((start.decoders.written_tokens, start.vision.runs), (0, 0), "{name}");
        let started = std::time::Instant::now();
        let request = CaptionRequest { work: Some(WORK), ..CaptionRequest::default() };
        engine.caption(&images[..1], &request).unwrap();
        let middle = engine.counters();
        engine.caption(&images, &request).unwrap();
        let whole = started.elapsed();
        let end = engine.counters();
        let (first, second) = (middle - start, end - middle);
        assert_eq!(first.decoders.written_tokens * 2, second.decoders.written_tokens, "{name}");
        assert_eq!(first.decoders.prompt_tokens * 2, second.decoders.prompt_tokens, "{name}");
        // Two rows of a batch are one run.
        assert_eq!(first.decoders.steps.runs, second.decoders.steps.runs, "{name}");
        assert!(first.decoders.steps.runs >= 16, "{name}");
        assert!(first.vision.runs >= 2 && first.decoders.prefill.runs >= 2, "{name}");
        assert!(first.decoders.step_bytes > 0 && second.decoders.step_bytes > first.decoders.step_bytes);
        let parts = [end.vision, end.decoders.prefill, end.decoders.steps, end.decoders.full_head];
        assert_eq!(parts.iter().map(|part| part.time).sum::<std::time::Duration>(), end.in_graphs());
        assert!(end.in_graphs() <= whole, "{name}");
        assert_eq!(engine.counters(), end, "{name}: counting changes nothing");
    }
}

#[test]
fn work_that_the_context_cannot_hold_is_refused_with_both_lengths() {
    let mut engine = engine("tiny-adapter", Variant::W8a8);
    let images = [picture(&engine, 1)];
    for work in [
        FixedWork { expert_tokens: 60, ..WORK },
        FixedWork { prefix_tokens: 96, ..WORK },
        FixedWork { router_tokens: 0, ..WORK },
    ] {
        let request = CaptionRequest { work: Some(work), ..CaptionRequest::default() };
        let error = engine.caption(&images, &request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{work:?}");
        assert!(error.to_string().contains("at most 96"), "{error}");
    }
}

#[test]
fn the_first_token_comes_before_the_caption() {
    let mut engine = engine("tiny-adapter", Variant::W8a8);
    let images = [picture(&engine, 1)];
    for style in [Style::Full, Style::Brief] {
        let request = CaptionRequest { style, ..CaptionRequest::default() };
        let timings = engine.caption(&images, &request).unwrap()[0].timings;
        let first = timings.first_token.unwrap();
        assert!(timings.encode < first && first < timings.total(), "{style:?}: {timings:?}");
    }
}
