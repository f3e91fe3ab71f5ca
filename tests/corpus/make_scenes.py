"""Writes small scenes with every kind of georeference that users bring: input for `check_scenes.py`.

python make_scenes.py DIRECTORY        (needs numpy and rasterio)
"""

import argparse
import math
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

WIDTH, HEIGHT = 96, 72

# A camera that looks down on 10.0 E, 46.5 N from the south-west: rational polynomials as satellites deliver them, with
# terms of the first and second order. Terrain at 1,500 m on average.
RATIONAL_POLYNOMIALS = RPC(
    height_off=1500.0,
    height_scale=500.0,
    lat_off=46.5,
    lat_scale=0.01,
    line_off=HEIGHT / 2,
    line_scale=HEIGHT / 2,
    long_off=10.0,
    long_scale=0.02,
    samp_off=WIDTH / 2,
    samp_scale=WIDTH / 2,
    line_num_coeff=[0.001, 0.05, -1.02, 0.12, 0.002, -0.001, 0.0005, 0.001, 0.003] + [0.0] * 11,
    line_den_coeff=[1.0, 0.0004, -0.0003, 0.0002] + [0.0] * 16,
    samp_num_coeff=[-0.002, 0.98, 0.04, -0.15, 0.001, 0.0005, -0.0004, 0.002, -0.001] + [0.0] * 11,
    samp_den_coeff=[1.0, -0.0002, 0.0003, 0.0001] + [0.0] * 16,
    err_bias=None,
    err_rand=None,
)


def rotated(x, y, pixel, degrees, shear=0.0):
    """North-up pixels turned around the upper left corner."""
    return Affine.translation(x, y) * Affine.rotation(degrees) * Affine.shear(shear) * Affine.scale(pixel, -pixel)


def scenes():
    """Name, coordinate reference system, transform of every scene with an affine transform."""
    north_up = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_400_000.0)
    yield "north_up_utm", 32632, north_up
    yield "south_up_utm", 32632, Affine(10.0, 0.0, 500_000.0, 0.0, 10.0, 5_400_000.0)
    yield "rotated_utm", 32632, rotated(500_000.0, 5_400_000.0, 10.0, 30.0)
    yield "sheared_utm", 32632, rotated(500_000.0, 5_400_000.0, 10.0, -75.0, 25.0)
    yield "mirrored_utm", 32632, Affine(-10.0, 0.0, 500_000.0, 0.0, -10.0, 5_400_000.0)
    yield "rotated_degrees", 4326, rotated(8.0, 47.0, 1e-4, 12.0)
    yield "degrees", 4326, Affine(0.01, 0.0, -70.0, 0.0, -0.01, -30.0)
    yield "degrees_beyond_180", 4326, Affine(0.01, 0.0, 179.6, 0.0, -0.01, 10.0)
    yield "degrees_0_to_360", 4326, Affine(360.0 / WIDTH, 0.0, 0.0, 0.0, -180.0 / HEIGHT, 90.0)
    yield "degrees_globe", 4326, Affine(360.0 / WIDTH, 0.0, -180.0, 0.0, -180.0 / HEIGHT, 90.0)
    yield (
        "mercator_globe",
        3857,
        Affine(2 * 20037508.342789 / WIDTH, 0, -20037508.342789, 0, -2 * 20037508.342789 / HEIGHT, 20037508.342789),
    )
    yield "utm_01_antimeridian", 32601, Affine(1000.0, 0.0, 130_000.0, 0.0, -1000.0, 1_000_000.0)
    yield "utm_60_antimeridian", 32760, Affine(1000.0, 0.0, 780_000.0, 0.0, -1000.0, 8_000_000.0)
    yield "feet", 2263, Affine(3.0, 0.0, 980_000.0, 0.0, -3.0, 200_000.0)
    side = 25_000.0
    for name, code in (("north", 3413), ("south", 3031)):
        yield (
            f"pole_{name}_inside",
            code,
            Affine(side, 0, -(WIDTH / 2 + 3.5) * side, 0, -side, (HEIGHT / 2 - 4.5) * side),
        )
        # The pole is where four tiles of a quarter of the scene meet.
        yield f"pole_{name}_corner", code, Affine(side, 0, -WIDTH / 2 * side, 0, -side, HEIGHT / 2 * side)
        # The pole lies on the middle of an edge between two tiles.
        yield f"pole_{name}_edge", code, Affine(side, 0, -WIDTH / 2 * side, 0, -side, (HEIGHT / 2 - 7) * side)
        yield f"pole_{name}_near", code, Affine(1000.0, 0, 5_000.0, 0, -1000.0, -5_000.0)
    yield "lambert_wide", 3035, Affine(20_000.0, 0.0, 3_000_000.0, 0.0, -20_000.0, 4_500_000.0)
    yield "sinusoidal", "+proj=sinu +R=6371007.181 +units=m", Affine(463.3127, 0.0, 0.0, 0.0, -463.3127, 5_559_752.6)


def write(path, crs=None, transform=None, **more):
    """A scene of a smooth pattern in three bands."""
    rows, cols = np.mgrid[0:HEIGHT, 0:WIDTH]
    bands = [(rows * 3 + cols * 2 + 40 * band) % 255 for band in range(3)]
    if isinstance(crs, int):
        crs = f"EPSG:{crs}"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=WIDTH,
        height=HEIGHT,
        count=3,
        dtype="uint8",
        crs=crs,
        transform=transform,
        **more,
    ) as scene:
        scene.write(np.stack(bands).astype("uint8"))


def control_points(columns, rows, bend):
    """A regular net of points over the scene; `bend` curves it, as a wide swath is curved."""
    points = []
    for col in np.linspace(0, WIDTH, columns):
        for row in np.linspace(0, HEIGHT, rows):
            x, y = col / WIDTH, row / HEIGHT
            points.append(
                GroundControlPoint(
                    row=row, col=col, x=8.0 + x + 0.2 * y + bend * x * x, y=50.0 - y + 0.15 * x - bend * math.sin(y)
                )
            )
    return points


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    for name, crs, transform in scenes():
        write(directory / f"{name}.tif", crs, transform)
    write(directory / "no_reference.tif")
    write(directory / "no_crs.tif", None, Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_400_000.0))
    local = 'LOCAL_CS["a site grid",UNIT["metre",1]]'
    write(directory / "local_crs.tif", local, Affine(10.0, 0.0, 0.0, 0.0, -10.0, 0.0))
    write(directory / "rational_polynomials.tif", rpcs=RATIONAL_POLYNOMIALS)
    for name, points in (
        ("four", control_points(2, 2, 0.0)),
        ("many", control_points(5, 4, 0.1)),
        # Too few rows for a curve: a plane must do.
        ("two_rows", control_points(5, 2, 0.0)),
    ):
        write(directory / f"control_points_{name}.tif", 4326, gcps=points)


if __name__ == "__main__":
    main()
