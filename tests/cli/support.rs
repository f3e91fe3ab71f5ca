//! A command, a picture, a package: what every test here starts from.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// A tiny package of `tests/packages`.
pub(crate) fn package(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages").join(name)
}

/// `rsmoe --model <tiny-adapter>` in the project's directory.
pub(crate) fn rsmoe() -> Command {
    let mut command = bare();
    command.arg("--model").arg(package("tiny-adapter"));
    command
}

/// `rsmoe` without a model.
pub(crate) fn bare() -> Command {
    let mut command = Command::cargo_bin("rsmoe").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RSMOE_MODEL").env("NO_COLOR", "1");
    command
}

/// A colourful PNG, not square, different for each seed.
pub(crate) fn picture(directory: &Path, name: &str, seed: u8) -> PathBuf {
    let path = directory.join(name);
    let pixel = |x: u32, y: u32| {
        image::Rgb([(x * 5) as u8 ^ seed, (y * 7) as u8 ^ seed.wrapping_mul(3), ((x + y) * 3) as u8 ^ seed])
    };
    image::RgbImage::from_fn(48, 36, pixel).save(&path).unwrap();
    path
}

/// The exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("rsmoe never ends by a signal")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// stdout as lines of JSON.
pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
