//! `rsmoe bench`. Figures are checked for sense, never for speed.

use serde_json::Value;

use crate::support::{bare, code, package, rsmoe, stderr, stdout};

/// Rounding of sums of shares.
const TOLERANCE: f64 = 1e-6;

fn bench(package_name: &str, more: &[&str]) -> Value {
    let output = bare()
        .arg("--model")
        .arg(package(package_name))
        .args(["--threads", "1", "--provider", "cpu", "bench", "--json", "--repeat", "2"])
        .args(more)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// A spread of positive figures whose median is between its ends.
fn assert_spread(value: &Value) {
    let figure = |name: &str| value[name].as_f64().expect(name);
    let (min, median, max) = (figure("min"), figure("median"), figure("max"));
    assert!(min.is_finite() && min <= median && median <= max && max.is_finite(), "{value}");
    assert!(min > 0.0, "{value}");
}

/// What both situations have in common.
fn assert_cost(situation: &Value) {
    for name in ["tokens_per_s", "prefill_tokens_per_s", "decode_tokens_per_s", "roofline"] {
        assert_spread(&situation[name]);
    }
    let figure = |name: &str| situation[name].as_f64().expect(name);
    assert!((0.875..=1.0).contains(&figure("occupancy")) && figure("steps_per_image") > 0.0, "{situation}");
    assert!(figure("accepted_tokens_per_image") <= figure("drafted_tokens_per_image"));
    let share = situation["share"].as_object().unwrap();
    let parts: Vec<f64> = share.values().map(|part| part.as_f64().unwrap()).collect();
    assert_eq!(
        share.keys().collect::<Vec<_>>(),
        ["vision", "prefill", "decode", "loading", "reading", "own"]
    );
    assert!(parts.iter().all(|part| (0.0..=1.0).contains(part)), "{share:?}");
    assert!((parts.iter().sum::<f64>() - 1.0).abs() < TOLERANCE, "{share:?}");
    for graph in ["vision", "prefill", "decode"] {
        assert!(share[graph].as_f64().unwrap() > 0.0, "{share:?}");
    }
}

#[test]
fn both_situations_are_reported_with_all_their_figures() {
    let report = bench("tiny-adapter", &[]);
    assert!(report["model"].as_str().unwrap().starts_with("tiny-adapter@"));
    assert_eq!(report["provider"], "cpu");
    assert_eq!((report["threads"].as_u64(), report["repeats"].as_u64()), (Some(1), Some(2)));
    assert_eq!(report["work"]["lengths"], "fixed");
    assert_eq!(report["work"]["image_tokens"], 8);
    let (load, first) = (report["load_ms"].as_f64().unwrap(), report["first_caption_ms"].as_f64().unwrap());
    assert!(0.0 < load && load < first);
    #[cfg(target_os = "linux")]
    for process in ["peak_rss_mib", "reader_peak_rss_mib"] {
        assert!(report[process].as_f64().unwrap() > 1.0, "{process}");
    }
    assert_spread(&report["memory_gb_per_s"]);
    let one = &report["one"];
    for name in ["first_token_ms", "caption_ms", "from_embeddings_ms"] {
        assert_spread(&one[name]);
    }
    let median = |name: &str| one[name]["median"].as_f64().unwrap();
    assert!(median("first_token_ms") < median("caption_ms"));
    assert!(median("from_embeddings_ms") < median("caption_ms"));
    assert_cost(one);
    let scene = &report["scene"];
    assert_eq!(scene["tiles"], 64);
    assert!(scene["tiles_per_batch"].as_u64().unwrap() > 0);
    assert_spread(&scene["tiles_per_s"]);
    assert_spread(&scene["reading_thread_s"]);
    assert_cost(scene);
}

#[test]
fn speculation_can_be_left_out_and_writes_as_much() {
    let off = bench("tiny-adapter", &["--work", "one", "--speculation", "off"]);
    let on = bench("tiny-adapter", &["--work", "one"]);
    assert_eq!(
        (&off["one"]["acceptance_rate"], &off["one"]["drafted_tokens_per_image"]),
        (&Value::Null, &Value::from(0.0))
    );
    assert_eq!(off["one"]["written_tokens_per_image"], on["one"]["written_tokens_per_image"]);
}

#[test]
fn the_fixed_work_has_the_same_size_for_every_image_and_package() {
    for name in ["tiny-adapter", "tiny-graph"] {
        let report = bench(name, &[]);
        let router = if report["work"]["router"] == "generative" { 24.0 } else { 0.0 };
        let experts = report["work"]["experts"].as_f64().unwrap();
        for situation in ["one", "scene"] {
            let written = &report[situation]["written_tokens_per_image"];
            assert_eq!(written.as_f64(), Some(router + experts * 24.0), "{name}, {situation}");
            let prompts = report[situation]["prompt_tokens_per_image"].as_f64().unwrap();
            // On top of it: what opens the router's lines, and a prefix for each decoder of its own.
            assert!(prompts >= 52.0 + experts * 12.0, "{name}, {situation}: {prompts}");
        }
        assert_eq!(
            report["one"]["prompt_tokens_per_image"], report["scene"]["prompt_tokens_per_image"],
            "{name}"
        );
    }
}

#[test]
fn decoders_that_come_and_go_are_counted() {
    let scene = |more: &[&str]| bench("tiny-graph", &[&["--work", "scene"], more].concat());
    let free = scene(&[]);
    assert_eq!(
        (&free["memory_limit_bytes"], &free["scene"]["decoder_loads_per_image"]),
        (&Value::Null, &0.0.into())
    );
    let limited = scene(&["--memory-limit", "192K"]);
    assert_eq!(limited["memory_limit_bytes"], 192 << 10);
    let figure = |name: &str| limited["scene"][name].as_f64().unwrap();
    // 64 tiles in two batches, each of which goes to three decoders of which one fits.
    for loads in ["decoder_loads_per_image", "decoder_evictions_per_image"] {
        assert!((figure(loads) - 6.0 / 64.0).abs() < 1e-9, "{loads}: {}", figure(loads));
    }
    assert!(limited["scene"]["share"]["loading"].as_f64().unwrap() > 0.0);
    for name in ["prompt_tokens_per_image", "written_tokens_per_image"] {
        assert_eq!(limited["scene"][name], free["scene"][name], "{name}");
    }
}

#[test]
fn natural_work_is_what_the_package_writes_by_itself() {
    let report = bench("tiny-adapter", &["--natural", "--work", "one"]);
    assert_eq!(report["work"]["lengths"], "natural");
    // The package's own limits: 12 tokens of the router, 8 of each expert.
    let written = report["one"]["written_tokens_per_image"].as_f64().unwrap();
    assert!(written > 0.0 && written <= 12.0 + 3.0 * 8.0, "{written}");
    assert_eq!(report["scene"], Value::Null);
}

#[test]
fn the_table_has_the_figures_and_progress_goes_to_stderr() {
    let run = |more: &[&str]| {
        let output = rsmoe().args(["bench", "--repeat", "1", "--work", "scene"]).args(more).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        output
    };
    let output = run(&[]);
    for word in [
        "tiny-adapter@",
        "load and first caption",
        "peak RSS",
        "peak RSS of the reader",
        "decode steps",
        "memory bandwidth",
        "scene of 64 tiles",
        "tiles/s",
        "roofline",
        "own code",
    ] {
        assert!(stdout(&output).contains(word), "{word} in {}", stdout(&output));
    }
    assert!(!stdout(&output).contains("one image"), "{}", stdout(&output));
    assert!(stderr(&output).contains("a scene of 64 tiles"), "{}", stderr(&output));
    assert_eq!(stderr(&run(&["--quiet"])), "");
}

#[test]
fn wrong_options_and_missing_packages_have_their_exit_codes() {
    for arguments in [vec!["--repeat", "0"], vec!["--repeat", "x"], vec!["--work", "two"], vec!["x.tif"]] {
        let output = rsmoe().arg("bench").args(&arguments).output().unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    let output = bare().args(["--model", "no-such-package", "bench"]).output().unwrap();
    assert_eq!(code(&output), 5, "{}", stderr(&output));
    let output = rsmoe().args(["--ort-lib", "/no/such/libonnxruntime.so", "bench"]).output().unwrap();
    assert_eq!(code(&output), 69, "{}", stderr(&output));
}

#[test]
fn pictures_that_cannot_be_written_are_said_with_what_to_do() {
    let output = rsmoe().args(["bench"]).env("TMPDIR", "/no/such/directory").output().unwrap();
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("TMPDIR"), "{}", stderr(&output));
}
