//! Quarter turns: what the vision encoder sees does not depend on which side of an image is up.

use ndarray::Array4;
use rsmoe::engine::EngineOptions;
use rsmoe::image::ImageTensor;
use rsmoe::manifest::{ModelPackage, Variant, Views};
use rsmoe::vision::{EncoderFiles, Sight, VisionEncoder, VisionError};
use rsmoe::{Engine, Error, ErrorKind};

use crate::support::{changed, cpu, options, package_path, runtime};

/// Of features near 1, whose four views are added in another order.
const TOLERANCE: f32 = 1e-5;
/// Its input and its features are square; the other package's are not.
const SQUARE: &str = "tiny-graph";

fn seen(pixels: Array4<f32>, views: Views) -> Sight {
    let package = ModelPackage::open(&package_path(SQUARE)).unwrap();
    let files = EncoderFiles { package: &package, variant: Variant::Fp32, views: Some(views) };
    let mut encoder = VisionEncoder::load(runtime(), files, &cpu()).unwrap();
    encoder.encode(ImageTensor::try_new(pixels).unwrap()).unwrap()
}

fn pixels() -> Array4<f32> {
    let spec =
        ModelPackage::open(&package_path(SQUARE)).unwrap().manifest().vision_encoder.preprocess.clone();
    Array4::from_shape_fn((2, 3, spec.height, spec.width), |(n, c, y, x)| {
        ((n * 31 + c * 7 + y * 5 + x * 3) % 11) as f32 / 5.5 - 1.0
    })
}

/// Turned by a quarter: the right edge comes to the top.
fn turned(pixels: &Array4<f32>) -> Array4<f32> {
    let mut view = pixels.view().permuted_axes([0, 1, 3, 2]);
    view.invert_axis(ndarray::Axis(2));
    view.as_standard_layout().into_owned()
}

fn largest_difference(one: &Sight, other: &Sight) -> f32 {
    let (one, other) = (one.features.values(), other.features.values());
    one.iter().zip(&other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

fn turned_back(sight: &Sight) -> Sight {
    let mut view = sight.features.values();
    // Three quarters more make a whole turn.
    for _ in 0..3 {
        view.swap_axes(1, 2);
        view.invert_axis(ndarray::Axis(1));
    }
    let features = rsmoe::vision::Features::new(view.as_standard_layout().into_owned());
    Sight { features, familiarity: sight.familiarity.clone() }
}

#[test]
fn a_turned_image_is_seen_as_the_same_image_turned() {
    let upright = seen(pixels(), Views::QuarterTurns);
    let sideways = turned_back(&seen(turned(&pixels()), Views::QuarterTurns));
    assert!(largest_difference(&upright, &sideways) < TOLERANCE);
    let (one, other) = (seen(pixels(), Views::Single), turned_back(&seen(turned(&pixels()), Views::Single)));
    assert!(largest_difference(&one, &other) > 100.0 * TOLERANCE, "a single view does depend on it");
}

#[test]
fn an_encoder_that_is_not_square_refuses_quarter_turns() {
    runtime();
    let asked = EngineOptions {
        views: Some(Views::QuarterTurns),
        ..options(&package_path("tiny-adapter"), Variant::Fp32)
    };
    let error = Engine::load(&asked).unwrap_err();
    assert!(matches!(error, Error::Vision { source: VisionError::CannotTurn }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Usage);
    let package = changed("tiny-adapter", |manifest| manifest.vision_encoder.views = Views::QuarterTurns);
    let problem = Engine::load(&options(package.path(), Variant::Fp32)).unwrap_err();
    assert_eq!(problem.kind(), ErrorKind::ModelPackage);
    assert!(
        format!("{problem:?}").contains("vision_encoder.views: quarter_turns needs a square input"),
        "{problem:?}"
    );
}
