//! What stored values mean: types, calibrations, presets of sensors, names of bands, rasters inside a file.
//!
//! All rasters are written by the tests.

#![allow(
    clippy::float_cmp,
    clippy::panic,
    clippy::unwrap_used,
    reason = "samples come back exactly; a test that cannot be set up fails"
)]

mod support;

use std::path::{Path, PathBuf};

use gdal::Metadata as _;
use gdal::raster::GdalType;
use rsmoe::geo::Window;
use rsmoe::raster::{BandIndex, BandName, Raster, RasterError, ReadRequest, Resampling, SampleType};
use rsmoe::vision::picture::{PictureOptions, Rendering, settle};
use rsmoe::vision::preset::{Preset, PresetMode};
use rsmoe::vision::radiometry::{Stretch, StretchMode};
use support::Recipe;

/// Ranges of a preset are computed in double precision and kept in single.
const ROUNDING: f32 = 1e-3;

fn render(path: &Path, options: &PictureOptions) -> Result<(Raster, Rendering), RasterError> {
    settle(Raster::open(path)?, options)
}

fn named(preset: Preset) -> PictureOptions {
    PictureOptions { preset: PresetMode::Named(preset), ..PictureOptions::default() }
}

fn bands(names: &[&str]) -> Vec<BandName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn numbers(rendering: &Rendering) -> Vec<usize> {
    rendering.bands.bands().into_iter().map(BandIndex::number).collect()
}

/// A scene of 8 x 6 pixels with described bands.
fn described<T: GdalType + Copy>(
    directory: &Path,
    name: &str,
    value: fn(usize, usize, usize) -> T,
    bands: &[&str],
) -> PathBuf {
    let path = directory.join(name);
    let dataset = Recipe::new(8, 6, bands.len(), value).create(&path);
    for (number, description) in (1..).zip(bands) {
        dataset.rasterband(number).unwrap().set_description(description).unwrap();
    }
    path
}

fn assert_range(stretch: &Stretch, expected: [f32; 2]) {
    let Stretch::Linear(ranges) = stretch else { panic!("{stretch:?}") };
    for range in ranges {
        assert!(
            (range[0] - expected[0]).abs() < ROUNDING && (range[1] - expected[1]).abs() < ROUNDING,
            "{range:?}"
        );
    }
}

const SENTINEL2_BANDS: [&str; 6] = ["B02", "B03", "B04", "B08", "B8A", "B11"];

#[test]
fn values_of_every_type_are_read_as_they_are() {
    fn samples<T: GdalType + Copy>(
        directory: &Path,
        value: fn(usize, usize, usize) -> T,
    ) -> (SampleType, Vec<f32>) {
        let raster = Raster::open(&Recipe::new(3, 1, 1, value).write(directory, "a.tif")).unwrap();
        let (raster, rendering) = settle(raster, &PictureOptions::default()).unwrap();
        let window = Window::whole(raster.info().size);
        let request = ReadRequest {
            window,
            size: window.size(),
            bands: rendering.bands,
            resampling: Resampling::Bilinear,
        };
        let tile = raster.read_window(&request).unwrap();
        (raster.info().bands[0].sample_type, tile.samples().iter().copied().collect())
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    assert_eq!(samples(at, |_, _, col| col as u8), (SampleType::U8, vec![0.0, 1.0, 2.0]));
    assert_eq!(
        samples(at, |_, _, col| 65533 + col as u16),
        (SampleType::Integer, vec![65533.0, 65534.0, 65535.0])
    );
    assert_eq!(samples(at, |_, _, col| col as i16 - 1), (SampleType::Integer, vec![-1.0, 0.0, 1.0]));
    assert_eq!(
        samples(at, |_, _, col| col as i32 - 70000),
        (SampleType::Integer, vec![-70000.0, -69999.0, -69998.0])
    );
    assert_eq!(
        samples(at, |_, _, col| 3_000_000 + col as u32),
        (SampleType::Integer, vec![3e6, 3_000_001.0, 3_000_002.0])
    );
    assert_eq!(samples(at, |_, _, col| col as u64 + (1 << 40)).0, SampleType::Integer);
    assert_eq!(samples(at, |_, _, col| -(col as i64)), (SampleType::Integer, vec![0.0, -1.0, -2.0]));
    assert_eq!(samples(at, |_, _, col| col as f32 / 2.0), (SampleType::Float, vec![0.0, 0.5, 1.0]));
    assert_eq!(samples(at, |_, _, col| col as f64 * 1e-3), (SampleType::Float, vec![0.0, 0.001, 0.002]));
}

#[test]
fn signed_bytes_have_a_sign() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(4, 1, 1, |_, _, col| [0_u8, 127, 128, 255][col]);
    recipe.options = &["PIXELTYPE=SIGNEDBYTE"];
    let raster = Raster::open(&recipe.write(directory.path(), "a.tif")).unwrap();
    if raster.info().bands[0].sample_type != SampleType::I8 {
        // From GDAL 3.7 on, the option is gone, and with it this way to write them.
        return;
    }
    let (raster, rendering) = settle(raster, &PictureOptions::default()).unwrap();
    let window = Window::whole(raster.info().size);
    let request =
        ReadRequest { window, size: window.size(), bands: rendering.bands, resampling: Resampling::Bilinear };
    let tile = raster.read_window(&request).unwrap();
    assert_eq!(tile.samples().iter().copied().collect::<Vec<_>>(), [0.0, 127.0, -128.0, -1.0]);
    assert_ne!(rendering.stretch, Stretch::None, "they are no display values");
}

#[test]
fn complex_samples_are_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("radar.vrt");
    let band = "<VRTRasterBand dataType=\"CFloat32\" band=\"1\"></VRTRasterBand>";
    std::fs::write(&path, format!("<VRTDataset rasterXSize=\"4\" rasterYSize=\"3\">{band}</VRTDataset>"))
        .unwrap();
    let error = render(&path, &PictureOptions::default()).unwrap_err();
    assert!(matches!(error, RasterError::ComplexSamples { .. }), "{error}");
    assert!(error.hint().unwrap().contains("magnitude"));
}

#[test]
fn three_hundred_bands_need_a_choice_and_then_work() {
    let directory = tempfile::tempdir().unwrap();
    let path =
        Recipe::new(4, 3, 300, |band, _, col| (band * 10 + col) as u16).write(directory.path(), "a.tif");
    assert!(matches!(render(&path, &PictureOptions::default()), Err(RasterError::BandChoice { .. })));
    let options = PictureOptions { bands: Some(bands(&["300", "150", "1"])), ..PictureOptions::default() };
    assert_eq!(numbers(&render(&path, &options).unwrap().1), [300, 150, 1]);
}

#[test]
fn a_range_is_meant_in_what_the_bands_measure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tif");
    let dataset = Recipe::new(4, 3, 3, |_, _, _| 5_u16).create(&path);
    for (number, (scale, offset)) in (1..).zip([(0.1, 0.0), (0.1, 0.0), (-0.5, 100.0)]) {
        let mut band = dataset.rasterband(number).unwrap();
        band.set_scale(scale).unwrap();
        band.set_offset(offset).unwrap();
    }
    drop(dataset);
    let options =
        PictureOptions { stretch: StretchMode::Range { min: 0.0, max: 50.0 }, ..PictureOptions::default() };
    let (_, rendering) = render(&path, &options).unwrap();
    // The third band falls as its stored values rise.
    assert_eq!(rendering.stretch, Stretch::Linear(vec![[0.0, 500.0], [0.0, 500.0], [200.0, 100.0]]));
}

#[test]
fn a_sentinel2_scene_is_recognised_and_its_offset_found_where_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let value = |_: usize, _: usize, col: usize| 1000 + col as u16;
    // The processing baseline in the name: before 04.00, and from then on.
    for (baseline, range) in
        [("N0301", [0.0, 3000.0]), ("N0400", [1000.0, 4000.0]), ("N0509", [1000.0, 4000.0])]
    {
        let name = format!("S2B_MSIL2A_20220125T101239_{baseline}_R022_T32TQM_20220125T123456.tif");
        let path = described(directory.path(), &name, value, &SENTINEL2_BANDS);
        let (_, rendering) = render(&path, &PictureOptions::default()).unwrap();
        assert_eq!(numbers(&rendering), [3, 2, 1]);
        assert_range(&rendering.stretch, range);
        let rule = rendering.rule.unwrap();
        assert_eq!((rule.preset, rule.nodata, rule.warning), (Preset::Sentinel2, Some(0.0), None));
        assert!(
            rule.reason.contains("the name S2B_MSIL2A") && rule.reason.contains("baseline"),
            "{}",
            rule.reason
        );
    }
    // The product's own metadata, some directories above, goes before the name.
    let product = directory.path().join("S2A_MSIL1C_20210101T101239_N0300_R022_T32TQM_20210101T123456.SAFE");
    let inside = product.join("GRANULE/L1C/IMG_DATA");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(
        product.join("MTD_MSIL1C.xml"),
        "<QUANTIFICATION_VALUE unit=\"none\">10000</QUANTIFICATION_VALUE><RADIO_ADD_OFFSET band_id=\"0\">-1000</RADIO_ADD_OFFSET>",
    )
    .unwrap();
    let path = described(&inside, "T32TQM_20210101T101239_B04.tif", value, &[""]);
    let (_, rendering) = render(&path, &PictureOptions::default()).unwrap();
    assert_range(&rendering.stretch, [1000.0, 4000.0]);
    assert!(rendering.rule.unwrap().reason.contains("MTD_MSIL1C.xml"));
    // Clouds and classes of the same product are no reflectance.
    let path = described(&inside, "T32TQM_20210101T101239_SCL.tif", value, &[""]);
    assert_eq!(render(&path, &PictureOptions::default()).unwrap().1.rule, None);
}

#[test]
fn an_unknown_baseline_is_asked_for_and_a_named_offset_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = described(directory.path(), "scene.tif", |_, _, col| 1000 + col as u16, &SENTINEL2_BANDS);
    let (_, rendering) = render(&path, &PictureOptions::default()).unwrap();
    let rule = rendering.rule.unwrap();
    assert!(rule.reason.contains("a band B8A") && rule.warning.unwrap().contains("--s2-offset"));
    assert_range(&rendering.stretch, [0.0, 3000.0]);
    let options = PictureOptions { sentinel2_offset: Some(-1000.0), ..PictureOptions::default() };
    let (_, rendering) = render(&path, &options).unwrap();
    assert_range(&rendering.stretch, [1000.0, 4000.0]);
    assert_eq!(rendering.rule.unwrap().warning, None);
    let options = PictureOptions { preset: PresetMode::None, ..PictureOptions::default() };
    assert!(
        matches!(render(&path, &options), Err(RasterError::BandChoice { .. })),
        "six bands, and nobody's"
    );
}

#[test]
fn scale_and_offset_of_the_file_go_before_what_is_known_of_the_sensor() {
    let directory = tempfile::tempdir().unwrap();
    let name = "S2B_MSIL2A_20220125T101239_N0400_R022_T32TQM_20220125T123456.tif";
    let path = directory.path().join(name);
    let dataset = Recipe::new(8, 6, 3, |_, _, _| 2000_u16).create(&path);
    for number in 1..=3 {
        dataset.rasterband(number).unwrap().set_scale(0.0001).unwrap();
        dataset.rasterband(number).unwrap().set_offset(-0.1).unwrap();
    }
    drop(dataset);
    let (_, rendering) = render(&path, &PictureOptions::default()).unwrap();
    assert_range(&rendering.stretch, [1000.0, 4000.0]);
    assert!(rendering.rule.unwrap().reason.contains("as the file says"));
}

#[test]
fn landsat_bands_are_numbered_by_the_sensor() {
    let directory = tempfile::tempdir().unwrap();
    let value = |_: usize, _: usize, _: usize| 9000_u16;
    let newer = ["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7"];
    let older = ["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"];
    for (bands, expected) in [(&newer[..], [4, 3, 2]), (&older[..], [3, 2, 1])] {
        let path = described(directory.path(), "a.tif", value, bands);
        let (_, rendering) = render(&path, &PictureOptions::default()).unwrap();
        assert_eq!(numbers(&rendering), expected);
        // Reflectance 0 and 0.3: (0 + 0.2) / 0.0000275 and (0.3 + 0.2) / 0.0000275.
        assert_range(&rendering.stretch, [7_272.727_3, 18_181.818]);
        assert_eq!(rendering.rule.unwrap().preset, Preset::LandsatC2);
    }
    let stack = Recipe::new(4, 3, 7, |_, _, _| 9000_u16)
        .write(directory.path(), "LC08_L2SP_191027_20200801_20200914_02_T1_stack.tif");
    assert_eq!(numbers(&render(&stack, &PictureOptions::default()).unwrap().1), [4, 3, 2]);
}

#[test]
fn display_values_stay_as_they_are_and_other_types_do_not_pass_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let naip = Recipe::new(4, 3, 4, |band, _, _| band as u8)
        .write(directory.path(), "m_4609963_ne_14_060_20190719.tif");
    let (_, rendering) = render(&naip, &PictureOptions::default()).unwrap();
    assert_eq!((rendering.rule.as_ref().unwrap().preset, numbers(&rendering)), (Preset::Naip, vec![1, 2, 3]));
    assert_eq!(rendering.stretch, Stretch::None);
    let words = Recipe::new(4, 3, 3, |_, _, _| 9_u16).write(directory.path(), "a.tif");
    let error = render(&words, &named(Preset::Rgb8)).unwrap_err();
    assert!(matches!(error, RasterError::PresetMismatch { .. }) && error.hint().is_some(), "{error}");
    assert!(render(&naip, &named(Preset::Rgb8)).is_ok());
}

#[test]
fn what_is_named_goes_before_what_a_preset_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = described(directory.path(), "scene.tif", |_, _, col| 1000 + col as u16, &SENTINEL2_BANDS);
    let options = PictureOptions {
        bands: Some(bands(&["b8", "b4", "b3"])),
        stretch: StretchMode::Range { min: 1.0, max: 9.0 },
        ..PictureOptions::default()
    };
    let (_, rendering) = render(&path, &options).unwrap();
    assert_eq!(numbers(&rendering), [4, 3, 2]);
    assert_eq!(rendering.stretch, Stretch::Linear(vec![[1.0, 9.0]]));
}

#[test]
fn a_named_nodata_value_hides_pixels_that_hold_it_in_all_bands() {
    let directory = tempfile::tempdir().unwrap();
    let value =
        |band: usize, _: usize, col: usize| if col < 2 || (band == 0 && col == 3) { 0_u16 } else { 700 };
    let path = Recipe::new(8, 6, 3, value).write(directory.path(), "a.tif");
    let options = PictureOptions { nodata: Some(0.0), ..PictureOptions::default() };
    let (raster, rendering) = render(&path, &options).unwrap();
    let window = Window::whole(raster.info().size);
    for size in [window.size(), rsmoe::geo::Size { width: 4, height: 3 }] {
        let request = ReadRequest { window, size, bands: rendering.bands, resampling: Resampling::Bilinear };
        assert_eq!(raster.read_window(&request).unwrap().valid_fraction(), 0.75);
    }
}

#[test]
fn a_recorded_stretch_fits_the_bands_that_it_was_made_for() {
    let directory = tempfile::tempdir().unwrap();
    let three = Recipe::new(4, 3, 3, |_, _, _| 9_u16).write(directory.path(), "three.tif");
    let one = Recipe::new(4, 3, 1, |_, _, _| 9_u16).write(directory.path(), "one.tif");
    let recorded = Stretch::Linear(vec![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    let options =
        PictureOptions { stretch: StretchMode::Recorded(recorded.clone()), ..PictureOptions::default() };
    assert_eq!(render(&three, &options).unwrap().1.stretch, recorded);
    let error = render(&one, &options).unwrap_err();
    assert!(matches!(error, RasterError::StretchBands { found: 3, expected: 1, .. }), "{error}");
}

#[test]
fn rasters_inside_a_file_are_named_and_opened_by_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = Recipe::new(4, 3, 1, |_, _, _| 1_u8).write(directory.path(), "a.tif");
    let mut second = Recipe::new(6, 5, 1, |_, _, _| 2_u8);
    second.options = &["APPEND_SUBDATASET=YES"];
    drop(second.create(&path));
    let first = Raster::open(&path).unwrap();
    let names = first.info().subdatasets.clone();
    assert_eq!((first.info().size.width, names.len()), (4, 2));
    let second = Raster::open(Path::new(&names[1])).unwrap();
    assert_eq!((second.info().size.width, second.file()), (6, path.as_path()));
    assert!(second.info().subdatasets.len() <= 2);
    let gone = names[1].replace("a.tif", "b.tif");
    assert!(matches!(Raster::open(Path::new(&gone)), Err(RasterError::Unreadable { .. })));
}
