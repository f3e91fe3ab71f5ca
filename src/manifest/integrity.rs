//! Are the files of a package what the manifest says they are?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{FileFault, FileFaultReason, FileSpec};

/// Bytes read at once: large enough that the system call does not count, small enough for every thread's cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Are they there, inside the package, as long as they must be?
    Outside,
    /// Is their content what it must be, too?
    Inside,
}

/// Checks `paths` below `root` against the manifest's list, in parallel; gives the faults in the order of `paths`.
pub(super) fn check_files(
    root: &Path,
    files: &BTreeMap<String, FileSpec>,
    paths: &[&str],
    look: Look,
) -> Vec<FileFault> {
    paths
        .par_iter()
        .filter_map(|&path| {
            let verdict = match files.get(path) {
                Some(spec) => check_file(root, path, spec, look),
                None => Err(FileFaultReason::Unlisted),
            };
            verdict.err().map(|reason| FileFault { path: path.to_owned(), reason })
        })
        .collect()
}

fn check_file(root: &Path, path: &str, spec: &FileSpec, look: Look) -> Result<(), FileFaultReason> {
    let file = open_inside(root, path)?;
    let unreadable = |error: io::Error| FileFaultReason::Unreadable { problem: error.to_string() };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileFaultReason::NotAFile);
    }
    if metadata.len() != spec.size {
        return Err(FileFaultReason::Size { expected: spec.size, found: metadata.len() });
    }
    if look == Look::Outside {
        return Ok(());
    }
    let found = hex_digest_of(file).map_err(unreadable)?;
    if found != spec.sha256 {
        return Err(FileFaultReason::Digest { expected: spec.sha256.clone(), found });
    }
    Ok(())
}

/// Opens a file whose real place, links followed, is inside `root`.
fn open_inside(root: &Path, path: &str) -> Result<File, FileFaultReason> {
    let found = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileFaultReason::Missing,
        _ => FileFaultReason::Unreadable { problem: error.to_string() },
    };
    let root = root.canonicalize().map_err(found)?;
    let target = root.join(path).canonicalize().map_err(found)?;
    if !target.starts_with(&root) {
        return Err(FileFaultReason::Outside { target });
    }
    File::open(target).map_err(found)
}

/// True if `path` stays inside the directory that it is relative to, whatever lies there.
pub(super) fn is_confined(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0', ':'])
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// SHA-256 of a slice, 64 hexadecimal digits.
pub(super) fn hex_digest(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

fn hex_digest_of(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(length) => hasher.update(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(hex_digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hex_digest_of(&b"abc"[..]).unwrap(), hex_digest(b"abc"));
    }

    #[test]
    fn paths_that_leave_the_package_are_not_confined() {
        for path in ["vision.onnx", "golden/run.safetensors", "a/./b"] {
            assert!(is_confined(path), "{path}");
        }
        for path in ["", "/etc/passwd", "../x", "a/../../x", "C:\\x", "a\\..\\x", "./x"] {
            assert!(!is_confined(path), "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_package_is_found() {
        let outside = tempfile::tempdir().unwrap();
        let package = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("weights"), b"abc").unwrap();
        std::os::unix::fs::symlink(outside.path().join("weights"), package.path().join("link")).unwrap();
        std::fs::write(package.path().join("own"), b"abc").unwrap();
        std::os::unix::fs::symlink("own", package.path().join("alias")).unwrap();
        let spec = FileSpec { size: 3, sha256: hex_digest(b"abc") };
        for look in [Look::Outside, Look::Inside] {
            let check = |path| check_file(package.path(), path, &spec, look);
            assert!(matches!(check("link"), Err(FileFaultReason::Outside { .. })), "{look:?}");
            assert_eq!(check("alias"), Ok(()), "{look:?}");
            assert_eq!(check("absent"), Err(FileFaultReason::Missing), "{look:?}");
        }
    }
}
