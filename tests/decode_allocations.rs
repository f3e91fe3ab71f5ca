//! A decode step binds nothing and allocates nothing: counted, not believed.
//!
//! In a binary of its own, because the allocator that counts is that of the whole process.
#![allow(unsafe_code, reason = "a global allocator is unsafe by nature; this one counts and hands on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rsmoe::generate::{DecodeBatch, Decoder, DecoderFiles, GenerationParams, Segment};
use rsmoe::manifest::{ModelPackage, Variant};
use rsmoe::runtime::{ExecutionProvider, ProviderPolicy, Runtime, RuntimeOptions};
use rsmoe::text::PromptToken;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 3;

/// A prompt in every row, each row with another adapter.
fn prompted(decoder: &mut Decoder) -> DecodeBatch {
    let tokens: Vec<PromptToken> = [1, 60, 61, 62, 63].map(PromptToken::Token).to_vec();
    let segments: Vec<Segment<'_>> =
        (0..ROWS).map(|row| Segment { tokens: &tokens, image: 0, adapter: row as i64 }).collect();
    let mut batch = decoder.batch(ROWS).expect("memory");
    decoder.extend(&mut batch, &segments, &ndarray::Array3::zeros((1, 8, 32)).view()).expect("a prefill");
    batch
}

/// Allocations and binds of a text of `length` tokens in each row.
fn cost(decoder: &mut Decoder, length: usize) -> (u64, u64) {
    let mut batch = prompted(decoder);
    // No stop tokens: every row writes to the end.
    let params = GenerationParams { max_new_tokens: length, stop_tokens: Vec::new() };
    let before = (ALLOCATIONS.load(Ordering::Relaxed), batch.binds());
    let texts = decoder.greedy(&mut batch, &params, |_| true).expect("texts");
    let after = (ALLOCATIONS.load(Ordering::Relaxed), batch.binds());
    assert!(texts.iter().all(|text| text.tokens.len() == length));
    decoder.recycle(batch);
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn a_decode_step_binds_nothing_and_allocates_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages/tiny-adapter");
    let package = ModelPackage::open(&root).expect("the tiny package is part of the repository");
    let runtime = Runtime::start(&RuntimeOptions::default())
        .unwrap_or_else(|error| panic!("this test needs ONNX Runtime: {error}"));
    let policy = ProviderPolicy::Require(ExecutionProvider::Cpu);
    for variant in Variant::ALL {
        let files = DecoderFiles { package: &package, name: "base", variant };
        let mut decoder = Decoder::load(runtime, files, &policy).expect("a decoder");
        cost(&mut decoder, 2);
        let short = cost(&mut decoder, 2);
        // As long as the cache does not grow: prompt and text stay within its first 32 positions.
        let long = cost(&mut decoder, 26);
        // The result's own vectors are made once per text; the first step binds the cache, and two inputs after a prefill.
        assert_eq!(short, long, "{variant}: (allocations, binds) of 2 tokens and of 26");
        let of_cache = 4 * package.manifest().decoders["base"].layers as u64;
        assert!(long.1 <= 2 + of_cache, "{variant}: {} binds", long.1);
        // To 64 positions.
        let growing = cost(&mut decoder, 60);
        assert_eq!(growing.1, long.1 + of_cache, "{variant}: binds of 60 tokens");
    }
}
