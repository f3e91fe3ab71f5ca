//! What runs on the host around the graphs: turning pictures into tensors, and merging the experts' texts.

#![expect(missing_docs, reason = "criterion's macro makes a public function without documentation")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use rsmoe::image::PixelImage;
use rsmoe::manifest::{Band, PreprocessSpec, Resampling};
use rsmoe::merge::merge_captions;
use rsmoe::vision::preprocess;

fn preprocess_pictures(criterion: &mut Criterion) {
    let spec = PreprocessSpec {
        width: 224,
        height: 224,
        bands: [Band::Red, Band::Green, Band::Blue],
        resampling: Resampling::Bilinear,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    let mut group = criterion.benchmark_group("preprocess");
    for side in [224, 256, 1024] {
        let pixels =
            Array3::from_shape_fn((side, side, 3), |(row, col, band)| (row * 31 + col * 17 + band * 7) as u8);
        let picture = PixelImage::try_new(pixels).expect("three bands");
        group.throughput(Throughput::Elements((side * side) as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(format!("{side}px")),
            &picture,
            |bencher, picture| {
                bencher.iter(|| {
                    preprocess(black_box(std::slice::from_ref(picture)), &spec).expect("a valid picture")
                });
            },
        );
    }
    group.finish();
}

fn merge_texts(criterion: &mut Criterion) {
    let texts = [
        "The scene is an airport.",
        "It shows planes, buildings and a runway. It shows planes, buildings and a runway.",
        "Many planes are parked next to a long building in an airport.",
    ];
    criterion.bench_function("merge/3 experts", |bencher| bencher.iter(|| merge_captions(black_box(texts))));
}

criterion_group!(host, preprocess_pictures, merge_texts);
criterion_main!(host);
