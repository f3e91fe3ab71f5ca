//! Whole files as pictures: plain pictures through the `image` crate, everything else through the raster layer.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use ndarray::{Array2, Array3, s};

use super::preset::{PresetMode, PresetRule};
use super::radiometry::{Stretch, StretchMode};
use super::resize;
use crate::geo::{Size, Window};
use crate::image::PixelImage;
use crate::raster::{BandIndex, BandName, BandPlan, Raster, RasterError, ReadRequest, Resampling, file_of};

/// Most pixels of a plain picture: it is decoded as a whole.
const MAX_PICTURE_PIXELS: u64 = 1 << 27;
/// Longest side of a plain picture, pixels.
const MAX_PICTURE_SIDE: u32 = 1 << 16;
/// Parts per side in which a scene's overview is read, so that damage in one part leaves the others.
const OVERVIEW_PARTS: usize = 8;
/// Parts that may take too long before the rest is left out: each costs the whole wait.
const MAX_HUNG_PARTS: usize = 2;
/// Longest side of the decimated read that percentiles are taken from, pixels.
const STATISTICS_SIDE: usize = 1024;

/// How many times wider and higher than its result a read for statistics may be where no overviews help: of larger
/// scenes the middle of each part is read, since reading all of it would take as long as the scene itself.
const SAMPLE_REDUCTION: usize = 4;

/// How a file becomes a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PictureOptions {
    /// Bands for red, green and blue (three), or for grey (one); `None`: see [`BandPlan::choose`].
    pub bands: Option<Vec<BandName>>,
    /// From native values to display values.
    pub stretch: StretchMode,
    /// Whose product it is; decides on bands and stretch where they are not named.
    pub preset: PresetMode,
    /// What is added to stored values of Sentinel-2; `None`: as the product says.
    pub sentinel2_offset: Option<f64>,
    /// A stored value that means "no data", beside what the file says.
    pub nodata: Option<f64>,
}

/// How a raster becomes pictures, settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendering {
    /// The bands.
    pub bands: BandPlan,
    /// From native values to display values.
    pub stretch: Stretch,
    /// A stored value that means "no data", beside what the file says; for [`Raster::with_nodata`].
    pub nodata: Option<f64>,
    /// The preset that decided, if one did.
    pub rule: Option<PresetRule>,
}

/// Settles how a raster becomes pictures: what is named goes before what a preset says, and that before the file's own facts.
/// Gives the raster back with the value that means "no data".
///
/// # Errors
/// Those of [`PresetRule::find`] and [`settle_stretch`].
pub fn settle(raster: Raster, options: &PictureOptions) -> Result<(Raster, Rendering), RasterError> {
    let info = raster.info();
    let rule = PresetRule::find(options.preset, options.bands.as_deref(), options.sentinel2_offset, info)?;
    let bands = match &rule {
        Some(rule) => rule.bands,
        None => BandPlan::choose(info, options.bands.as_deref())?,
    };
    let nodata = options.nodata.or(rule.as_ref().and_then(|rule| rule.nodata));
    let raster = raster.with_nodata(nodata);
    let stretch = match (&options.stretch, &rule) {
        (StretchMode::Auto, Some(PresetRule { display: Some(range), .. })) => Stretch::Linear(vec![*range]),
        (StretchMode::Auto, Some(PresetRule { display: None, .. })) => Stretch::None,
        (mode, _) => settle_stretch(&raster, bands, mode.clone())?,
    };
    Ok((raster, Rendering { bands, stretch, nodata, rule }))
}

/// Reads a whole file as a picture of `size`.
///
/// Plain 8-bit pictures (JPEG, PNG, WebP, BMP, GIF, told by their content) are decoded and resized with
/// [`resize::bilinear`]. Anything else is a raster: bands, valid pixels and stretch as for a scene, with a decimated read.
///
/// # Errors
/// [`RasterError::Picture`] and [`RasterError::PictureTooLarge`] for plain pictures, the others for rasters;
/// [`RasterError::NothingValid`] if there is no pixel to show.
pub fn read(path: &Path, size: Size, options: &PictureOptions) -> Result<PixelImage, RasterError> {
    // Plain pictures have colours, and no sensor.
    if options.bands.is_none()
        && let Some(image) = read_plain(path)?
    {
        return fit(path, &image, size);
    }
    let (raster, Rendering { bands, stretch, rule, .. }) = settle(Raster::open(path)?, options)?;
    if let Some(rule) = rule {
        tracing::info!("{}: preset: {}", path.display(), rule.reason);
        if let Some(warning) = rule.warning {
            tracing::warn!("{}: {warning}", path.display());
        }
    }
    let window = Window::whole(raster.info().size);
    let tile = raster.read_window(&ReadRequest { window, size, bands, resampling: Resampling::Bilinear })?;
    if tile.valid_fraction() == 0.0 {
        return Err(RasterError::NothingValid { path: path.to_path_buf() });
    }
    Ok(stretch.apply(&tile))
}

/// Finds the one stretch of a scene, from the valid pixels of a decimated read where the mode asks for it: of the whole
/// scene, or of samples in a regular pattern where it is large and has no overviews.
///
/// # Errors
/// [`RasterError::Read`] if no part of the raster can be read; [`RasterError::StretchBands`].
pub fn settle_stretch(raster: &Raster, bands: BandPlan, mode: StretchMode) -> Result<Stretch, RasterError> {
    if let StretchMode::Recorded(stretch) = &mode {
        let (found, expected) = (stretch.bands(), bands.samples());
        if let Some(found) = found.filter(|&found| found != expected) {
            return Err(RasterError::StretchBands { path: raster.info().path.clone(), found, expected });
        }
    }
    if let StretchMode::Range { min, max } = mode {
        let stored = |band: BandIndex| {
            let calibration = raster.info().bands[band.number() - 1].calibration;
            [min, max]
                .map(|value| calibration.map_or(value, |calibration| calibration.stored(f64::from(value))))
        };
        let mut ranges: Vec<[f32; 2]> = bands.bands().into_iter().map(stored).collect();
        if ranges.iter().all(|range| range.map(f32::to_bits) == ranges[0].map(f32::to_bits)) {
            ranges.truncate(1);
        }
        return Ok(Stretch::Linear(ranges));
    }
    Stretch::settle(mode, bands.is_display_range(raster.info()), || {
        let size = raster.info().size.fitted_to(STATISTICS_SIDE);
        let mut samples: Vec<Vec<f32>> = Vec::new();
        for_each_part(raster, size, bands, Resampling::Nearest, |_, tile| {
            samples.resize_with(tile.samples().dim().0, Vec::new);
            for (band, plane) in samples.iter_mut().zip(tile.samples().outer_iter()) {
                let valid = plane.iter().zip(tile.valid()).filter(|&(_, &valid)| valid);
                band.extend(valid.map(|(&sample, _)| sample));
            }
        })?;
        Ok(samples)
    })
}

/// A small picture of a whole scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuickLook {
    /// The picture, through the scene's stretch.
    pub image: PixelImage,
    /// True where the scene holds data, `[height, width]`.
    pub valid: Array2<bool>,
}

/// Draws a scene, at most `longest` pixels on its longer side, through its stretch. Parts that cannot be read are invalid.
///
/// # Errors
/// [`RasterError::Read`] if no part of the raster can be read.
pub fn quick_look(
    raster: &Raster,
    bands: BandPlan,
    stretch: &Stretch,
    longest: usize,
) -> Result<QuickLook, RasterError> {
    let size = raster.info().size.fitted_to(longest);
    let mut pixels = Array3::zeros((size.height, size.width, 3));
    let mut valid = Array2::from_elem((size.height, size.width), false);
    for_each_part(raster, size, bands, Resampling::Bilinear, |place, tile| {
        let (rows, cols) = (place.row..place.row + place.height, place.col..place.col + place.width);
        pixels.slice_mut(s![rows.clone(), cols.clone(), ..]).assign(&stretch.apply(tile).pixels());
        valid.slice_mut(s![rows, cols]).assign(&tile.valid());
    })?;
    Ok(QuickLook { image: PixelImage::try_new(pixels).expect("a raster has pixels"), valid })
}

/// Reads a raster at a reduced size part by part; `visit` gets each part's place in the reduced picture. Parts that
/// cannot be read are left out.
fn for_each_part(
    raster: &Raster,
    size: Size,
    bands: BandPlan,
    resampling: Resampling,
    mut visit: impl FnMut(Window, &crate::image::Tile),
) -> Result<(), RasterError> {
    let whole = raster.info().size;
    let edges = |length: usize| {
        let parts = OVERVIEW_PARTS.min(length);
        (0..parts).map(move |part| (part * length / parts, (part + 1) * length / parts))
    };
    // The part of the scene that a reduced span covers, in whole pixels.
    let span = |start: usize, end: usize, reduced: usize, full: usize| {
        let scaled = |edge: usize| (edge as u128 * full as u128 / reduced as u128) as usize;
        (scaled(start), scaled(end).max(scaled(start) + 1) - scaled(start))
    };
    let (mut read, mut hung, mut failure) = (0, 0, None);
    'parts: for (top, bottom) in edges(size.height) {
        for (left, right) in edges(size.width) {
            let (col, width) = span(left, right, size.width, whole.width);
            let (row, height) = span(top, bottom, size.height, whole.height);
            let place = Window { col: left, row: top, width: right - left, height: bottom - top };
            let whole_part = Window { col, row, width, height };
            let is_sample = resampling == Resampling::Nearest && !raster.info().has_overviews;
            let window =
                if is_sample { sample_of(raster, whole_part, place.size(), bands) } else { whole_part };
            match raster.read_window(&ReadRequest { window, size: place.size(), bands, resampling }) {
                Ok(tile) => {
                    read += 1;
                    visit(place, &tile);
                }
                // What was read so far would be another picture, and another stretch, than that of the same command again.
                Err(error @ RasterError::Interrupted { .. }) => return Err(error),
                Err(error @ RasterError::ReaderHung { .. }) => {
                    hung += 1;
                    failure = Some(error);
                }
                Err(error) => failure = Some(error),
            }
            if hung == MAX_HUNG_PARTS {
                break 'parts;
            }
        }
    }
    match failure {
        Some(error) if read == 0 => Err(error),
        _ => Ok(()),
    }
}

/// The middle of a part of a raster; where the file holds nothing there, a place of the part where it does.
fn sample_of(raster: &Raster, part: Window, size: Size, bands: BandPlan) -> Window {
    let centre = centre_of(part, size);
    if !raster.is_absent(centre, bands) {
        return centre;
    }
    let mut place = part;
    while place.width > centre.width || place.height > centre.height {
        let Some(quarter) = quarters(place).find(|quarter| !raster.is_absent(*quarter, bands)) else {
            return centre;
        };
        place = quarter;
    }
    place
}

/// The quarters of a window of more than one pixel, row by row.
fn quarters(window: Window) -> impl Iterator<Item = Window> {
    let halves = |start: usize, length: usize| {
        let first = length.div_ceil(2);
        [(start, first), (start + first, length - first)].into_iter().filter(|(_, length)| *length > 0)
    };
    let Window { col, row, width, height } = window;
    halves(row, height).flat_map(move |(row, height)| {
        halves(col, width).map(move |(col, width)| Window { col, row, width, height })
    })
}

/// The middle of a window, at most [`SAMPLE_REDUCTION`] times as wide and high as the size it is read at.
fn centre_of(window: Window, size: Size) -> Window {
    let span = |start: usize, length: usize, reduced: usize| {
        let kept = length.min(reduced.saturating_mul(SAMPLE_REDUCTION));
        (start + (length - kept) / 2, kept)
    };
    let (col, width) = span(window.col, window.width, size.width);
    let (row, height) = span(window.row, window.height, size.height);
    Window { col, row, width, height }
}

/// Decodes a plain 8-bit picture; `None` if the content is something else.
fn read_plain(path: &Path) -> Result<Option<DynamicImage>, RasterError> {
    let unreadable = |source| RasterError::Unreadable { path: path.to_path_buf(), source };
    let damaged = |source: image::ImageError| RasterError::Picture {
        path: path.to_path_buf(),
        source: Box::new(source),
    };
    if file_of(path) != path {
        return Ok(None);
    }
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(RasterError::NotAFile { path: path.to_path_buf() });
    }
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let format = image::guess_format(reader.fill_buf().map_err(unreadable)?);
    let Ok(
        format @ (ImageFormat::Jpeg
        | ImageFormat::Png
        | ImageFormat::WebP
        | ImageFormat::Bmp
        | ImageFormat::Gif),
    ) = format
    else {
        return Ok(None);
    };
    let mut reader = ImageReader::with_format(reader, format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_PICTURE_SIDE);
    limits.max_image_height = Some(MAX_PICTURE_SIDE);
    limits.max_alloc = Some(MAX_PICTURE_PIXELS * 4);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = image::ImageDecoder::dimensions(&decoder);
    if u64::from(width) * u64::from(height) > MAX_PICTURE_PIXELS {
        let size = Size { width: width as usize, height: height as usize };
        return Err(RasterError::PictureTooLarge {
            path: path.to_path_buf(),
            size,
            limit: MAX_PICTURE_PIXELS,
        });
    }
    let color = image::ImageDecoder::color_type(&decoder);
    if color.bytes_per_pixel() > color.channel_count() {
        return Ok(None);
    }
    DynamicImage::from_decoder(decoder).map(Some).map_err(damaged)
}

/// A decoded picture at the size asked for; fully transparent pixels take the mean of the others.
fn fit(path: &Path, image: &DynamicImage, size: Size) -> Result<PixelImage, RasterError> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let damaged = |source: Box<dyn std::error::Error + Send + Sync>| RasterError::Picture {
        path: path.to_path_buf(),
        source,
    };
    let mut pixels = Array3::from_shape_vec((height, width, 3), image.to_rgb8().into_raw())
        .map_err(|source| damaged(Box::new(source)))?;
    if image.color().has_alpha() {
        let alpha = image.to_rgba8();
        let valid = Array2::from_shape_fn((height, width), |(row, col)| {
            alpha.get_pixel(col as u32, row as u32)[3] > 0
        });
        if !valid.iter().any(|&valid| valid) {
            return Err(RasterError::NothingValid { path: path.to_path_buf() });
        }
        fill_invalid(&mut pixels, &valid);
    }
    PixelImage::try_new(resize::bilinear(&pixels.view(), size)).map_err(|source| damaged(Box::new(source)))
}

fn fill_invalid(pixels: &mut Array3<u8>, valid: &Array2<bool>) {
    for mut plane in pixels.axis_iter_mut(ndarray::Axis(2)) {
        let (sum, count) = plane
            .iter()
            .zip(valid)
            .filter(|&(_, &valid)| valid)
            .fold((0_u64, 0_u64), |(sum, count), (&value, _)| (sum + u64::from(value), count + 1));
        let mean = ((sum + count / 2) / count.max(1)) as u8;
        plane.zip_mut_with(valid, |value, &valid| {
            if !valid {
                *value = mean;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_from_the_middle_of_large_windows_and_from_all_of_small_ones() {
        let size = Size { width: 10, height: 5 };
        let large = Window { col: 100, row: 200, width: 1000, height: 15 };
        assert_eq!(centre_of(large, size), Window { col: 580, row: 200, width: 40, height: 15 });
    }
}
