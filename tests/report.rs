//! Reports on outputs that were not written by a friend.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use rsmoe::report::{ReportOptions, write};

fn page(features: &str, name: &str) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join(name);
    std::fs::write(&source, features).unwrap();
    let out = directory.path().join("map.html");
    let options = ReportOptions { source, out: out.clone(), raster: None, title: None };
    write(&options).map_err(|error| error.to_string())?;
    Ok(std::fs::read_to_string(out).unwrap())
}

fn feature(id: &str, caption: &str) -> String {
    serde_json::json!({
        "type": "Feature", "geometry": null,
        "properties": {
            "id": id, "status": "captioned\" onmouseover=\"alert(1)", "caption": caption, "confidence": 0.5,
            "theme": caption, "window": {"col": 0, "row": 0, "width": 4, "height": 3},
            "answers": [{"question": caption, "answer": caption, "confidence": 0.1}],
        },
    })
    .to_string()
}

#[test]
fn hostile_texts_stay_texts() {
    let hostile =
        "</script><script>alert(1)</script><img src=x onerror=alert(2)>\" autofocus onfocus=\"alert(3)";
    let html = page(&feature(hostile, hostile), "out.geojsonl").unwrap();
    assert_eq!(html.matches("<script>").count(), 1, "its own");
    assert!(!html.contains("<img") && !html.contains("\" autofocus") && !html.contains("\" onmouseover"));
    assert!(html.contains("&lt;/script&gt;&lt;script&gt;alert(1)"));
}

/// The browser itself runs nothing but that script, and asks nothing of any network: its policy is tested beside it.
#[test]
fn a_page_has_a_policy_and_its_script_as_it_was_hashed() {
    let html = page(&feature("a", "A road."), "out.geojsonl").unwrap();
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; ";
    assert!(html.contains(policy), "{html}");
    assert!(html.contains(&format!("<script>{}</script>", include_str!("../src/report/page.js"))));
}

/// A text in Arabic, or one with a mark that turns what follows around, keeps to itself.
#[test]
fn texts_of_either_direction_do_not_turn_their_neighbours_around() {
    let html = page(&feature("a", "\u{202e}gnidliub \u{627}\u{644}"), "out.geojsonl").unwrap();
    for holder in ["<p class=\"caption\" dir=\"auto\">\u{202e}", "<b dir=\"auto\">\u{202e}", "<bdi>\u{202e}"]
    {
        assert!(html.contains(holder), "{holder:?}: {html}");
    }
}

#[test]
fn an_unfamiliar_tile_and_an_unsure_answer_say_so() {
    let tile = |familiarity: f64, said: Option<&str>| {
        serde_json::json!({
            "type": "Feature", "geometry": null,
            "properties": {
                "id": "a", "caption": "A road.", "confidence": 0.02, "familiarity": familiarity,
                "window": {"col": 0, "row": 0, "width": 4, "height": 3},
                "answers": [{"question": "What?", "answer": "not sure", "said": said, "confidence": 0.1}],
            },
        })
        .to_string()
    };
    let html = page(&tile(0.031, Some("a <b>lake</b>")), "out.geojsonl").unwrap();
    assert!(html.contains("looks like nothing that the model knows</strong> (familiarity 3 %)"), "{html}");
    assert!(
        html.contains("<bdi>What?</bdi> <b dir=\"auto\">not sure (would have said: a &lt;b&gt;lake&lt;/b&gt;)</b> (10 %)</p>"),
        "{html}"
    );
    let html = page(&tile(0.9, None), "out.geojsonl").unwrap();
    assert!(!html.contains("looks like nothing") && html.contains("<b dir=\"auto\">not sure</b>"), "{html}");
}

#[test]
fn answers_are_summed_up_and_can_colour_and_filter_the_map() {
    let tile = |id: &str, answer: &str, confidence: f64| {
        serde_json::json!({
            "type": "Feature", "geometry": null,
            "properties": {
                "id": id, "caption": "A road.", "confidence": 0.5, "window": {"col": 0, "row": 0, "width": 4, "height": 3},
                "answers": [{"question": "Is there \"water\"?", "answer": answer, "confidence": confidence}],
            },
        })
        .to_string()
    };
    let skipped = r#"{"type":"Feature","geometry":null,"properties":{"id":"d","status":"skipped","reason":"no valid pixel",
        "window":{"col":0,"row":0,"width":4,"height":3},"answers":[]}}"#
        .replace('\n', "");
    let lines = [tile("a", "no", 0.9), tile("b", "yes", 0.75), tile("c", "no", 2.0), skipped].join("\n");
    let html = page(&lines, "out.geojsonl").unwrap();
    let question = "Is there &quot;water&quot;?";
    assert!(
        html.contains(&format!(
            "<strong dir=\"auto\">{question}</strong> 1 of 3 tiles: <bdi>yes</bdi>; 2 <bdi>no</bdi>"
        )),
        "{html}"
    );
    assert!(html.contains(&format!("<option value=\"0\" selected>{question}</option>")));
    assert!(html.contains("data-answer0=\"yes\" data-sure0=\"0.7500\""));
    assert_eq!(html.matches("data-answer0=\"").count(), 3, "a skipped tile has no answer");
    let without = page(&feature("a", "A road.").replace("answers", "others"), "out.geojsonl").unwrap();
    assert!(!without.contains("id=\"by\"") && !without.contains("class=\"tally\""));
}

#[test]
fn lines_without_a_journal_make_a_page_without_facts() {
    let lines = format!("{}\n{}\n", feature("a", "A road."), feature("b", "A field."));
    let html = page(&lines, "out.geojsonl").unwrap();
    assert!(html.contains("2 tiles captioned") && html.contains("A field."));
}

#[test]
fn windows_and_confidences_beyond_reason_do_no_harm() {
    let odd = r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[]},"properties":{"id":"a","caption":"x",
        "confidence":1e300,"window":{"col":18446744073709551615,"row":0,"width":18446744073709551615,"height":1}}}"#
        .replace('\n', "");
    assert!(page(&odd, "out.geojsonl").unwrap().contains("1 tile captioned"));
}

#[test]
fn what_is_no_scene_is_refused() {
    for (text, name) in [("[1]", "a.geojsonl"), ("{\"features\": [{}]}", "a.geojson"), ("x", "a.html")] {
        assert!(page(text, name).unwrap_err().contains("rsmoe scene"), "{name}");
    }
}
