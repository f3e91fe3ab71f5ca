//! What STAC items have in common, and the item of a model package.
//!
//! [STAC](https://stacspec.org) describes data for catalogues. Items of captioned scenes are written by
//! [`scene::write_stac`](crate::scene::write_stac).

mod model;

use std::io::Write;
use std::path::Path;

use serde_json::Value;

pub use model::model_item;

/// How the name of an item's file ends.
pub const STAC_SUFFIX: &str = ".stac.json";
/// The version of STAC that items are of.
pub(crate) const VERSION: &str = "1.1.0";

/// True if a file's name asks for a STAC item.
pub fn is_stac(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    // What stands before the suffix is the item's identity.
    name.strip_suffix(STAC_SUFFIX).is_some_and(|id| !id.is_empty())
}

/// A file as seen from a directory, both absolute: a relative reference (RFC 3986), so that both can be moved together. What means
/// something else in a reference is percent-encoded; letters of other scripts stay (RFC 3987).
pub(crate) fn reference(file: &Path, place: &Path) -> String {
    let shared = file.components().zip(place.components()).take_while(|(file, place)| file == place).count();
    let up = place.components().skip(shared).map(|_| "..".to_owned());
    let down = file.components().skip(shared).map(|part| encoded(part.as_os_str().as_encoded_bytes()));
    let parts: Vec<String> = up.chain(down).collect();
    let parts = parts.join("/");
    if parts.starts_with("../") { parts } else { format!("./{parts}") }
}

/// A name as a segment of a reference.
fn encoded(name: &[u8]) -> String {
    let mut segment = String::new();
    let escape = |segment: &mut String, bytes: &[u8]| {
        for byte in bytes {
            segment.push_str(&format!("%{byte:02X}"));
        }
    };
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let is_plain = letter.is_alphanumeric() || "-._~!$&'()*+,;=:@".contains(letter);
            if is_plain {
                segment.push(letter);
            } else {
                escape(&mut segment, letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        escape(&mut segment, chunk.invalid());
    }
    segment
}

/// The directory that a file is in, or will be.
pub(crate) fn place_of(file: &Path) -> &Path {
    file.parent().filter(|place| !place.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Writes a file beside `out`, which then takes its place.
pub(crate) fn write(out: &Path, value: &Value) -> std::io::Result<()> {
    let place = place_of(out);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".stac-");
    // A temporary file is for its owner alone; this one becomes an output, which is for whom the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(place)?;
    file.write_all(format!("{value:#}\n").as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(out).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_leads_from_the_item_to_its_asset_whatever_the_names_hold() {
        let cases = [
            ("/a/b/captions.geojson", "/a/b", "./captions.geojson"),
            ("/a/b/c/captions.geojson", "/a/b", "./c/captions.geojson"),
            ("/a/c/captions.geojson", "/a/b", "../c/captions.geojson"),
            ("/a/b/50 % of #1?.geojson", "/a/b", "./50%20%25%20of%20%231%3F.geojson"),
            ("/a/b/a:b\"<>[]\\^`{|}.csv", "/a/b", "./a:b%22%3C%3E%5B%5D%5C%5E%60%7B%7C%7D.csv"),
            ("/a/b/été.csv", "/a/b", "./été.csv"),
        ];
        for (file, place, expected) in cases {
            assert_eq!(reference(Path::new(file), Path::new(place)), expected, "{file}");
        }
    }

    #[test]
    fn an_item_needs_a_name_before_its_suffix() {
        assert!(is_stac(Path::new("a/captions.stac.json")) && is_stac(Path::new("CAPTIONS.STAC.JSON")));
        assert!(
            !is_stac(Path::new("a/.stac.json"))
                && !is_stac(Path::new("captions.json"))
                && !is_stac(Path::new("/"))
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_encoded_one_by_one() {
        assert_eq!(encoded(b"a\xff\xfe.csv"), "a%FF%FE.csv");
    }
}
