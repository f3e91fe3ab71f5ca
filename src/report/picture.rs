//! The scene's quick-look as an embedded JPEG.

use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::ReportOptions;
use super::source::Scene;
use crate::raster::{Raster, RasterError, file_of};
use crate::vision::picture::{self, PictureOptions};

/// Longest side of the quick-look, pixels.
const LONGEST_PX: usize = 1600;
/// JPEG quality, `1..=100`.
const QUALITY: u8 = 82;
/// Shown where the scene holds no data.
const NO_DATA: [u8; 3] = [203, 208, 211];

/// A picture for the page.
#[derive(Debug)]
pub(super) struct Look {
    /// As an address that holds the picture itself.
    pub(super) data_url: String,
    /// What the reader should know about it.
    pub(super) note: Option<String>,
}

/// Draws the scene through the stretch of its run.
pub(super) fn draw(scene: &Scene, options: &ReportOptions) -> Result<Look, RasterError> {
    let path = find(scene, options);
    let raster = Raster::open(&path)?;
    let (raster, bands, stretch) = if let Some(facts) = &scene.facts {
        (raster.with_nodata(facts.nodata), facts.bands, facts.stretch.clone())
    } else {
        let (raster, rendering) = picture::settle(raster, &PictureOptions::default())?;
        (raster, rendering.bands, rendering.stretch)
    };
    let note = (raster.info().size != scene.size())
        .then(|| format!("{} has another size than the scene that was captioned.", path.display()));
    let look = picture::quick_look(&raster, bands, &stretch, LONGEST_PX)?;
    let mut pixels = look.image.pixels().to_owned();
    for ((row, col), _) in look.valid.indexed_iter().filter(|&(_, &valid)| !valid) {
        for (band, value) in NO_DATA.into_iter().enumerate() {
            pixels[[row, col, band]] = value;
        }
    }
    let bytes: Vec<u8> = pixels.iter().copied().collect();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .write_image(&bytes, look.image.width() as u32, look.image.height() as u32, ExtendedColorType::Rgb8)
        .map_err(|source| RasterError::Picture { path, source: Box::new(source) })?;
    Ok(Look { data_url: format!("data:image/jpeg;base64,{}", base64(&jpeg)), note })
}

/// The scene: as named for the report, as named when it was captioned, or of that name beside the output.
fn find(scene: &Scene, options: &ReportOptions) -> PathBuf {
    if let Some(raster) = &options.raster {
        return raster.clone();
    }
    let recorded = scene.facts.as_ref().map(|facts| PathBuf::from(&facts.raster.path)).unwrap_or_default();
    let beside =
        options.source.parent().zip(recorded.file_name()).map(|(directory, name)| directory.join(name));
    match beside {
        // A raster inside a file is found by its name alone.
        Some(beside) if !recorded.exists() && file_of(&recorded) == recorded && beside.exists() => beside,
        _ => recorded,
    }
}

/// Base64 as RFC 4648 has it, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, &byte| group << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let index = (group >> (18 - 6 * position)) & 63;
            text.push(if position <= chunk.len() { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
    text
}

/// The file's own name, for the page.
pub(super) fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_test_vectors_of_rfc_4648() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
