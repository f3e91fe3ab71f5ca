//! `rsmoe ask`.

use std::fs;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{code, json_lines, picture, rsmoe, stderr, stdout};

#[test]
fn a_question_gives_one_answer_a_line() {
    let directory = tempdir().unwrap();
    let output =
        rsmoe().arg("ask").arg(picture(directory.path(), "a.png", 1)).arg("what is it?").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 1);
}

#[test]
fn choices_come_with_probabilities_that_add_up_to_one_and_the_answer_is_the_best() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    let output = rsmoe()
        .args(["ask", "--jsonl", "--unsure-below", "0", "--choices", "yes,no,a lake"])
        .arg(&input)
        .arg("is there water?")
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let record = &json_lines(&output)[0];
    let choices = record["choices"].as_object().unwrap();
    assert_eq!(choices.keys().collect::<Vec<_>>(), ["yes", "no", "a lake"]);
    let probabilities: Vec<f64> = choices.values().map(|value| value.as_f64().unwrap()).collect();
    // Each is rounded to six decimals.
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{probabilities:?}");
    let best = choices
        .iter()
        .max_by(|one, other| one.1.as_f64().unwrap().total_cmp(&other.1.as_f64().unwrap()))
        .unwrap();
    assert_eq!(record["answer"], best.0.as_str());
    assert_eq!(&record["confidence"], best.1);
}

#[test]
fn a_file_of_questions_is_answered_in_order_with_failures_in_their_places() {
    let directory = tempdir().unwrap();
    let (one, other) = (picture(directory.path(), "1.png", 1), picture(directory.path(), "2.png", 99));
    let entries = [
        json!({"input": one, "question": "what is it?"}),
        json!({"input": "missing.png", "question": "what is it?"}),
        json!({"input": other, "question": "is it wet?", "choices": ["yes", "no"]}),
        json!({"input": one, "question": "is it wet?"}),
    ];
    let file = directory.path().join("questions.jsonl");
    fs::write(&file, entries.map(|entry| entry.to_string()).join("\n")).unwrap();
    let answers = |batch: &str| {
        let output =
            rsmoe().args(["ask", "--jsonl", "--batch", batch, "--questions"]).arg(&file).output().unwrap();
        assert_eq!(code(&output), 3, "{}", stderr(&output));
        json_lines(&output)
            .iter()
            .map(|line| (line["input"].clone(), line["answer"].clone()))
            .collect::<Vec<_>>()
    };
    let together = answers("16");
    assert_eq!(together.len(), 4);
    assert!(together[1].1.is_null());
    assert_eq!(together, answers("1"));
}

#[test]
fn a_bad_line_of_questions_is_named() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("questions.jsonl");
    fs::write(&file, "{\"input\": \"a.png\", \"question\": \"what?\"}\n{\"input\": 3}\n").unwrap();
    let output = rsmoe().args(["ask", "--questions"]).arg(&file).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
}

#[test]
fn choices_must_differ() {
    let output = rsmoe().args(["ask", "a.png", "what?", "--choices", "yes,yes"]).output().unwrap();
    assert_eq!(code(&output), 2, "{}", stderr(&output));
}

#[test]
fn an_answer_below_the_threshold_is_not_sure_and_the_record_keeps_it() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    let ask = |more: &[&str]| {
        let output = rsmoe().arg("ask").args(more).arg(&input).arg("is there water?").output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        output
    };
    for kind in [&["--choices", "yes,no"][..], &[]] {
        let record = |threshold: &str| {
            json_lines(&ask(&[kind, &["--jsonl", "--unsure-below", threshold]].concat())).remove(0)
        };
        let (given, withheld) = (record("0"), record("0.9999"));
        assert_eq!(given["said"], Value::Null);
        assert_eq!(withheld["answer"], "not sure");
        assert_eq!(withheld["said"], given["answer"]);
        for same in ["confidence", "choices", "familiarity"] {
            assert_eq!(withheld[same], given[same], "{same}");
        }
        let text = stdout(&ask(&[kind, &["--unsure-below", "0.9999"]].concat()));
        let (answer, rest) = text.trim_end().split_once('\t').unwrap();
        assert_eq!(answer, "not sure");
        assert!(rest.contains('='), "{text}");
    }
}
