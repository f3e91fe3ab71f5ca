//! Rasters inside a file: their names, as GDAL has them, and the file that a name leads to.

use std::path::Path;

use gdal::{Dataset, Metadata};

/// Beginnings of the names of rasters inside a file, of the drivers that may open one: each is followed by a number (GeoTIFF
/// directories also by `off:` before it) and the file.
const PREFIXES: [&str; 2] = ["GTIFF_DIR:", "NITF_IM:"];
/// Most rasters of a file that are named.
const MAX_NAMES: usize = 100;

/// The names of the rasters in a file; empty if it holds one only, or the names lead elsewhere.
pub(super) fn names(dataset: &Dataset) -> Vec<String> {
    let entries = dataset.metadata_domain("SUBDATASETS").unwrap_or_default();
    let names =
        entries.iter().filter_map(|entry| entry.split_once("_NAME=").map(|(_, name)| name.to_owned()));
    names.take(MAX_NAMES).collect()
}

/// The file that a path leads to: the path itself, or the file in the name of a raster inside it.
pub fn file_of(path: &Path) -> &Path {
    let inside = path.to_str().filter(|_| !path.exists()).and_then(|text| {
        let rest = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix))?;
        let rest = rest.strip_prefix("off:").unwrap_or(rest);
        let (number, file) = rest.split_once(':')?;
        number.chars().all(|digit| digit.is_ascii_digit()).then_some(Path::new(file))
    });
    inside.unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_raster_inside_it_is_found() {
        for (name, file) in [
            ("GTIFF_DIR:2:a/scene.tif", "a/scene.tif"),
            ("GTIFF_DIR:off:408:scene.tif", "scene.tif"),
            ("NITF_IM:1:C:/x.ntf", "C:/x.ntf"),
            ("scene.tif", "scene.tif"),
            ("GTIFF_DIR:x:scene.tif", "GTIFF_DIR:x:scene.tif"),
            ("WMS:2:scene.tif", "WMS:2:scene.tif"),
        ] {
            assert_eq!(file_of(Path::new(name)), Path::new(file));
        }
    }
}
