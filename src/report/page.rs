//! The page itself.

use std::convert::Infallible;
use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};

use super::picture::{Look, base64, file_name};
use super::source::{Scene, Tile};
use crate::engine::is_unfamiliar;
use crate::raster::{Acquisition, BandPlan};
use crate::scene::{AnswerTally, RunFacts, TileAnswer, TileCounts, TileOutcome, tiles};
use crate::vision::radiometry::Stretch;

/// Most answers of the line that sums a question up.
const SHOWN_ANSWERS: usize = 8;

/// Renders the page. Every text from outside goes through [`Escaped`].
pub(super) fn render(scene: &Scene, look: Option<&Look>, title: &str, notes: &[String]) -> String {
    let mut body = String::new();
    header(&mut body, scene, title);
    for note in notes {
        push(&mut body, format_args!("<p class=\"note\" dir=\"auto\">{}</p>\n", Escaped(note)));
    }
    body.push_str("<main>\n");
    map(&mut body, scene, look, title);
    list(&mut body, scene, look.is_some());
    body.push_str("</main>\n");
    footer(&mut body, scene);
    let script = include_str!("page.js");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n{}\
         <script>{script}</script>\n</body>\n</html>\n",
        policy(script),
        Escaped(title),
        include_str!("page.css"),
        body,
    )
}

/// What a browser lets the page do: run its own script, show embedded pictures, and ask nothing of any network.
fn policy(script: &str) -> String {
    let digest = base64(&Sha256::digest(script));
    format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
}

fn header(body: &mut String, scene: &Scene, title: &str) {
    let counts = counts(scene);
    push(
        body,
        format_args!(
            "<header>\n<h1 dir=\"auto\">{}</h1>\n<p>{} captioned",
            Escaped(title),
            tiles(counts.captioned)
        ),
    );
    for (count, what) in [(counts.skipped, "skipped"), (counts.failed, "failed")] {
        if count > 0 {
            push(body, format_args!(", {count} {what}"));
        }
    }
    if let Some(facts) = &scene.facts {
        push(body, format_args!(" by <strong dir=\"auto\">{}</strong>", Escaped(&facts.model.model)));
        if let Some(acquired) = facts.acquired() {
            push(body, format_args!("; imagery of {}", Escaped(&acquired.to_string())));
            if acquired.source != Acquisition::USER {
                push(body, format_args!(" (<bdi>{}</bdi>)", Escaped(&acquired.source)));
            }
        }
    }
    body.push_str("</p>\n");
    if let Some(summary) = &scene.summary {
        push(body, format_args!("<p class=\"summary\" dir=\"auto\">{}</p>\n", Escaped(summary)));
    }
    for tally in tallies(scene) {
        let question = Escaped(&tally.question);
        let line = tally.line_with(SHOWN_ANSWERS, |answer| format!("<bdi>{}</bdi>", Escaped(answer)));
        push(body, format_args!("<p class=\"tally\"><strong dir=\"auto\">{question}</strong> {line}</p>\n"));
    }
    body.push_str("</header>\n");
}

fn counts(scene: &Scene) -> TileCounts {
    let mut counts = TileCounts::default();
    for tile in &scene.tiles {
        match tile.status() {
            "skipped" => counts.skipped += 1,
            "failed" => counts.failed += 1,
            _ => counts.captioned += 1,
        }
    }
    counts
}

/// The answers of the tiles, question by question in the order of the first tile that was asked.
fn tallies(scene: &Scene) -> Vec<AnswerTally> {
    let answers = scene.tiles.iter().map(|tile| Ok::<_, Infallible>(tile.answers.clone()));
    match AnswerTally::count(&questions(scene), answers) {
        Ok(tallies) => tallies,
    }
}

fn questions(scene: &Scene) -> Vec<String> {
    let mut questions: Vec<String> = Vec::new();
    for answer in scene.tiles.iter().flat_map(|tile| &tile.answers) {
        if !questions.contains(&answer.question) {
            questions.push(answer.question.clone());
        }
    }
    questions
}

fn map(body: &mut String, scene: &Scene, look: Option<&Look>, title: &str) {
    let size = scene.size();
    push(
        body,
        format_args!(
            "<section class=\"map\" aria-label=\"Map\">\n<svg id=\"map\" viewBox=\"0 0 {0} {1}\" role=\"img\" \
             aria-label=\"Tiles of {2}\">\n<rect class=\"ground\" width=\"{0}\" height=\"{1}\"/>\n",
            size.width,
            size.height,
            Escaped(title)
        ),
    );
    if let Some(look) = look {
        push(
            body,
            format_args!(
                "<image id=\"look\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" href=\"{}\"/>\n",
                size.width, size.height, look.data_url
            ),
        );
    }
    for (number, tile) in scene.tiles.iter().enumerate() {
        push(
            body,
            format_args!(
                "<rect class=\"tile {}\" data-tile=\"{number}\" style=\"--c:{:.3}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\">\
                 <title>{}</title></rect>\n",
                tile.status(),
                tile.confidence.unwrap_or(0.0).clamp(0.0, 1.0),
                tile.window.col,
                tile.window.row,
                tile.window.width,
                tile.window.height,
                Escaped(tile.caption.as_deref().or(tile.reason.as_deref()).unwrap_or(&tile.id)),
            ),
        );
    }
    body.push_str(
        "</svg>\n<div class=\"zoom\"><button type=\"button\" data-zoom=\"0.6\" aria-label=\"Zoom in\">+</button>\
         <button type=\"button\" data-zoom=\"1.6\" aria-label=\"Zoom out\">&minus;</button>\
         <button type=\"button\" data-zoom=\"0\" aria-label=\"Whole scene\">&#x2922;</button></div>\n\
         <p class=\"legend\"><span id=\"colors\"><span class=\"ramp\"></span> confidence of the caption, low to high</span>",
    );
    let counts = counts(scene);
    for (count, what) in [(counts.skipped, "skipped"), (counts.failed, "failed")] {
        if count > 0 {
            push(body, format_args!(" <span class=\"key {what}\"></span> {what} ({count})"));
        }
    }
    body.push_str("</p>\n</section>\n");
}

fn list(body: &mut String, scene: &Scene, has_look: bool) {
    body.push_str(
        "<section class=\"list\" aria-label=\"Captions\">\n<form id=\"filter\">\n\
         <label>Search <input type=\"search\" id=\"text\" placeholder=\"river, farmland, ...\" autocomplete=\"off\"></label>\n\
         <details id=\"filters\" open><summary>Filters</summary>\n",
    );
    let tallies = tallies(scene);
    if !tallies.is_empty() {
        body.push_str(
            "<label>Colour by <select id=\"by\"><option value=\"\">confidence of the caption</option>",
        );
        for (number, tally) in tallies.iter().enumerate() {
            let selected = if number == 0 { " selected" } else { "" };
            push(
                body,
                format_args!("<option value=\"{number}\"{selected}>{}</option>", Escaped(&tally.question)),
            );
        }
        body.push_str("</select></label>\n<label>Answer <select id=\"answer\"></select></label>\n");
    }
    body.push_str(
        "<label>Confidence of the <span id=\"sure-of\">caption</span> at least <output id=\"least-shown\" for=\"least\">0 %</output>\n\
         <svg class=\"bars\" id=\"bars\" viewBox=\"0 0 20 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\"></svg>\n\
         <input type=\"range\" id=\"least\" min=\"0\" max=\"100\" value=\"0\"></label>\n\
         <label class=\"check\"><input type=\"checkbox\" id=\"all\"> with skipped and failed tiles</label>\n</details>\n\
         <p id=\"shown\" aria-live=\"polite\"></p>\n</form>\n<ol>\n",
    );
    let questions: Vec<&str> = tallies.iter().map(|tally| tally.question.as_str()).collect();
    for (number, tile) in scene.tiles.iter().enumerate() {
        card(body, number, tile, &questions, has_look);
    }
    body.push_str("</ol>\n<p id=\"none\" hidden>No tile is left. Widen the filter.</p>\n</section>\n");
}

fn card(body: &mut String, number: usize, tile: &Tile, questions: &[&str], has_look: bool) {
    let window = tile.window;
    push(
        body,
        format_args!(
            "<li class=\"{}\" id=\"tile-{number}\" data-tile=\"{number}\" tabindex=\"0\"",
            tile.status()
        ),
    );
    if let Some(confidence) = tile.confidence {
        push(body, format_args!(" data-confidence=\"{confidence:.4}\""));
    }
    for (number, question) in questions.iter().enumerate() {
        if let Some(answer) = tile.answer(question) {
            let sure = if answer.confidence.is_finite() { answer.confidence.clamp(0.0, 1.0) } else { 0.0 };
            let text = Escaped(&answer.answer);
            push(body, format_args!(" data-answer{number}=\"{text}\" data-sure{number}=\"{sure:.4}\""));
        }
    }
    body.push_str(">\n");
    if has_look {
        push(
            body,
            format_args!(
                "<svg class=\"thumb\" viewBox=\"{} {} {} {}\" aria-hidden=\"true\"><use href=\"#look\"/></svg>\n",
                window.col, window.row, window.width, window.height
            ),
        );
    }
    body.push_str("<div>\n");
    match &tile.caption {
        Some(caption) => {
            push(body, format_args!("<p class=\"caption\" dir=\"auto\">{}</p>\n", Escaped(caption)));
        }
        None => push(
            body,
            format_args!(
                "<p class=\"caption\">{}: <bdi>{}</bdi></p>\n",
                Escaped(tile.status()),
                Escaped(tile.reason.as_deref().unwrap_or("no caption"))
            ),
        ),
    }
    for (number, answer) in
        questions.iter().enumerate().filter_map(|(number, question)| Some((number, tile.answer(question)?)))
    {
        push(
            body,
            format_args!(
                "<p class=\"answer\" data-asked=\"{number}\"><bdi>{}</bdi> <b dir=\"auto\">{}</b>{}</p>\n",
                Escaped(&answer.question),
                Escaped(&shown(answer)),
                Percent(answer.confidence)
            ),
        );
    }
    let experts = [
        ("Theme", tile.theme.clone()),
        ("Objects", tile.objects.clone()),
        ("Relationship", tile.relationship.clone()),
    ];
    let rows: Vec<_> = experts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
    if !rows.is_empty() {
        body.push_str("<details><summary>Details</summary><dl>");
        for (name, text) in rows {
            push(body, format_args!("<dt>{}</dt><dd dir=\"auto\">{}</dd>", Escaped(name), Escaped(&text)));
        }
        body.push_str("</dl></details>\n");
    }
    push(body, format_args!("<p class=\"facts\"><bdi>{}</bdi>", Escaped(&tile.id)));
    if let Some(confidence) = tile.confidence {
        push(
            body,
            format_args!(" &middot; <span class=\"sure\">confidence {:.0}&nbsp;%</span>", confidence * 100.0),
        );
    }
    if let Some(familiarity) = tile.familiarity.filter(|&share| is_unfamiliar(Some(share as f32))) {
        push(
            body,
            format_args!(
                " &middot; <strong>looks like nothing that the model knows</strong> (familiarity {:.0} %)",
                familiarity * 100.0
            ),
        );
    }
    if let Some((longitude, latitude)) = tile.centre {
        push(body, format_args!(" &middot; {}", place(longitude, latitude)));
    }
    if let Some(metres) = tile.gsd_m {
        push(body, format_args!(" &middot; {}&nbsp;m/px", shorten(metres)));
    }
    if let Some(valid) = tile.valid_fraction.filter(|&valid| valid < 1.0) {
        push(body, format_args!(" &middot; {:.0} % valid", valid * 100.0));
    }
    body.push_str("</p>\n</div>\n</li>\n");
}

/// An answer, and what it would have been.
fn shown(answer: &TileAnswer) -> String {
    match &answer.said {
        Some(said) => format!("{} (would have said: {said})", answer.answer),
        None => answer.answer.clone(),
    }
}

fn footer(body: &mut String, scene: &Scene) {
    body.push_str("<footer>\n");
    if let Some(facts) = &scene.facts {
        body.push_str("<h2>The run</h2>\n<dl>\n");
        for (name, text) in run_rows(facts) {
            push(body, format_args!("<dt>{name}</dt><dd dir=\"auto\">{}</dd>\n", Escaped(&text)));
        }
        body.push_str("</dl>\n");
        if let Some(credit) = &facts.raster.credit {
            push(body, format_args!("<p>Imagery: <bdi>{}</bdi></p>\n", Escaped(credit)));
        }
    }
    push(
        body,
        format_args!(
            "<p>Written by rsmoe {}. The captions come from a model and can be wrong. Their confidence is the mean probability of \
             their words, adjusted by the model's calibration and times the tile's familiarity where the model package has \
             these; it ranks captions, and is no measured share of right ones.</p>\n</footer>\n",
            env!("CARGO_PKG_VERSION")
        ),
    );
}

fn run_rows(facts: &RunFacts) -> Vec<(&'static str, String)> {
    let grid = &facts.grid;
    let bands = match facts.bands {
        BandPlan::Rgb([red, green, blue]) => format!("{red}, {green}, {blue}"),
        BandPlan::Gray(band) => format!("{band}, in grey"),
        BandPlan::Palette(band) => format!("{band}, through its palette"),
    };
    let stretch = match &facts.stretch {
        Stretch::None => "none".to_owned(),
        Stretch::Linear(ranges) => {
            let shown: Vec<String> = ranges
                .iter()
                .map(|[black, white]| {
                    format!("{} to {}", shorten(f64::from(*black)), shorten(f64::from(*white)))
                })
                .collect();
            format!("{} ({})", facts.stretch_mode, shown.join(", "))
        }
    };
    let mut rows = vec![
        ("Scene", file_name(&facts.raster.path)),
        ("Size", format!("{} px", grid.scene())),
        ("Reference system", facts.raster.crs.clone().unwrap_or_else(|| "none".to_owned())),
        ("Bands", bands),
        ("Stretch", stretch),
        ("Preset", facts.preset.clone().unwrap_or_else(|| "none".to_owned())),
        ("Area", facts.area.as_ref().map_or_else(|| "the whole scene".to_owned(), |area| area.asked.clone())),
        (
            "Tiles",
            format!(
                "{} by {} of {} px, overlap {} px",
                grid.columns(),
                grid.rows(),
                grid.tile(),
                grid.overlap()
            ),
        ),
        ("Model", format!("{} ({}, {})", facts.model.model, facts.model.variant, facts.model.provider)),
    ];
    if !facts.questions.is_empty() {
        rows.push(("Questions", facts.questions.join(" ")));
        if facts.unsure_below > 0.0 {
            rows.push(("Not sure", format!("below a confidence of {}", shorten(facts.unsure_below))));
        }
    }
    if facts.silent_below > 0.0 {
        rows.push(("Left out", format!("experts below a confidence of {}", shorten(facts.silent_below))));
    }
    rows
}

impl Tile {
    /// The answer to a question; of one that was asked twice, the first.
    fn answer(&self, question: &str) -> Option<&TileAnswer> {
        self.answers.iter().find(|answer| answer.question == question)
    }

    /// The status as a class name; only the known ones, since the text comes from a file.
    fn status(&self) -> &'static str {
        match self.status.as_deref() {
            Some("skipped") => "skipped",
            Some("failed") => "failed",
            _ => TileOutcome::CAPTIONED,
        }
    }
}

/// Degrees with hemisphere, to four decimals (about 10 m).
fn place(longitude: f64, latitude: f64) -> String {
    let (north, east) = (if latitude < 0.0 { 'S' } else { 'N' }, if longitude < 0.0 { 'W' } else { 'E' });
    format!("{:.4}&deg; {north}, {:.4}&deg; {east}", latitude.abs(), longitude.abs())
}

/// At most four significant digits.
fn shorten(number: f64) -> String {
    let decimals = if number.abs() >= 100.0 {
        0
    } else if number.abs() >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn push(text: &mut String, arguments: fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string does not fail");
}

/// A confidence behind an answer; nothing if it is none.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (0.0..=1.0).contains(&self.0) { write!(formatter, " ({:.0} %)", self.0 * 100.0) } else { Ok(()) }
    }
}

/// A text that can stand in HTML, in an element or a quoted attribute, whatever it holds.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                // Control characters have no place in HTML.
                other if other.is_control() && other != '\n' && other != '\t' => {
                    formatter.write_str("\u{fffd}")?;
                }
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_from_a_text() {
        let hostile = "</title><script>alert('1')</script>\" onload=\"x & \u{0}";
        assert_eq!(
            Escaped(hostile).to_string(),
            "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;x &amp; \u{fffd}"
        );
    }

    #[test]
    fn the_policy_names_the_script_by_its_digest() {
        // SHA-256 of nothing, FIPS 180-4.
        assert!(policy("").contains("script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([10.0041, 0.018, 6512.25, 0.5, 30.0].map(shorten), ["10", "0.018", "6512", "0.5", "30"]);
    }

    #[test]
    fn places_have_hemispheres() {
        assert_eq!(place(-54.5, -25.25), "25.2500&deg; S, 54.5000&deg; W");
    }
}
