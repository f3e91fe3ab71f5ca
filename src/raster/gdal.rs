//! Rasters through GDAL: the only file here that names it.

use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;

use gdal::errors::GdalError;
use gdal::raster::{ColorInterpretation, RasterBand, ResampleAlg};
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags, Metadata};
use ndarray::{Array2, Array3, Axis, Zip};

use super::acquisition::TIME_ITEMS;
use super::bands::{BandIndex, BandPlan};
use super::blocks::Blocks;
use super::info::{BandInfo, Calibration, ColorRole, RasterInfo, SampleType};
use super::read::{ReadRequest, Resampling};
use super::reference::Reference;
use super::{Acquisition, RasterError, cache, limits, sample, subdataset};
use crate::geo::{Size, Window};
use crate::image::Tile;

/// Drivers that may open a file: local raster formats that people have, with well-kept readers. What satellites and drones deliver (`GeoTIFF`,
/// JPEG 2000, NITF), what desktop programs write (ENVI, ERDAS, ESRI), elevation (DTED, SRTM, USGS), pictures, and mosaics of these (VRT, within
/// `limits`). None reaches over the network; what is not here (HDF, netCDF, PDF, databases, web services) has a large surface for attacks, or is a
/// container that `gdal_translate` takes a raster out of.
const DRIVERS: [&str; 20] = [
    "GTiff",
    "COG",
    "VRT",
    "MEM",
    "PNG",
    "JPEG",
    "JP2OpenJPEG",
    "GIF",
    "BMP",
    "WEBP",
    "ENVI",
    "EHdr",
    "ERS",
    "HFA",
    "AAIGrid",
    "USGSDEM",
    "SRTMHGT",
    "DTED",
    "NITF",
    "PNM",
];
/// Drivers that write vector files. They open no raster: [`Raster::open`] names its own.
const WRITERS: [&str; 2] = ["GPKG", "FlatGeobuf"];
/// Most things that a file may say about itself.
const MAX_TAGS: usize = 1000;

/// A raster opened in this process.
pub(super) struct Raster {
    dataset: Dataset,
    info: RasterInfo,
    reference: Reference,
    /// What the cache was made for: how much smaller the overview is, first and last row of its blocks.
    cached: Cell<Option<(usize, usize, usize)>>,
}

impl Raster {
    /// See [`super::Raster::open`].
    pub(super) fn open(path: &Path) -> Result<Self, RasterError> {
        prepare();
        let unreadable = |source| RasterError::Unreadable { path: path.to_path_buf(), source };
        let file = subdataset::file_of(path);
        if std::fs::metadata(file).map_err(unreadable)?.is_dir() {
            return Err(RasterError::NotAFile { path: path.to_path_buf() });
        }
        limits::check_virtual_raster(file)?;
        let options = DatasetOptions {
            open_flags: GdalOpenFlags::GDAL_OF_RASTER | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
            allowed_drivers: Some(&DRIVERS),
            ..DatasetOptions::default()
        };
        let damaged = |source: GdalError| RasterError::NotARaster {
            path: path.to_path_buf(),
            source: Box::new(Reason::of(source)),
        };
        let dataset = Dataset::open_ex(path, options).map_err(damaged)?;
        let size = check(path, &dataset)?;
        let bands = (1..=dataset.raster_count())
            .filter_map(BandIndex::new)
            .map(|index| Ok(band_info(index, &dataset.rasterband(index.number())?)))
            .collect::<Result<Vec<_>, GdalError>>()
            .map_err(damaged)?;
        let reference = Reference::of(&dataset, size);
        let info = RasterInfo {
            path: path.to_path_buf(),
            driver: dataset.driver().short_name(),
            size,
            has_overviews: dataset
                .rasterband(1)
                .and_then(|band| band.overview_count())
                .is_ok_and(|count| count > 0),
            bands,
            tags: tags(&dataset),
            subdatasets: subdataset::names(&dataset),
            crs: reference.crs.clone(),
            georeference: reference.georeference.clone(),
            credit: dataset.metadata_item("TIFFTAG_COPYRIGHT", "").filter(|credit| !credit.trim().is_empty()),
            acquired: acquired(&dataset),
        };
        Ok(Self { dataset, info, reference, cached: Cell::new(None) })
    }

    /// The facts of the raster.
    pub(super) fn info(&self) -> &RasterInfo {
        &self.info
    }

    /// See [`super::Raster::read_window`].
    pub(super) fn read_window(
        &self,
        request: &ReadRequest,
        nodata: Option<f64>,
    ) -> Result<Tile, RasterError> {
        let ReadRequest { window, size, bands, .. } = *request;
        if window.is_empty() || size.is_empty() || !window.is_inside(self.info.size) {
            return Err(RasterError::WindowOutside {
                path: self.info.path.clone(),
                window,
                size: self.info.size,
            });
        }
        for band in bands.bands() {
            if band.number() > self.info.bands.len() {
                let (path, count) = (self.info.path.clone(), self.info.bands.len());
                return Err(RasterError::BandMissing { path, band, count });
            }
        }
        let failed = |source: GdalError| RasterError::Read {
            path: self.info.path.clone(),
            window,
            source: Box::new(Reason::of(source)),
        };
        let mut valid = self.read_valid(request).map_err(failed)?;
        Blocks::of(&self.dataset, bands).map_err(failed)?.hide_absent(request, &mut valid);
        let samples = match bands {
            BandPlan::Palette(band) => self.read_palette(band, request, &mut valid).map_err(failed)?,
            BandPlan::Rgb(_) | BandPlan::Gray(_) => self.read_samples(request).map_err(failed)?,
        };
        if let Some(nodata) = nodata.filter(|_| !matches!(bands, BandPlan::Palette(_))) {
            let exact = ReadRequest { resampling: Resampling::Nearest, ..*request };
            let is_exact = request.resampling == Resampling::Nearest || size == window.size();
            let read = if is_exact { None } else { Some(self.read_samples(&exact).map_err(failed)?) };
            hide_nodata(&mut valid, read.as_ref().unwrap_or(&samples), nodata);
        }
        for plane in samples.axis_iter(Axis(0)) {
            Zip::from(&mut valid).and(&plane).for_each(|valid, sample| *valid &= sample.is_finite());
        }
        Ok(Tile::try_new(window, samples, valid).expect("samples and mask are read at one size"))
    }

    fn read_samples(&self, request: &ReadRequest) -> Result<Array3<f32>, GdalError> {
        let bands = request.bands.bands();
        let mut samples = Array3::zeros((bands.len(), request.size.height, request.size.width));
        for (mut plane, band) in samples.axis_iter_mut(Axis(0)).zip(bands) {
            let slice = plane.as_slice_mut().expect("a plane of a fresh array is contiguous");
            let is_signed = self.info.bands[band.number() - 1].sample_type == SampleType::I8;
            // A mean over bytes with the sign left out would be that of other numbers.
            let resampling = if is_signed { Resampling::Nearest } else { request.resampling };
            read_into(&self.dataset.rasterband(band.number())?, request, resampling, slice)?;
            if is_signed {
                plane.mapv_inplace(|value| if value > 127.0 { value - 256.0 } else { value });
            }
        }
        Ok(samples)
    }

    /// Colours of a palette; indexes without a colour, or with a transparent one, become invalid.
    fn read_palette(
        &self,
        band: BandIndex,
        request: &ReadRequest,
        valid: &mut Array2<bool>,
    ) -> Result<Array3<f32>, GdalError> {
        let band = self.dataset.rasterband(band.number())?;
        let colors: Vec<[i16; 4]> = band.color_table().map_or_else(Vec::new, |table| {
            (0..table.entry_count())
                .map(|index| {
                    table.entry_as_rgb(index).map_or([0; 4], |entry| [entry.r, entry.g, entry.b, entry.a])
                })
                .collect()
        });
        let shape = (request.size.height, request.size.width);
        let mut indexes = Array2::<u16>::zeros(shape);
        let slice = indexes.as_slice_mut().expect("a fresh array is contiguous");
        read_into(&band, request, Resampling::Nearest, slice)?;
        let mut samples = Array3::zeros((3, shape.0, shape.1));
        for ((row, col), &index) in indexes.indexed_iter() {
            match colors.get(usize::from(index)) {
                Some(&[red, green, blue, alpha]) if alpha != 0 => {
                    for (plane, value) in [red, green, blue].into_iter().enumerate() {
                        samples[[plane, row, col]] = f32::from(value);
                    }
                }
                _ => valid[[row, col]] = false,
            }
        }
        Ok(samples)
    }

    /// GDAL's mask flags: an alpha or mask band counts for all bands; nodata hides a pixel if all bands hold it.
    fn read_valid(&self, request: &ReadRequest) -> Result<Array2<bool>, GdalError> {
        let shape = (request.size.height, request.size.width);
        let read_mask = |mask: &RasterBand<'_>| {
            let mut values = Array2::<u8>::zeros(shape);
            let slice = values.as_slice_mut().expect("a fresh array is contiguous");
            read_into(mask, request, Resampling::Nearest, slice)?;
            Ok::<_, GdalError>(values.mapv(|value| value > 0))
        };
        let mut data = Array2::from_elem(shape, false);
        let mut from_nodata = false;
        for index in request.bands.bands() {
            let band = self.dataset.rasterband(index.number())?;
            let flags = band.mask_flags()?;
            from_nodata |= flags.is_nodata();
            if flags.is_all_valid() {
                data.fill(true);
                break;
            }
            let mask = read_mask(&band.open_mask_band()?)?;
            Zip::from(&mut data).and(&mask).for_each(|data, &mask| *data |= mask);
            if flags.is_per_dataset() {
                break;
            }
        }
        // GDAL's mask forgets an alpha band where there is a nodata value too.
        let alpha = self.info.bands.iter().find(|band| from_nodata && band.role == ColorRole::Alpha);
        if let Some(alpha) = alpha {
            let mask = read_mask(&self.dataset.rasterband(alpha.index.number())?)?;
            Zip::from(&mut data).and(&mask).for_each(|data, &mask| *data &= mask);
        }
        Ok(data)
    }

    /// See [`super::Raster::to_wgs84`].
    pub(super) fn to_wgs84(&self, pixels: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
        self.reference.to_wgs84(pixels)
    }

    /// See [`super::Raster::is_absent`].
    pub(super) fn is_absent(&self, window: Window, bands: BandPlan) -> bool {
        Blocks::of(&self.dataset, bands).is_ok_and(|blocks| blocks.are_absent(window))
    }

    /// Makes the cache of blocks, which serves the whole process, hold what a row of tiles needs: tiles of one row share strips, those of
    /// the next row the blocks that reach down to them, and the bands of a tile its blocks. What cannot be read will be an error of the read.
    pub(super) fn fit_cache(&self, request: &ReadRequest) {
        let ReadRequest { window, size, bands, .. } = *request;
        if window.is_empty() || !window.is_inside(self.info.size) {
            return;
        }
        let Ok(blocks) = Blocks::of(&self.dataset, bands) else { return };
        let times = (window.width / size.width.max(1)).min(window.height / size.height.max(1));
        // Overviews halve, and the read takes the smallest that is no smaller than its result.
        let reduction = if self.info.has_overviews { 1 << times.max(1).ilog2() } else { 1 };
        let rows = blocks.rows(window, reduction);
        let span = Some((reduction, *rows.start(), *rows.end()));
        if self.cached.replace(span) != span {
            let bytes_per_pixel = self.cached_bytes_per_pixel(bands);
            cache::hold(blocks.bytes_of(rows, reduction, bytes_per_pixel, cache::MOST_BYTES));
        }
    }

    /// Bytes of a pixel in the cache: of all bands that are decoded together, and of their masks.
    fn cached_bytes_per_pixel(&self, bands: BandPlan) -> u64 {
        let is_together = is_pixel_interleaved(&self.dataset);
        let bands = bands.bands();
        let decoded = if is_together { self.info.bands.len() } else { bands.len() };
        let sample = self.dataset.rasterband(bands[0].number()).map_or(1, |band| sample::bytes_of(&band));
        decoded as u64 * sample + bands.len() as u64
    }
}

/// Version of the GDAL library, such as `3.6.2`.
pub fn library_version() -> String {
    gdal::version::VersionInfo::release_name()
}

/// The drivers of this GDAL library that rsmoe uses, and those it would use but that are not there.
pub fn driver_names() -> (Vec<&'static str>, Vec<&'static str>) {
    prepare();
    DRIVERS.iter().partition(|name| DriverManager::get_driver_by_name(name).is_ok())
}

/// Settles GDAL once for the process: quiet, no code from files, no network, only the drivers of the lists.
pub(crate) fn prepare() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        gdal::config::set_error_handler(|class, number, message| {
            tracing::debug!(?class, number, message, "GDAL");
        });
        let options = [
            ("GDAL_VRT_ENABLE_PYTHON", "NO".to_owned()),
            // The only address that GDAL's network file systems may open; nothing has it.
            ("CPL_VSIL_CURL_ALLOWED_FILENAME", "/vsicurl/none".to_owned()),
            ("GDAL_PAM_ENABLED", "YES".to_owned()),
        ];
        for (key, value) in options.into_iter().chain(cache::option()) {
            if let Err(error) = gdal::config::set_config_option(key, &value) {
                tracing::warn!(key, %error, "GDAL option not set");
            }
        }
        DriverManager::prevent_auto_registration();
        DriverManager::register_all();
        let is_used = |name: &str| DRIVERS.contains(&name) || WRITERS.contains(&name);
        let unused: Vec<_> = DriverManager::all().filter(|driver| !is_used(&driver.short_name())).collect();
        for driver in &unused {
            DriverManager::deregister_driver(driver);
        }
    });
}

/// When the imagery was taken, as the first item says that has a time.
fn acquired(dataset: &Dataset) -> Option<Acquisition> {
    let mut items = TIME_ITEMS.iter();
    items.find_map(|item| Acquisition::from_file(item, &dataset.metadata_item(item.name, item.domain)?))
}

/// Hides the pixels that hold this value in all bands.
#[expect(clippy::float_cmp, reason = "a stored value is what it is")]
fn hide_nodata(valid: &mut Array2<bool>, samples: &Array3<f32>, nodata: f64) {
    let mut holds = Array2::from_elem(valid.dim(), true);
    for plane in samples.axis_iter(Axis(0)) {
        Zip::from(&mut holds).and(&plane).for_each(|holds, &sample| *holds &= sample == nodata as f32);
    }
    Zip::from(valid).and(&holds).for_each(|valid, &holds| *valid &= !holds);
}

/// What the file says about itself.
fn tags(dataset: &Dataset) -> std::collections::BTreeMap<String, String> {
    let entries = dataset.metadata_domain("").unwrap_or_default();
    let pairs = entries.iter().take(MAX_TAGS).filter_map(|entry| entry.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Checks what would cost memory before anything is read; gives the size.
fn check(path: &Path, dataset: &Dataset) -> Result<Size, RasterError> {
    let (width, height) = dataset.raster_size();
    let size = Size { width, height };
    let count = dataset.raster_count();
    if count == 0 || size.is_empty() {
        let names = subdataset::names(dataset);
        let path = path.to_path_buf();
        return Err(if names.is_empty() {
            RasterError::NoBands { path }
        } else {
            RasterError::Subdatasets { path, names }
        });
    }
    limits::check_size(path, size)?;
    limits::check_sequential(path, &dataset.driver().short_name(), size)?;
    let damaged = |source: GdalError| RasterError::NotARaster {
        path: path.to_path_buf(),
        source: Box::new(Reason::of(source)),
    };
    let band = dataset.rasterband(1).map_err(damaged)?;
    let together = if is_pixel_interleaved(dataset) { count as u64 } else { 1 };
    let check_band = |band: &RasterBand<'_>| {
        let (width, height) = band.block_size();
        limits::check_block(path, Size { width, height }, sample::bytes_of(band), together)
    };
    check_band(&band)?;
    for index in 0..band.overview_count().map_err(damaged)? {
        check_band(&band.overview(index as usize).map_err(damaged)?)?;
    }
    Ok(size)
}

/// True if all bands of a block are decoded together.
fn is_pixel_interleaved(dataset: &Dataset) -> bool {
    dataset.metadata_item("INTERLEAVE", "IMAGE_STRUCTURE").is_some_and(|value| value == "PIXEL")
}

fn band_info(index: BandIndex, band: &RasterBand<'_>) -> BandInfo {
    let role = match band.color_interpretation() {
        ColorInterpretation::RedBand => ColorRole::Red,
        ColorInterpretation::GreenBand => ColorRole::Green,
        ColorInterpretation::BlueBand => ColorRole::Blue,
        ColorInterpretation::AlphaBand => ColorRole::Alpha,
        ColorInterpretation::GrayIndex => ColorRole::Gray,
        ColorInterpretation::PaletteIndex if band.color_table().is_some() => ColorRole::Palette,
        _ => ColorRole::Other,
    };
    let (scale, offset) = (band.scale().unwrap_or(1.0), band.offset().unwrap_or(0.0));
    let is_usable = scale.is_finite() && scale != 0.0 && offset.is_finite() && (scale, offset) != (1.0, 0.0);
    BandInfo {
        index,
        sample_type: sample::type_of(band),
        role,
        nodata: band.no_data_value(),
        calibration: is_usable.then_some(Calibration { scale, offset }),
        description: band.description().unwrap_or_default(),
    }
}

fn read_into<T: Copy + gdal::raster::GdalType>(
    band: &RasterBand<'_>,
    request: &ReadRequest,
    resampling: Resampling,
    slice: &mut [T],
) -> Result<(), GdalError> {
    let Window { col, row, width, height } = request.window;
    let algorithm = match resampling {
        Resampling::Bilinear => ResampleAlg::Bilinear,
        Resampling::Nearest => ResampleAlg::NearestNeighbour,
    };
    let origin = (isize::try_from(col)?, isize::try_from(row)?);
    band.read_into_slice(
        origin,
        (width, height),
        (request.size.width, request.size.height),
        slice,
        Some(algorithm),
    )
}

/// GDAL's own words without the binding's wrapping.
#[derive(Debug)]
struct Reason(String);

impl Reason {
    fn of(error: GdalError) -> Self {
        match error {
            GdalError::CplError { msg, .. } | GdalError::NullPointer { msg, .. }
                if !msg.trim().is_empty() =>
            {
                Self(msg.trim().to_owned())
            }
            other => Self(other.to_string()),
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}
