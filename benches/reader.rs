//! A window of a raster, read in this process and in one of its own: what the reader process costs.

#![expect(missing_docs, reason = "criterion's macro makes a public function without documentation")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rsmoe::geo::{Size, Window};
use rsmoe::raster::{BandPlan, Isolation, Raster, ReadRequest, Resampling, isolate};

/// Side of the window and of what is read of it, pixels: the input of a usual vision encoder.
const SIDE: usize = 224;

fn read(criterion: &mut Criterion, place: &str) {
    let raster =
        Raster::open(Path::new("examples/data/itaipu_landsat8.tif")).expect("part of the repository");
    let window = Window { col: 100, row: 100, width: SIDE, height: SIDE };
    let bands = BandPlan::choose(raster.info(), None).expect("it has three bands");
    let size = Size { width: SIDE, height: SIDE };
    let request = ReadRequest { window, size, bands, resampling: Resampling::Bilinear };
    let mut group = criterion.benchmark_group("read_window");
    group.throughput(Throughput::Elements(1));
    group.bench_function(place, |bencher| {
        bencher.iter(|| raster.read_window(black_box(&request)).expect("inside the scene"));
    });
    group.bench_function(format!("footprint, {place}"), |bencher| {
        bencher.iter(|| raster.footprint(black_box(window)).expect("it has a place"));
    });
    group.finish();
}

fn here_and_apart(criterion: &mut Criterion) {
    read(criterion, "here");
    isolate(Isolation {
        program: env!("CARGO_BIN_EXE_rsmoe").into(),
        arguments: vec!["read-rasters".into()],
        timeout: Duration::from_mins(1),
        stop: Arc::new(AtomicBool::new(false)),
    });
    read(criterion, "apart");
}

criterion_group!(benches, here_and_apart);
criterion_main!(benches);
