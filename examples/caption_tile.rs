//! Captions one picture: `cargo run --release --example caption_tile -- models/rsmoe-mini picture.jpg`.
//!
//! Shows the library used from Rust: load an engine, read a picture at the size that it wants, ask for a caption, look at
//! what each expert said.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rsmoe::vision::picture::{self, PictureOptions};
use rsmoe::{CaptionRequest, Engine, EngineOptions, Error};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, picture] = arguments.as_slice() else {
        complain("usage: caption_tile MODEL_DIRECTORY PICTURE");
        return ExitCode::from(2);
    };
    match caption(model, picture) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

#[expect(clippy::print_stdout, reason = "the caption is this program's result")]
fn caption(model: &Path, path: &Path) -> Result<(), Error> {
    // Every choice that is left open here is made by the package's manifest and the machine.
    let mut engine = Engine::load(&EngineOptions::new(model))?;
    let image = picture::read(path, engine.input_size(), &PictureOptions::default())?;
    // A batch is as easy as one: captions come in the order of the images.
    for caption in engine.caption(&[image], &CaptionRequest::default())? {
        println!("{}", caption.text);
        for expert in &caption.experts {
            println!(
                "  {:12} {:.2}  \"{}\" -> \"{}\"",
                expert.name, expert.confidence, expert.prompt, expert.text
            );
        }
        println!(
            "  {} on {} ({}), {} ms",
            engine.model_id(),
            engine.provider(),
            engine.variant(),
            caption.timings.total().as_millis()
        );
    }
    Ok(())
}

fn report(error: &Error) {
    let mut text = format!("error: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}\n  cause: {cause}");
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        text = format!("{text}\nhint: {hint}");
    }
    complain(&text);
}

#[expect(clippy::print_stderr, reason = "errors go where they belong")]
fn complain(text: &str) {
    eprintln!("{text}");
}
