//! The inputs of `caption` and `ask`: paths to pictures, read ahead of the engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::error::Error;
use crate::geo::Size;
use crate::image::PixelImage;
use crate::vision::picture::{self, PictureOptions};

/// What in a directory counts as an input; a file that is named is taken whatever its name ends in.
const EXTENSIONS: [&str; 11] =
    ["bmp", "gif", "jp2", "jpeg", "jpg", "png", "tif", "tiff", "vrt", "webp", "img"];

/// The inputs in the order in which they are answered: a directory stands for the pictures right in it, by name.
/// What cannot be listed stays, and fails when it is read, so that the others go on.
pub(crate) fn expand(inputs: &[PathBuf]) -> Vec<PathBuf> {
    inputs.iter().flat_map(|input| pictures_in(input).unwrap_or_else(|| vec![input.clone()])).collect()
}

fn pictures_in(directory: &Path) -> Option<Vec<PathBuf>> {
    if !directory.is_dir() {
        return None;
    }
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| is_picture(path))
        .collect();
    files.sort();
    (!files.is_empty()).then_some(files)
}

fn is_picture(path: &Path) -> bool {
    path.is_file()
        && path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Reads `batches` of paths one batch ahead of `describe`, which gets each batch's pictures or errors in order.
pub(crate) fn for_each_batch<F>(
    batches: &[Vec<PathBuf>],
    size: Size,
    options: &PictureOptions,
    mut describe: F,
) -> anyhow::Result<()>
where
    F: FnMut(usize, Vec<Result<PixelImage, Error>>) -> anyhow::Result<()>,
{
    // One batch waits in the channel while the engine works on the one before.
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for batch in batches {
                let pictures: Vec<_> = batch
                    .par_iter()
                    .map(|path| picture::read(path, size, options).map_err(Error::from))
                    .collect();
                if sender.send(pictures).is_err() {
                    return;
                }
            }
        });
        receiver.iter().enumerate().try_for_each(|(index, pictures)| describe(index, pictures))
    })
}

/// The error object of a JSON line: `{"kind", "message", "hint"}`.
pub(crate) fn error_json(error: &Error) -> Value {
    json!({"kind": error.kind().name(), "message": message(error), "hint": error.hint()})
}

/// An error and its causes in one line.
pub(crate) fn message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // A transparent wrapper says the same again.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_pictures_by_name() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.TIF", "a.jpg", "notes.txt"] {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = expand(&[directory.path().to_path_buf()])
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.jpg", "b.TIF"]);
    }

    #[test]
    fn a_missing_input_stays_in_the_list_and_fails_when_it_is_read() {
        let missing = PathBuf::from("no-such-file.tif");
        assert_eq!(expand(std::slice::from_ref(&missing)), [missing]);
    }
}
