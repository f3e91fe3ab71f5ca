//! Asks about one picture: `cargo run --release --example ask -- models/rsmoe-mini picture.jpg "Is there water?" yes no`.
//!
//! Without choices the answer is free text; with choices each gets a probability. Several questions about a picture
//! share one look at it.

use std::path::Path;
use std::process::ExitCode;

use rsmoe::vision::picture::{self, PictureOptions};
use rsmoe::{Engine, EngineOptions, Error, ImageQuestion, Question};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, picture, question, choices @ ..] = arguments.as_slice() else {
        complain("usage: ask MODEL_DIRECTORY PICTURE QUESTION [CHOICE...]");
        return ExitCode::from(2);
    };
    match ask(Path::new(model), Path::new(picture), question, choices) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error}: {}", causes(&error)));
            ExitCode::from(error.kind().exit_code())
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answers are this program's result")]
fn ask(model: &Path, path: &Path, question: &str, choices: &[String]) -> Result<(), Error> {
    let mut engine = Engine::load(&EngineOptions::new(model))?;
    let image = picture::read(path, engine.input_size(), &PictureOptions::default())?;
    let question = match choices {
        [] => Question::new(question),
        choices => Question::with_choices(question, choices.iter().cloned()),
    };
    for answer in engine.ask(&[image], &[ImageQuestion { image: 0, question }])? {
        println!("{} ({:.2})", answer.text, answer.confidence);
        for (choice, probability) in answer.choices.iter().flatten() {
            println!("  {probability:.3}  {choice}");
        }
    }
    Ok(())
}

fn causes(error: &Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes.join(": ")
}

#[expect(clippy::print_stderr, reason = "errors go where they belong")]
fn complain(text: &str) {
    eprintln!("{text}");
}
