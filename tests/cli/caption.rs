//! `rsmoe caption`.

use std::fs;

use tempfile::tempdir;

use crate::support::{bare, code, json_lines, package, picture, rsmoe, stderr, stdout};

#[test]
fn a_picture_gives_one_line_of_text_and_nothing_else_on_stdout() {
    let directory = tempdir().unwrap();
    let output = rsmoe().arg("caption").arg(picture(directory.path(), "a.png", 1)).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 1);
    assert!(!stdout(&output).trim().is_empty());
}

#[test]
fn a_json_line_has_the_fields_of_the_contract() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    let output = rsmoe().args(["caption", "--jsonl"]).arg(&input).output().unwrap();
    let lines = json_lines(&output);
    let record = &lines[0];
    assert_eq!(record["input"], input.to_str().unwrap());
    assert!(record["caption"].is_string());
    assert!(record["model"].as_str().unwrap().contains('@'));
    assert_eq!(record["provider"], "cpu");
    assert!(record["ms"].as_f64().unwrap() > 0.0);
    let names: Vec<_> =
        record["experts"].as_array().unwrap().iter().map(|expert| expert["name"].clone()).collect();
    assert_eq!(names, ["theme", "objects", "relationship"]);
    for expert in record["experts"].as_array().unwrap() {
        assert!(expert["prompt"].is_string() && expert["text"].is_string());
        assert!((0.0..=1.0).contains(&expert["confidence"].as_f64().unwrap()));
    }
    assert!((0.0..=1.0).contains(&record["confidence"].as_f64().unwrap()));
}

#[test]
fn brief_captions_come_without_experts() {
    let directory = tempdir().unwrap();
    let output = rsmoe()
        .args(["caption", "--style", "brief", "--jsonl"])
        .arg(picture(directory.path(), "a.png", 1))
        .output()
        .unwrap();
    assert_eq!(json_lines(&output)[0]["experts"].as_array().unwrap().len(), 0);
}

#[test]
fn experts_and_router_can_be_chosen() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    let experts = |more: &[&str]| {
        let output = rsmoe().args(["caption", "--jsonl"]).args(more).arg(&input).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let experts = json_lines(&output)[0]["experts"].as_array().unwrap().clone();
        let column = |name: &str| -> Vec<String> {
            experts.iter().map(|expert| expert[name].as_str().unwrap().to_owned()).collect()
        };
        (column("name"), column("prompt"), column("prompt_source"), column("text"))
    };
    let all = experts(&[]);
    let some = experts(&["--experts", "relationship,theme"]);
    assert_eq!(some.0, ["theme", "relationship"]);
    assert_eq!(some.3, [all.3[0].clone(), all.3[2].clone()]);
    let fixed = experts(&["--router", "fixed"]);
    assert_eq!(fixed.2, ["fixed"; 3]);
    assert_eq!(fixed.1[0], "Name the scene.");
    assert!(experts(&["--router", "generative"]).2.contains(&"generated".to_owned()));
}

#[test]
fn an_expert_that_is_not_sure_enough_stays_out_of_the_caption_and_in_the_record() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    let record = |threshold: &str| {
        let output =
            rsmoe().args(["caption", "--jsonl", "--silent-below", threshold]).arg(&input).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        json_lines(&output).remove(0)
    };
    let (all, surest) = (record("0"), record("0.9999"));
    let heard = |record: &serde_json::Value| {
        let experts = record["experts"].as_array().unwrap().clone();
        experts.iter().map(|expert| expert["in_caption"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(heard(&all), [true; 3]);
    assert_eq!(heard(&surest).iter().filter(|&&heard| heard).count(), 1, "{surest}");
    for index in 0..3 {
        assert_eq!(all["experts"][index]["text"], surest["experts"][index]["text"]);
    }
}

#[test]
fn an_expert_that_the_package_does_not_have_is_refused_with_those_that_it_has() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    for names in ["weather", "theme,theme"] {
        let output = rsmoe().args(["caption", "--experts", names]).arg(&input).output().unwrap();
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(stderr(&output).contains("some of theme, objects, relationship"), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn an_input_that_fails_is_recorded_in_its_place_and_the_others_go_on() {
    let directory = tempdir().unwrap();
    let good = picture(directory.path(), "good.png", 1);
    let missing = directory.path().join("missing.tif");
    let broken = directory.path().join("broken.png");
    fs::write(&broken, b"not a picture").unwrap();
    let output = rsmoe().args(["caption", "--jsonl"]).args([&missing, &good, &broken]).output().unwrap();
    assert_eq!(code(&output), 3);
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 3);
    for (line, path) in [(&lines[0], &missing), (&lines[2], &broken)] {
        assert_eq!(line["input"], path.to_str().unwrap());
        assert_eq!(line["error"]["kind"], "invalid_input");
        assert!(!line["error"]["message"].as_str().unwrap().is_empty());
    }
    assert!(lines[1]["caption"].is_string());
}

#[test]
fn nothing_readable_exits_with_4_and_says_which_file() {
    let output = rsmoe().args(["caption", "no-such-file.tif"]).output().unwrap();
    assert_eq!(code(&output), 4);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("no-such-file.tif"), "{}", stderr(&output));
}

#[test]
fn the_batch_does_not_change_the_captions() {
    let directory = tempdir().unwrap();
    for seed in 0..5 {
        picture(directory.path(), &format!("{seed}.png"), seed * 40);
    }
    let texts = |batch: &str| {
        let output =
            rsmoe().args(["caption", "--jsonl", "--batch", batch]).arg(directory.path()).output().unwrap();
        json_lines(&output)
            .iter()
            .map(|line| (line["input"].clone(), line["caption"].clone()))
            .collect::<Vec<_>>()
    };
    let singles = texts("1");
    assert_eq!(singles.len(), 5);
    assert_eq!(singles, texts("2"));
    assert_eq!(singles, texts("5"));
}

#[test]
fn bad_options_exit_with_2_and_say_what_is_expected() {
    for arguments in [
        vec!["caption", "x.tif", "--bands", "0,1,2"],
        vec!["caption", "x.tif", "--bands", "1,2"],
        vec!["caption", "x.tif", "--stretch", "9,1"],
        vec!["caption", "x.tif", "--style", "long"],
        vec!["caption", "x.tif", "--style", "brief", "--experts", "theme"],
        vec!["caption", "x.tif", "--style", "brief", "--router", "fixed"],
        vec!["caption", "x.tif", "--router", "none"],
        vec!["caption", "x.tif", "--silent-below", "1"],
        vec!["scene", "x.tif", "--out", "x.geojson", "--silent-below", "NaN"],
        vec!["scene", "x.tif", "--out", "x.geojson", "--style", "brief", "--silent-below", "0.5"],
        vec!["ask", "x.tif", "what?", "--unsure-below", "1"],
        vec!["ask", "x.tif", "what?", "--unsure-below", "-0.1"],
        vec!["ask", "x.tif", "what?", "--unsure-below", "NaN"],
        vec!["scene", "x.tif", "--out", "x.geojson", "--unsure-below", "0.5"],
        vec!["caption", "x.tif", "--memory-limit", "1.5G"],
        vec!["caption", "x.tif", "--memory-limit", "much"],
        vec!["caption"],
        vec!["paint", "x.tif"],
    ] {
        let output = rsmoe().args(&arguments).output().unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_memory_limit_changes_no_caption_and_says_with_v_what_comes_and_goes() {
    let directory = tempdir().unwrap();
    picture(directory.path(), "a.png", 1);
    picture(directory.path(), "b.png", 90);
    let run = |more: &[&str]| {
        let model = package("tiny-graph");
        let output = bare()
            .arg("--model")
            .arg(model)
            .args(["caption", "--jsonl"])
            .args(more)
            .arg(directory.path())
            .output();
        output.unwrap()
    };
    let texts = |output: &std::process::Output| {
        json_lines(output).iter().map(|line| line["caption"].clone()).collect::<Vec<_>>()
    };
    let limited = run(&["-v", "--memory-limit", "192K"]);
    assert_eq!(code(&limited), 0, "{}", stderr(&limited));
    assert_eq!(texts(&limited), texts(&run(&[])));
    for word in ["loaded decoder=\"theme\"", "evicted decoder=\"base\""] {
        assert!(stderr(&limited).contains(word), "{word}: {}", stderr(&limited));
    }
    let refused = run(&["--memory-limit", "100K"]);
    assert_eq!((code(&refused), stdout(&refused).as_str()), (2, ""));
    assert!(stderr(&refused).contains("hint: allow at least 192K"), "{}", stderr(&refused));
}

#[test]
fn no_command_shows_the_help() {
    let output = bare().output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("rsmoe scene"));
}

#[test]
fn pictures_that_look_like_nothing_known_are_captioned_with_a_warning() {
    let directory = tempdir().unwrap();
    for seed in 0..6 {
        picture(directory.path(), &format!("{seed}.png"), seed * 40);
    }
    let caption = |more: &[&str]| {
        let output = rsmoe().args(["caption", "--style", "brief"]).args(more).arg(directory.path()).output();
        let output = output.unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        output
    };
    let records = json_lines(&caption(&["--jsonl"]));
    let warnings = stderr(&caption(&[]));
    for record in &records {
        let name = record["input"].as_str().unwrap();
        let familiarity = record["familiarity"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&familiarity));
        let warning = format!("warning: {name}: looks like nothing that the model knows");
        assert_eq!(warnings.contains(&warning), familiarity < 0.5, "{name} {familiarity}: {warnings}");
        assert!(record["caption"].is_string());
    }
    assert_eq!(stderr(&caption(&["--quiet"])), "");
}
