//! Where the ONNX Runtime library is.

use std::env;
use std::path::{Path, PathBuf};

use super::RuntimeError;

/// Names the library, or a directory with it; read here and nowhere else.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The library's name up to a version.
const FILE_STEM: &str = if cfg!(windows) { "onnxruntime" } else { "libonnxruntime" };

/// Finds the ONNX Runtime library.
///
/// `named`, and then `ORT_DYLIB_PATH`, are taken at their word: a file, or a directory with one. If neither is given, the
/// places are: beside the executable, `./.ort`, `$XDG_DATA_HOME/rsmoe` (`~/.local/share/rsmoe`). In a directory the
/// highest version is taken.
///
/// # Errors
/// [`RuntimeError::LibraryNotFound`] with the places that were looked at.
pub fn find_library(named: Option<&Path>) -> Result<PathBuf, RuntimeError> {
    let from_variable = || env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let places = match named.map(Path::to_owned).or_else(from_variable) {
        Some(named) => vec![named],
        None => default_places(),
    };
    places
        .iter()
        .find_map(|place| library_at(place))
        .ok_or(RuntimeError::LibraryNotFound { searched: places })
}

fn default_places() -> Vec<PathBuf> {
    let beside = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let data = env::var_os("XDG_DATA_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")))
        .map(|data| data.join("rsmoe"));
    beside.into_iter().chain([PathBuf::from(".ort")]).chain(data).collect()
}

/// The place itself if it is a file, else the library with the highest version in the directory.
fn library_at(place: &Path) -> Option<PathBuf> {
    let place = place.canonicalize().ok()?;
    if place.is_file() {
        return Some(place);
    }
    place
        .read_dir()
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = library_version(path.file_name()?.to_str()?)?;
            path.is_file().then_some((version, path))
        })
        .max()
        .map(|(_, path)| path)
}

/// The version in a library's file name, empty if it has none; `None` for every other file.
fn library_version(name: &str) -> Option<Vec<u32>> {
    let rest = name.strip_prefix(FILE_STEM)?;
    let version = if cfg!(windows) {
        rest.strip_suffix(".dll")?
    } else if cfg!(target_os = "macos") {
        rest.strip_suffix(".dylib")?
    } else {
        rest.strip_prefix(".so")?
    };
    version.split('.').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_in_a_directory_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let names = [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.31.1",
            "libonnxruntime_providers_shared.so",
            "libonnxruntime.so.1.24.0",
        ];
        for name in names {
            std::fs::write(directory.path().join(name), b"").unwrap();
        }
        let found = find_library(Some(directory.path())).unwrap();
        assert_eq!(found.file_name().unwrap(), "libonnxruntime.so.1.31.1");
    }

    #[test]
    fn a_named_place_without_a_library_is_not_replaced_by_another() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("libonnxruntime.so");
        let error = find_library(Some(&missing)).unwrap_err();
        let RuntimeError::LibraryNotFound { searched } = &error else { panic!("{error}") };
        assert_eq!(searched, &[missing]);
        assert!(error.hint().is_some());
    }
}
