//! Small rasters, written when a test runs.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::path::{Path, PathBuf};

use gdal::raster::{Buffer, ColorInterpretation, GdalType, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, DriverManager};

/// A recipe for a GeoTIFF. Values come from a function of (band from 0, row, col).
pub(crate) struct Recipe<T> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) bands: usize,
    pub(crate) value: fn(usize, usize, usize) -> T,
    pub(crate) nodata: Option<f64>,
    pub(crate) epsg: Option<u32>,
    pub(crate) transform: Option<[f64; 6]>,
    pub(crate) roles: &'static [ColorInterpretation],
    pub(crate) options: &'static [&'static str],
}

impl<T: GdalType + Copy> Recipe<T> {
    /// North-up, 10 m pixels, UTM zone 32 north.
    pub(crate) fn new(
        width: usize,
        height: usize,
        bands: usize,
        value: fn(usize, usize, usize) -> T,
    ) -> Self {
        Self {
            width,
            height,
            bands,
            value,
            nodata: None,
            epsg: Some(32632),
            transform: Some([500_000.0, 10.0, 0.0, 5_400_000.0, 0.0, -10.0]),
            roles: &[],
            options: &[],
        }
    }

    /// Writes the file and gives it back opened.
    pub(crate) fn create(&self, path: &Path) -> Dataset {
        let options = self.options.iter().copied().collect::<RasterCreationOptions>();
        let mut dataset = DriverManager::get_driver_by_name("GTiff")
            .unwrap()
            .create_with_band_type_with_options::<T, _>(path, self.width, self.height, self.bands, &options)
            .unwrap();
        if let Some(transform) = &self.transform {
            dataset.set_geo_transform(transform).unwrap();
        }
        if let Some(epsg) = self.epsg {
            dataset.set_spatial_ref(&SpatialRef::from_epsg(epsg).unwrap()).unwrap();
        }
        for band in 0..self.bands {
            let mut raster_band = dataset.rasterband(band + 1).unwrap();
            if let Some(role) = self.roles.get(band) {
                raster_band
                    .set_color_interpretation(ColorInterpretation::from_name(&role.name()).unwrap())
                    .unwrap();
            }
            raster_band.set_no_data_value(self.nodata).unwrap();
            let pixels = (0..self.height).flat_map(|row| (0..self.width).map(move |col| (row, col)));
            let data: Vec<T> = pixels.map(|(row, col)| (self.value)(band, row, col)).collect();
            let size = (self.width, self.height);
            raster_band.write((0, 0), size, &mut Buffer::new(size, data)).unwrap();
        }
        dataset
    }

    /// Writes the file into a directory.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        drop(self.create(&path));
        path
    }
}
