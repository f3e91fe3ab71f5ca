//! What is refused before the first pixel is read.

use std::path::Path;

use super::RasterError;
use crate::geo::Size;

/// Longest side of a raster, pixels.
const MAX_SIDE: usize = 1 << 24;
/// Most pixels of a raster: a million by a million fit.
const MAX_PIXELS: u64 = 1 << 40;
/// Drivers that decode from the top, whatever part is asked for.
const SEQUENTIAL_DRIVERS: [&str; 4] = ["GIF", "JPEG", "PNG", "WEBP"];
/// Most pixels of a raster in such a format. A PNG of 100 KB can hold 900 million.
const MAX_SEQUENTIAL_PIXELS: u64 = 1 << 28;
/// Most memory that one block of all bands may take, bytes. A file of 306 bytes can ask for 1.1 GB.
const MAX_BLOCK_BYTES: u64 = 256 << 20;
/// Longest VRT that is read, bytes.
const MAX_VRT_BYTES: u64 = 64 << 20;

/// Refuses rasters that no sensor makes.
pub(super) fn check_size(path: &Path, size: Size) -> Result<(), RasterError> {
    let pixels = size.width as u64 * size.height as u64;
    if size.width.max(size.height) > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(RasterError::TooLarge {
            path: path.to_path_buf(),
            size,
            limit: MAX_PIXELS,
            side: MAX_SIDE,
        });
    }
    Ok(())
}

/// Refuses pictures that would be decoded for hours.
pub(super) fn check_sequential(path: &Path, driver: &str, size: Size) -> Result<(), RasterError> {
    if SEQUENTIAL_DRIVERS.contains(&driver) && size.pixels() as u64 > MAX_SEQUENTIAL_PIXELS {
        let (path, driver) = (path.to_path_buf(), driver.to_owned());
        return Err(RasterError::Sequential { path, driver, size, limit: MAX_SEQUENTIAL_PIXELS });
    }
    Ok(())
}

/// Refuses blocks that would not fit: `bands` counts the bands that are decoded together.
pub(super) fn check_block(
    path: &Path,
    block: Size,
    sample_bytes: u64,
    bands: u64,
) -> Result<(), RasterError> {
    let bytes = (block.pixels() as u64).saturating_mul(sample_bytes).saturating_mul(bands);
    if bytes > MAX_BLOCK_BYTES {
        return Err(RasterError::BlockTooLarge { path: path.to_path_buf(), bytes, limit: MAX_BLOCK_BYTES });
    }
    Ok(())
}

/// Refuses virtual rasters that would reach over the network or run code; other files pass.
///
/// A virtual raster is a text that names its sources. Whatever a source may be, a network path always shows in the text.
pub(super) fn check_virtual_raster(path: &Path) -> Result<(), RasterError> {
    use std::io::Read as _;

    let unreadable = |source| RasterError::Unreadable { path: path.to_path_buf(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut head = Vec::new();
    let mut reader = file.take(MAX_VRT_BYTES);
    reader.by_ref().take(512).read_to_end(&mut head).map_err(unreadable)?;
    if !head.windows(10).any(|bytes| bytes == b"VRTDataset" || bytes == b"OGRVRTData") {
        return Ok(());
    }
    reader.read_to_end(&mut head).map_err(unreadable)?;
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if text.contains("pixelfunctioncode") || text.contains("<pixelfunctionlanguage>python") {
        return Err(RasterError::EmbeddedCode { path: path.to_path_buf() });
    }
    match remote_location(&text) {
        Some(location) => Err(RasterError::RemoteSource { path: path.to_path_buf(), location }),
        None => Ok(()),
    }
}

/// The first path in a lower-case text that GDAL would open over the network or in a way that hides where it leads.
fn remote_location(text: &str) -> Option<String> {
    text.match_indices("<sourcefilename")
        .chain(text.match_indices("<sourcedataset"))
        .filter_map(|(start, _)| {
            text[start..].split_once('>').map(|(_, rest)| rest.split('<').next().unwrap_or(rest).trim())
        })
        .find(|source| source.contains("/vsi") || source.contains("://") || source.contains("&lt;"))
        .map(|source| source.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vrt(body: &str) -> Result<(), RasterError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scene.vrt");
        std::fs::write(&path, format!("<VRTDataset rasterXSize=\"2\" rasterYSize=\"2\">{body}</VRTDataset>"))
            .unwrap();
        check_virtual_raster(&path)
    }

    #[test]
    fn a_virtual_raster_over_local_files_passes() {
        assert!(vrt("<SourceFilename relativeToVRT=\"1\">part/b4.tif</SourceFilename>").is_ok());
    }

    #[test]
    fn a_virtual_raster_over_the_network_is_refused() {
        let error =
            vrt("<SourceFilename relativeToVRT=\"0\">/vsicurl/http://127.0.0.1:9/x.tif</SourceFilename>");
        assert!(
            matches!(error, Err(RasterError::RemoteSource { location, .. }) if location.starts_with("/vsicurl"))
        );
        assert!(vrt("<SourceFilename>WMS:https://example.org/?layers=a</SourceFilename>").is_err());
        assert!(vrt("<SourceDataset>&lt;GDAL_WMS>&lt;/GDAL_WMS></SourceDataset>").is_err());
    }

    #[test]
    fn a_virtual_raster_with_code_is_refused() {
        let error =
            vrt("<VRTRasterBand><PixelFunctionCode>def f(): pass</PixelFunctionCode></VRTRasterBand>");
        assert!(matches!(error, Err(RasterError::EmbeddedCode { .. })));
    }

    #[test]
    fn sizes_and_blocks_have_limits() {
        let path = Path::new("scene.tif");
        assert!(check_size(path, Size { width: 1_000_000, height: 1_000_000 }).is_ok());
        assert!(check_size(path, Size { width: i32::MAX as usize, height: i32::MAX as usize }).is_err());
        assert!(check_sequential(path, "PNG", Size { width: 16_384, height: 16_384 }).is_ok());
        assert!(check_sequential(path, "PNG", Size { width: 30_000, height: 30_000 }).is_err());
        assert!(check_sequential(path, "GTiff", Size { width: 30_000, height: 30_000 }).is_ok());
        assert!(check_block(path, Size { width: 512, height: 512 }, 8, 13).is_ok());
        assert!(check_block(path, Size { width: 20_000, height: 20_000 }, 1, 3).is_err());
    }
}
