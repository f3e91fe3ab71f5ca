//! Rasters of every kind through the public interface.
//!
//! All rasters are written by the tests; none is square, so that axes cannot be mistaken for each other.

#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "samples come back exactly; a test that cannot be set up fails"
)]

mod support;

use std::path::Path;

use gdal::raster::ColorInterpretation;
use rsmoe::geo::{Size, Window};
use rsmoe::image::Tile;
use rsmoe::raster::{
    BandIndex, BandName, BandPlan, Georeference, Raster, RasterError, ReadRequest, Resampling, SampleType,
};
use rsmoe::vision::picture::{self, PictureOptions};
use rsmoe::vision::radiometry::{Stretch, StretchMode};
use support::Recipe;
use tempfile::TempDir;

fn ramp(band: usize, row: usize, col: usize) -> u16 {
    (1000 * (band + 1) + 10 * row + col) as u16
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn read(raster: &Raster, window: Window, size: Size) -> Tile {
    let bands = BandPlan::choose(raster.info(), None).unwrap();
    raster.read_window(&ReadRequest { window, size, bands, resampling: Resampling::Bilinear }).unwrap()
}

fn read_whole(path: &Path) -> Tile {
    let raster = Raster::open(path).unwrap();
    read(&raster, Window::whole(raster.info().size), raster.info().size)
}

#[test]
fn a_window_holds_the_samples_of_its_columns_and_rows() {
    let directory = directory();
    let path = Recipe::new(40, 30, 3, ramp).write(directory.path(), "a.tif");
    let raster = Raster::open(&path).unwrap();
    let window = Window { col: 20, row: 5, width: 7, height: 4 };
    let tile = read(&raster, window, window.size());
    assert_eq!(tile.samples().dim(), (3, 4, 7));
    for ((band, row, col), &sample) in tile.samples().indexed_iter() {
        assert_eq!(sample, f32::from(ramp(band, row + 5, col + 20)));
    }
    assert_eq!(tile.valid_fraction(), 1.0);
}

#[test]
fn reading_resamples_straight_to_the_size_asked_for() {
    let directory = directory();
    let path = Recipe::new(64, 32, 1, |_, _, col| if col < 32 { 0.0_f32 } else { 8.0 })
        .write(directory.path(), "a.tif");
    let raster = Raster::open(&path).unwrap();
    let tile = read(&raster, Window::whole(raster.info().size), Size { width: 8, height: 2 });
    assert_eq!(tile.samples().dim(), (1, 2, 8));
    assert_eq!((tile.samples()[[0, 1, 0]], tile.samples()[[0, 1, 7]]), (0.0, 8.0));
}

#[test]
fn every_real_type_is_read() {
    macro_rules! check {
        ($($real:ty),*) => {$({
            let directory = directory();
            let path = Recipe::<$real>::new(5, 3, 1, |_, row, col| (10 * row + col) as $real).write(directory.path(), "a.tif");
            let tile = read_whole(&path);
            assert_eq!(tile.samples()[[0, 2, 4]], 24.0, stringify!($real));
        })*};
    }
    check!(u8, u16, i16, u32, i32, f32, f64);
}

#[test]
fn half_floats_are_read() {
    let directory = directory();
    // Values that 16 bits hold exactly, down to a subnormal.
    let value = |_: usize, row: usize, col: usize| match (row, col) {
        (2, 4) => 65_504.0_f32,
        (0, 0) => 5.960_464_5e-8,
        _ => row as f32 + col as f32 * 0.25 - 2.0,
    };
    let mut recipe = Recipe::new(5, 3, 1, value);
    recipe.options = &["NBITS=16"];
    let path = recipe.write(directory.path(), "a.tif");
    assert_eq!(Raster::open(&path).unwrap().info().bands[0].sample_type, SampleType::Float);
    for ((_, row, col), &sample) in read_whole(&path).samples().indexed_iter() {
        assert_eq!(sample, value(0, row, col));
    }
}

#[test]
fn nodata_hides_a_pixel_only_where_all_bands_hold_it() {
    let directory = directory();
    let mut recipe =
        Recipe::new(4, 3, 3, |band, _, col| if col == 0 || (col == 1 && band == 0) { 0_u8 } else { 9 });
    recipe.nodata = Some(0.0);
    let tile = read_whole(&recipe.write(directory.path(), "a.tif"));
    let row: Vec<bool> = tile.valid().row(1).to_vec();
    assert_eq!(row, [false, true, true, true]);
}

#[test]
fn alpha_hides_pixels_also_beside_a_nodata_value() {
    let directory = directory();
    for nodata in [None, Some(7.0)] {
        let mut recipe =
            Recipe::new(4, 3, 4, |band, _, col| if band == 3 { 255 * u8::from(col > 1) } else { 50 });
        recipe.roles = &[
            ColorInterpretation::RedBand,
            ColorInterpretation::GreenBand,
            ColorInterpretation::BlueBand,
            ColorInterpretation::AlphaBand,
        ];
        recipe.nodata = nodata;
        let tile = read_whole(&recipe.write(directory.path(), "a.tif"));
        assert_eq!(tile.samples().dim().0, 3);
        assert_eq!(tile.valid().row(2).to_vec(), [false, false, true, true], "nodata {nodata:?}");
    }
}

#[test]
fn a_mask_band_hides_pixels() {
    let directory = directory();
    let path = directory.path().join("a.tif");
    let dataset = Recipe::new(4, 3, 3, |_, _, _| 9_u8).create(&path);
    {
        let mut band = dataset.rasterband(1).unwrap();
        band.create_mask_band(true).unwrap();
        let mut mask = band.open_mask_band().unwrap();
        let values = (0..12).map(|pixel| if pixel % 4 == 3 { 0_u8 } else { 255 }).collect();
        mask.write((0, 0), (4, 3), &mut gdal::raster::Buffer::new((4, 3), values)).unwrap();
    }
    drop(dataset);
    assert_eq!(read_whole(&path).valid().row(0).to_vec(), [true, true, true, false]);
}

#[test]
fn not_a_number_is_never_valid() {
    let directory = directory();
    let recipe = Recipe::new(4, 3, 1, |_, row, col| if (row, col) == (1, 2) { f32::NAN } else { 0.5 });
    let tile = read_whole(&recipe.write(directory.path(), "a.tif"));
    assert!(!tile.valid()[[1, 2]]);
    assert_eq!(tile.valid().iter().filter(|&&valid| !valid).count(), 1);
}

#[test]
fn a_palette_is_read_as_its_colours() {
    use gdal::raster::{ColorEntry, ColorTable, PaletteInterpretation};
    let directory = directory();
    let path = directory.path().join("a.tif");
    let dataset = Recipe::new(4, 3, 1, |_, row, _| row as u8).create(&path);
    let mut colors = ColorTable::new(PaletteInterpretation::Rgba);
    colors.set_color_entry(0, &ColorEntry::rgba(10, 20, 30, 255));
    colors.set_color_entry(1, &ColorEntry::rgba(200, 100, 50, 255));
    dataset.rasterband(1).unwrap().set_color_table(&colors);
    drop(dataset);
    let raster = Raster::open(&path).unwrap();
    let bands = BandPlan::choose(raster.info(), None).unwrap();
    assert!(matches!(bands, BandPlan::Palette(_)) && bands.is_display_range(raster.info()));
    let tile = read_whole(&path);
    assert_eq!(tile.samples().slice(ndarray::s![.., 0, 3]).to_vec(), [10.0, 20.0, 30.0]);
    assert_eq!(tile.samples().slice(ndarray::s![.., 1, 0]).to_vec(), [200.0, 100.0, 50.0]);
}

#[test]
fn bands_can_be_named_in_any_order() {
    let directory = directory();
    let path = Recipe::new(4, 3, 5, ramp).write(directory.path(), "a.tif");
    let raster = Raster::open(&path).unwrap();
    assert!(matches!(BandPlan::choose(raster.info(), None), Err(RasterError::BandChoice { .. })));
    let numbers: Vec<_> = [5, 3, 1].into_iter().filter_map(BandIndex::new).map(BandName::Index).collect();
    let bands = BandPlan::choose(raster.info(), Some(&numbers)).unwrap();
    let window = Window::whole(raster.info().size);
    let tile = raster
        .read_window(&ReadRequest { window, size: window.size(), bands, resampling: Resampling::Bilinear })
        .unwrap();
    assert_eq!(tile.samples().slice(ndarray::s![.., 0, 0]).to_vec(), [5000.0, 3000.0, 1000.0]);
}

#[test]
fn windows_outside_the_raster_and_empty_ones_are_refused() {
    let directory = directory();
    let path = Recipe::new(4, 3, 1, ramp).write(directory.path(), "a.tif");
    let raster = Raster::open(&path).unwrap();
    let bands = BandPlan::choose(raster.info(), None).unwrap();
    for (col, width) in [(0, 0), (2, 3), (usize::MAX, 1)] {
        let window = Window { col, row: 0, width, height: 1 };
        let request = ReadRequest {
            window,
            size: Size { width: 2, height: 2 },
            bands,
            resampling: Resampling::Nearest,
        };
        assert!(matches!(raster.read_window(&request), Err(RasterError::WindowOutside { .. })));
    }
}

#[test]
fn north_up_south_up_and_rotated_footprints_lie_where_proj_puts_them() {
    let directory = directory();
    let window = Window { col: 10, row: 5, width: 20, height: 10 };
    let (sin, cos) = 30_f64.to_radians().sin_cos();
    let transforms = [
        [500_000.0, 10.0, 0.0, 5_400_000.0, 0.0, -10.0],
        [500_000.0, 10.0, 0.0, 5_400_000.0, 0.0, 10.0],
        [500_000.0, 10.0 * cos, 10.0 * sin, 5_400_000.0, 10.0 * sin, -10.0 * cos],
    ];
    for transform in transforms {
        let mut recipe = Recipe::new(40, 30, 1, ramp);
        recipe.transform = Some(transform);
        let raster = Raster::open(&recipe.write(directory.path(), "a.tif")).unwrap();
        let footprint = raster.footprint(window).unwrap();
        let ring = &footprint.rings()[0];
        let area: f64 =
            ring.windows(2).map(|pair| pair[0].0 * pair[1].1 - pair[1].0 * pair[0].1).sum::<f64>() / 2.0;
        assert!(area > 0.0, "counter-clockwise");
        let to_utm = {
            use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};
            let mut wgs84 = SpatialRef::from_epsg(4326).unwrap();
            wgs84.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
            let mut utm = SpatialRef::from_epsg(32632).unwrap();
            utm.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
            CoordTransform::new(&wgs84, &utm).unwrap()
        };
        let (mut x, mut y): (Vec<f64>, Vec<f64>) = ring.iter().copied().unzip();
        to_utm.transform_coords(&mut x, &mut y, &mut []).unwrap();
        for (col, row) in [(10.0, 5.0), (30.0, 5.0), (30.0, 15.0), (10.0, 15.0)] {
            let corner_x = transform[0] + col * transform[1] + row * transform[2];
            let corner_y = transform[3] + col * transform[4] + row * transform[5];
            let nearest = x
                .iter()
                .zip(&y)
                .map(|(x, y)| (x - corner_x).hypot(y - corner_y))
                .fold(f64::INFINITY, f64::min);
            assert!(nearest < 0.02, "corner {col} {row} is {nearest} m away");
        }
        let metres = raster.ground_sample_distance_m(window).unwrap();
        // The scale of UTM on its central meridian is 0.9996.
        assert!((metres - 10.0 / 0.9996).abs() < 0.01, "{metres}");
    }
}

#[test]
fn degrees_become_metres_at_their_latitude() {
    let directory = directory();
    let mut recipe = Recipe::new(40, 30, 1, ramp);
    recipe.epsg = Some(4326);
    recipe.transform = Some([10.0, 0.001, 0.0, 60.015, 0.0, -0.001]);
    let raster = Raster::open(&recipe.write(directory.path(), "a.tif")).unwrap();
    let metres = raster.ground_sample_distance_m(Window::whole(raster.info().size)).unwrap();
    assert!((metres - (55.8_f64 * 111.41).sqrt()).abs() < 0.1, "{metres}");
}

/// A scene of 96 x 72 pixels with control points alone.
fn with_control_points(directory: &Path, columns: usize, rows: usize, bend: f64) -> Raster {
    let path = directory.join("a.tif");
    let mut recipe = Recipe::new(96, 72, 1, ramp);
    (recipe.epsg, recipe.transform) = (None, None);
    let dataset = recipe.create(&path);
    let places = (0..columns).flat_map(|col| (0..rows).map(move |row| (col, row)));
    let points = places.map(|(col, row)| {
        let share = |index: usize, count: usize| index as f64 / (count - 1) as f64;
        let (x, y) = (share(col, columns), share(row, rows));
        gdal::Gcp {
            id: String::new(),
            info: String::new(),
            pixel: x * 96.0,
            line: y * 72.0,
            x: 8.0 + x + 0.2 * y + bend * x * x,
            y: 50.0 - y + 0.15 * x - bend * y.sin(),
            z: 0.0,
        }
    });
    let mut wgs84 = gdal::spatial_ref::SpatialRef::from_epsg(4326).unwrap();
    wgs84.set_axis_mapping_strategy(gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder);
    dataset.set_gcps(points.collect(), &wgs84).unwrap();
    drop(dataset);
    Raster::open(&path).unwrap()
}

#[test]
fn control_points_give_an_approximate_place() {
    let directory = directory();
    let corners = [(0.0, 0.0), (96.0, 72.0), (48.0, 36.0)];
    // Four points, or points in two rows, make a plane; more make a curve. Reference: rasterio's GCPTransformer.
    let plane = [(8.0, 50.0), (9.2, 49.15), (8.6, 49.575)];
    let curve = [(8.0, 50.000_160_27), (9.3, 49.065_692_63), (8.625, 49.527_071_19)];
    for (columns, rows, bend, expected) in [(2, 2, 0.0, plane), (5, 2, 0.0, plane), (5, 4, 0.1, curve)] {
        let raster = with_control_points(directory.path(), columns, rows, bend);
        assert_eq!(raster.info().georeference, Georeference::ControlPoints);
        assert_eq!(raster.info().crs.as_deref(), Some("EPSG:4326"));
        for (found, expected) in raster.to_wgs84(&corners).unwrap().into_iter().zip(expected) {
            let away = (found.0 - expected.0).abs().max((found.1 - expected.1).abs());
            assert!(away < 1e-7, "{columns} by {rows}: {found:?}, expected {expected:?}");
        }
        assert!(raster.footprint(Window { col: 0, row: 0, width: 96, height: 72 }).is_some());
    }
}

#[test]
fn the_rational_polynomials_of_a_camera_give_an_approximate_place() {
    use gdal::Metadata as _;
    let directory = directory();
    let path = directory.path().join("a.tif");
    let mut recipe = Recipe::new(96, 72, 1, ramp);
    (recipe.epsg, recipe.transform) = (None, None);
    let mut dataset = recipe.create(&path);
    let zeros = |count: usize| " 0".repeat(count);
    let items = [
        ("HEIGHT_OFF", "1500".to_owned()),
        ("HEIGHT_SCALE", "500".to_owned()),
        ("LAT_OFF", "46.5".to_owned()),
        ("LAT_SCALE", "0.01".to_owned()),
        ("LONG_OFF", "10".to_owned()),
        ("LONG_SCALE", "0.02".to_owned()),
        ("LINE_OFF", "36".to_owned()),
        ("LINE_SCALE", "36".to_owned()),
        ("SAMP_OFF", "48".to_owned()),
        ("SAMP_SCALE", "48".to_owned()),
        ("LINE_NUM_COEFF", format!("0.001 0.05 -1.02 0.12 0.002 -0.001 0.0005 0.001 0.003{}", zeros(11))),
        ("LINE_DEN_COEFF", format!("1 0.0004 -0.0003 0.0002{}", zeros(16))),
        ("SAMP_NUM_COEFF", format!("-0.002 0.98 0.04 -0.15 0.001 0.0005 -0.0004 0.002 -0.001{}", zeros(11))),
        ("SAMP_DEN_COEFF", format!("1 -0.0002 0.0003 0.0001{}", zeros(16))),
    ];
    for (name, value) in &items {
        dataset.set_metadata_item(name, value, "RPC").unwrap();
    }
    drop(dataset);
    let raster = Raster::open(&path).unwrap();
    assert_eq!(raster.info().georeference, Georeference::RationalPolynomials);
    // Reference: rasterio's RPCTransformer at the mean height, 1,500 m.
    let expected =
        [(9.978_631_67, 46.509_436_69), (10.020_963_98, 46.490_865_73), (9.999_816_69, 46.500_141_48)];
    let found = raster.to_wgs84(&[(0.0, 0.0), (96.0, 72.0), (48.0, 36.0)]).unwrap();
    for (found, expected) in found.into_iter().zip(expected) {
        // A pixel is 0.0004 degrees wide; the iteration ends at a thousandth of it.
        let away = (found.0 - expected.0).abs().max((found.1 - expected.1).abs());
        assert!(away < 1e-6, "{found:?}, expected {expected:?}");
    }
}

#[test]
fn without_a_crs_or_with_an_absurd_transform_there_is_no_place() {
    let directory = directory();
    let mut nowhere = Recipe::new(40, 30, 1, ramp);
    nowhere.epsg = None;
    let mut absurd = Recipe::new(40, 30, 1, ramp);
    absurd.transform = Some([1e20, 1e15, 0.0, 1e20, 0.0, -1e15]);
    let mut flat = Recipe::new(40, 30, 1, ramp);
    flat.transform = Some([5.0e5, 10.0, 0.0, 5.4e6, 0.0, 0.0]);
    for (index, recipe) in [nowhere, absurd, flat].into_iter().enumerate() {
        let raster = Raster::open(&recipe.write(directory.path(), "a.tif")).unwrap();
        assert!(matches!(raster.info().georeference, Georeference::Missing { .. }), "recipe {index}");
        assert_eq!(raster.footprint(Window { col: 0, row: 0, width: 4, height: 3 }), None);
        assert_eq!(raster.ground_sample_distance_m(Window { col: 0, row: 0, width: 4, height: 3 }), None);
    }
}

#[test]
fn what_is_not_a_raster_is_refused_by_name() {
    let directory = directory();
    let text = directory.path().join("notes.tif");
    std::fs::write(&text, "these are notes").unwrap();
    let empty = directory.path().join("empty.tif");
    std::fs::write(&empty, "").unwrap();
    assert!(matches!(Raster::open(&text), Err(RasterError::NotARaster { path, .. }) if path == text));
    assert!(matches!(Raster::open(&empty), Err(RasterError::NotARaster { .. })));
    assert!(matches!(Raster::open(directory.path()), Err(RasterError::NotAFile { .. })));
    assert!(matches!(Raster::open(&directory.path().join("none.tif")), Err(RasterError::Unreadable { .. })));
    assert!(matches!(
        Raster::open(Path::new("/vsicurl/http://127.0.0.1:9/x.tif")),
        Err(RasterError::Unreadable { .. })
    ));
}

#[test]
fn a_nested_virtual_raster_does_not_reach_the_network_either() {
    let directory = directory();
    let source = |name: &str| {
        format!(
            "<VRTDataset rasterXSize=\"2\" rasterYSize=\"2\"><VRTRasterBand dataType=\"Byte\" band=\"1\"><SimpleSource>\
             <SourceFilename relativeToVRT=\"0\">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>\
             </VRTRasterBand></VRTDataset>"
        )
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let inner = directory.path().join("inner.vrt");
    std::fs::write(&inner, source(&format!("/vsicurl/http://127.0.0.1:{port}/x.tif"))).unwrap();
    let outer = directory.path().join("outer.vrt");
    std::fs::write(&outer, source(&inner.display().to_string())).unwrap();
    let result = picture::read(&outer, Size { width: 2, height: 2 }, &PictureOptions::default());
    assert!(matches!(result, Err(RasterError::Read { .. } | RasterError::NotARaster { .. })), "{result:?}");
    assert!(listener.accept().is_err(), "nobody called");
}

#[test]
fn a_block_that_would_not_fit_is_refused_before_it_is_read() {
    let directory = directory();
    let path = directory.path().join("a.tif");
    let options = ["TILED=YES", "BLOCKXSIZE=32768", "BLOCKYSIZE=32768", "SPARSE_OK=TRUE", "COMPRESS=DEFLATE"];
    gdal::DriverManager::get_driver_by_name("GTiff")
        .unwrap()
        .create_with_band_type_with_options::<u8, _>(&path, 1, 1, 1, &options.into_iter().collect())
        .unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 1000, "a small file that asks for a gigabyte");
    assert!(matches!(Raster::open(&path), Err(RasterError::BlockTooLarge { .. })));
}

#[test]
fn sixteen_bits_are_stretched_once_from_valid_pixels() {
    let directory = directory();
    let mut recipe = Recipe::new(100, 50, 1, |_, _, col| if col < 50 { 0_u16 } else { 1000 + col as u16 });
    recipe.nodata = Some(0.0);
    let raster = Raster::open(&recipe.write(directory.path(), "a.tif")).unwrap();
    let bands = BandPlan::choose(raster.info(), None).unwrap();
    let Stretch::Linear(ranges) = picture::settle_stretch(&raster, bands, StretchMode::Auto).unwrap() else {
        panic!("16-bit values need a stretch")
    };
    assert!(ranges[0][0] >= 1050.0 && ranges[0][1] <= 1099.0, "{ranges:?}");
}

/// A sparse file of 16 bits and of this side, blocks of 256 pixels, that holds one block: values from 1,000 on, no value means "no data".
fn sparse(directory: &Path, side: usize, (col, row): (usize, usize), overviews: &[i32]) -> Raster {
    let path = directory.join("sparse.tif");
    let options = ["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256", "SPARSE_OK=TRUE", "COMPRESS=DEFLATE"];
    let mut dataset = gdal::DriverManager::get_driver_by_name("GTiff")
        .unwrap()
        .create_with_band_type_with_options::<u16, _>(&path, side, side, 1, &options.into_iter().collect())
        .unwrap();
    let values = (0..256 * 256).map(|pixel| 1000 + (pixel % 256) as u16).collect();
    let mut buffer = gdal::raster::Buffer::new((256, 256), values);
    let mut band = dataset.rasterband(1).unwrap();
    band.write((col as isize, row as isize), (256, 256), &mut buffer).unwrap();
    if !overviews.is_empty() {
        dataset.build_overviews("NEAREST", overviews, &[]).unwrap();
    }
    dataset.close().unwrap();
    Raster::open(&path).unwrap()
}

#[test]
fn what_a_sparse_file_does_not_hold_is_not_valid_and_does_not_count_for_the_stretch() {
    let directory = directory();
    // As a whole, reduced with overviews, and in samples whose regular pattern misses the block.
    for (side, place, overviews) in
        [(1024, (256, 512), &[][..]), (4096, (256, 512), &[2, 4]), (8192, (1024, 2048), &[])]
    {
        let raster = sparse(directory.path(), side, place, overviews);
        let bands = BandPlan::choose(raster.info(), None).unwrap();
        let Stretch::Linear(ranges) = picture::settle_stretch(&raster, bands, StretchMode::Auto).unwrap()
        else {
            panic!("16-bit values need a stretch")
        };
        assert!(
            ranges[0][0] >= 1000.0 && ranges[0][1] > 1200.0 && ranges[0][1] < 1256.0,
            "{side}: {ranges:?}"
        );
        let (col, row) = place;
        let beside = read(
            &raster,
            Window { col: col - 128, row, width: 256, height: 100 },
            Size { width: 64, height: 50 },
        );
        assert_eq!(beside.valid_fraction(), 0.5, "{side}");
        assert!(!beside.valid()[[0, 31]] && beside.valid()[[0, 32]] && beside.valid()[[49, 63]]);
    }
}

#[test]
fn a_truncated_file_keeps_the_parts_that_can_be_read() {
    let directory = directory();
    let mut recipe = Recipe::new(512, 512, 1, |_, row, col| (row * 31 + col * 17) as u16 % 1000);
    recipe.options = &["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "COMPRESS=DEFLATE"];
    let path = recipe.write(directory.path(), "a.tif");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 3 / 4]).unwrap();
    let raster = Raster::open(&path).unwrap();
    let bands = BandPlan::choose(raster.info(), None).unwrap();
    let stretch = picture::settle_stretch(&raster, bands, StretchMode::Auto).unwrap();
    let look = picture::quick_look(&raster, bands, &stretch, 128).unwrap();
    let valid = look.valid.iter().filter(|&&valid| valid).count();
    assert!(valid > 128 * 128 / 4 && valid < 128 * 128, "{valid}");
    let last = Window { col: 448, row: 448, width: 64, height: 64 };
    let request = ReadRequest { window: last, size: last.size(), bands, resampling: Resampling::Bilinear };
    assert!(matches!(raster.read_window(&request), Err(RasterError::Read { window, .. }) if window == last));
}

#[test]
fn plain_pictures_and_rasters_become_pictures_of_the_size_asked_for() {
    let directory = directory();
    let png = directory.path().join("picture.jpg"); // the content counts, not the name
    image::RgbImage::from_fn(30, 20, |x, y| image::Rgb([x as u8 * 8, y as u8 * 8, 7]))
        .save_with_format(&png, image::ImageFormat::Png)
        .unwrap();
    let tif = Recipe::new(30, 20, 3, ramp).write(directory.path(), "a.tif");
    for path in [png, tif] {
        let picture =
            picture::read(&path, Size { width: 12, height: 9 }, &PictureOptions::default()).unwrap();
        assert_eq!((picture.width(), picture.height()), (12, 9));
        let pixels = picture.pixels();
        assert!(pixels[[8, 11, 0]] > pixels[[0, 0, 0]], "brighter to the lower right");
    }
}

#[test]
fn damaged_and_giant_pictures_are_refused_by_name() {
    let directory = directory();
    let path = directory.path().join("a.png");
    image::RgbImage::new(30, 20).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let options = PictureOptions::default();
    let size = Size { width: 4, height: 4 };
    assert!(matches!(picture::read(&path, size, &options), Err(RasterError::Picture { .. })));
    // The header of a PNG of 30,000 x 30,000 pixels.
    let mut header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0".to_vec();
    header.extend(crc32fast::hash(&header[12..]).to_be_bytes());
    header.extend(b"\0\0\0\x01IDAT\x78");
    header.extend(crc32fast::hash(b"IDAT\x78").to_be_bytes());
    std::fs::write(&path, header).unwrap();
    assert!(matches!(
        picture::read(&path, size, &options),
        Err(RasterError::PictureTooLarge { .. } | RasterError::Picture { .. })
    ));
}

#[test]
fn a_picture_of_nodata_alone_says_so() {
    let directory = directory();
    let mut recipe = Recipe::new(30, 20, 3, |_, _, _| -9999.0_f32);
    recipe.nodata = Some(-9999.0);
    let path = recipe.write(directory.path(), "a.tif");
    let result = picture::read(&path, Size { width: 4, height: 4 }, &PictureOptions::default());
    assert!(matches!(result, Err(RasterError::NothingValid { .. })));
}
