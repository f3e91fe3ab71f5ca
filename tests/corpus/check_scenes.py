"""Runs `rsmoe scene` over every raster of a directory and checks what comes out against rasterio and pyproj.

    python check_scenes.py CORPUS RSMOE MODEL [--only NAME]        (needs numpy, pyproj and rasterio)

For every raster that rasterio opens:
- the tiles are those of the grid, each once, and every one is captioned, skipped or failed with a reason;
- footprints hold what their windows show: corners to 1e-7 degrees where the georeference is exact, points just inside
  and just outside of every window; rings as RFC 7946 wants them;
- a box of degrees around a pixel finds the tiles that hold the pixel;
- ground resolution and valid fractions are those of rasterio and pyproj;
- there is a warning where there should be one (no place, an approximate place, an untrained resolution), and only
  there.

Prints a table; the exit code is 1 if anything is wrong.
"""

import argparse
import itertools
import json
import math
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from pyproj import Geod, Transformer
from rasterio.transform import GCPTransformer, RPCTransformer, from_gcps
from rasterio.windows import Window

# A footprint's corners are rounded to seven decimals; the projection library may be another version.
CORNER_DEGREES = 1e-7
# Footprints through control points and rational polynomials: two solvers of the same equations.
APPROXIMATE_PIXELS = 0.05
# The baselines of the two measurements of a pixel are not the same.
RESOLUTION_SHARE = 2e-3
# A valid fraction is counted on the model's input, not on every pixel.
VALID_SHARE = 0.08
LEAST_COUNTED_PX = 16
# Distance of the probes from the edge of a window, as a share of its side.
PROBE_SHARE = 0.01
TILES_PER_SIDE = 6
# Half the side of the box with which tiles are looked for.
AREA_PIXELS = 0.2
METRES_PER_DEGREE = 111_320.0
LONGEST_S = 600
GEOD = Geod(ellps="WGS84")


class Place:
    """Pixel positions to longitude and latitude, by rasterio and pyproj alone."""

    def __init__(self, scene):
        self.kind, self.to_map, crs = self._map(scene)
        if self.kind != "none":
            try:
                self.to_wgs84 = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
            except Exception:
                self.kind = "none"
        if self.kind != "none":
            centre = self.lonlat([(scene.width / 2, scene.height / 2)])[0]
            if not all(map(math.isfinite, centre)):
                self.kind = "none"

    @staticmethod
    def _map(scene):
        transform = scene.transform
        if not transform.is_identity and scene.crs is not None:
            return "affine", lambda points: [transform * point for point in points], scene.crs
        points, crs = scene.gcps
        if points and crs is not None:
            try:
                solver = GCPTransformer(points)
            except Exception:  # what GDAL says has no public name; too few points for a curve: the plane through them
                plane = from_gcps(points)
                return "gcp", lambda pixels: [plane * pixel for pixel in pixels], crs
            return "gcp", lambda pixels: solve(solver, pixels), crs
        if scene.rpcs is not None:
            height = scene.rpcs.height_off
            solver = RPCTransformer(scene.rpcs, RPC_HEIGHT=str(height), RPC_PIXEL_ERROR_THRESHOLD="0.0001")
            return "rpc", lambda pixels: solve(solver, pixels), "EPSG:4326"
        return "none", None, None

    def lonlat(self, pixels):
        xs, ys = zip(*self.to_map(pixels), strict=True)
        return list(zip(*self.to_wgs84.transform(xs, ys), strict=True))


def solve(solver, pixels):
    cols, rows = zip(*pixels, strict=True)
    xs, ys = solver.xy(list(rows), list(cols), offset="ul")
    return list(zip(np.atleast_1d(xs), np.atleast_1d(ys), strict=True))


def grid(width, height, side):
    """Origins and sizes of the tiles: the last column and row are shifted inward."""
    tile_width, tile_height = min(side, width), min(side, height)
    cols = [min(index * side, width - tile_width) for index in range(math.ceil(width / side))]
    rows = [min(index * side, height - tile_height) for index in range(math.ceil(height / side))]
    return [(col, row, tile_width, tile_height) for row in rows for col in cols]


def polygons(geometry):
    return [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]


def holds(geometry, point):
    """Even-odd rule over all rings, on the meridian that the rings use."""
    longitude, latitude = (point[0] + 180) % 360 - 180, point[1]
    inside = False
    for polygon in polygons(geometry):
        for ring in polygon:
            for (x0, y0), (x1, y1) in itertools.pairwise(ring):
                if (y0 > latitude) != (y1 > latitude) and longitude < x0 + (latitude - y0) / (y1 - y0) * (x1 - x0):
                    inside = not inside
    return inside


def shape_errors(geometry):
    for polygon in polygons(geometry):
        if len(polygon) != 1:
            yield "a footprint with a hole"
        ring = polygon[0]
        area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in itertools.pairwise(ring))
        if ring[0] != ring[-1] or area <= 0:
            yield "a ring that is open or clockwise"
        if any(abs(x) > 180 or abs(y) > 90 or round(x, 7) != x or round(y, 7) != y for x, y in ring):
            yield "a position off the globe or with more than seven decimals"


def degrees_apart(first, second):
    turn = (first[0] - second[0] + 180) % 360 - 180
    # Every longitude is the same place at a pole.
    return max(abs(turn) if abs(second[1]) < 90 - 1e-7 else 0.0, abs(first[1] - second[1]))


def footprint_errors(place, window, geometry, pixel_degrees):
    if geometry is None:
        yield "no geometry"
        return
    yield from shape_errors(geometry)
    col, row, width, height = window
    tolerance = CORNER_DEGREES if place.kind == "affine" else APPROXIMATE_PIXELS * pixel_degrees
    vertices = [tuple(vertex) for polygon in polygons(geometry) for ring in polygon for vertex in ring]
    corners = [(col, row), (col + width, row), (col + width, row + height), (col, row + height)]
    for corner, there in zip(corners, place.lonlat(corners), strict=True):
        nearest = min(degrees_apart(vertex, there) for vertex in vertices)
        if not nearest <= tolerance:
            yield f"corner {corner} is {nearest:.2e} degrees from ({there[0]:.7f}, {there[1]:.7f})"
    for inside, share in ((True, PROBE_SHARE), (False, -PROBE_SHARE)):
        probes = []
        for _ in range(8):
            along, edge = random.random(), random.randrange(4)
            x, y = [(along, share), (along, 1 - share), (share, along), (1 - share, along)][edge]
            # The corners of the neighbourhood are nobody's.
            x, y = (min(max(each, share), 1 - share) if inside else each for each in (x, y))
            probes.append((col + x * width, row + y * height))
        for probe, there in zip(probes, place.lonlat(probes), strict=True):
            if not all(map(math.isfinite, there)) or abs(there[1]) > 90:
                continue
            if holds(geometry, there) != inside:
                where = "outside" if inside else "inside"
                yield f"pixel {probe[0]:.1f}, {probe[1]:.1f} ({there[0]:.4f}, {there[1]:.4f}) is {where}"


def resolution(place, col, row):
    """Metres per pixel: the mean of width and height, by the geodesic on the ellipsoid."""
    half = 0.5
    west, east, north, south = place.lonlat(
        [(col - half, row), (col + half, row), (col, row - half), (col, row + half)]
    )
    across = GEOD.inv(*west, *east)[2] / (2 * half)
    down = GEOD.inv(*north, *south)[2] / (2 * half)
    return math.sqrt(across * down)


def valid_share(scene, window):
    """Valid pixels by rasterio; NaN is not valid. None if they cannot be read."""
    try:
        part = Window(*window)
        mask = scene.dataset_mask(window=part) > 0
        if np.issubdtype(np.dtype(scene.dtypes[0]), np.floating):
            mask &= np.isfinite(scene.read(window=part)).all(axis=0)
        return mask.mean()
    except rasterio.errors.RasterioError:
        return None


def area_errors(place, windows, command):
    """A box around the middle of a tile, less than a pixel wide, must find the tiles there and no others."""
    col, row, width, height = windows[len(windows) // 2]
    pixel = (col + width / 2, row + height / 2)
    longitude, latitude = place.lonlat([pixel])[0]
    up = AREA_PIXELS * resolution(place, *pixel) / METRES_PER_DEGREE
    if not (math.isfinite(up) and abs(latitude) + up < 89.9):
        return
    across = up / math.cos(math.radians(latitude))
    west, east = ((degrees + 180) % 360 - 180 for degrees in (longitude - across, longitude + across))
    box = f"--bbox={west},{latitude - up},{east},{latitude + up}"
    run = subprocess.run([*command, "--dry-run", "--json", box], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        yield f"{box}: {run.stderr.strip()}"
        return
    found = [index for start, end in json.loads(run.stdout)["area"]["tiles"] for index in range(start, end)]
    expected = [
        index
        for index, (col, row, width, height) in enumerate(windows)
        if col < pixel[0] < col + width and row < pixel[1] < row + height
    ]
    if found != expected:
        yield f"{box}: tiles {found}, expected {expected}"


def warning_errors(stderr, kind, sees_m, trained):
    said = [line for line in stderr.splitlines() if line.startswith("warning:")]
    outside = sees_m is not None and not trained["min"] / 2 <= sees_m <= trained["max"] * 2
    expected = {
        "no place on the globe": kind == "none",
        "places are approximate": kind in ("gcp", "rpc"),
        "m per pixel, but was trained on": outside,
    }
    for text, is_expected in expected.items():
        if any(text in line for line in said) != is_expected:
            yield f"warning {text!r} is {'missing' if is_expected else 'wrong'}"
    known = [*expected, "like nothing that the model knows"]
    for line in said:
        if not any(text in line for text in known):
            yield f"unforeseen: {line}"


def window_of(feature):
    window = feature["properties"]["window"]
    return window["col"], window["row"], window["width"], window["height"]


def check(path, rsmoe, model, directory):
    """The scene's kind of georeference, its counts, and what is wrong."""
    with rasterio.open(path) as scene:
        place = Place(scene)
        side = max(16, math.ceil(max(scene.width, scene.height) / TILES_PER_SIDE))
        out = directory / "out.geojson"
        command = [rsmoe, "--model", model, "scene", path, "--out", out, "--restart", "--tile-size", str(side)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
        if run.returncode not in (0, 3):
            return place.kind, {}, [f"exit code {run.returncode}: {run.stderr.strip()}"]
        collection = json.loads(out.read_text())
        errors = []
        expected = grid(scene.width, scene.height, side)
        windows = [window_of(feature) for feature in collection["features"]]
        if windows != expected:
            errors.append(f"{len(windows)} tiles, expected {len(expected)}")
        if collection["rsmoe"]["raster"]["georeference"] != place.kind:
            errors.append(f"georeference {collection['rsmoe']['raster']['georeference']}, expected {place.kind}")
        sees_m = None
        if place.kind != "none":
            metres = resolution(place, scene.width / 2, scene.height / 2)
            if math.isfinite(metres):
                sees_m = collection["rsmoe"]["input_gsd_m"]
        errors += warning_errors(run.stderr, place.kind, sees_m, collection["rsmoe"]["trained_gsd_m"])
        if place.kind != "none":
            errors += area_errors(place, windows, command)
        for window, feature in zip(windows, collection["features"], strict=True):
            properties, geometry = feature["properties"], feature["geometry"]
            if properties["status"] != "captioned" and not properties.get("reason"):
                errors.append(f"tile {feature['id']}: {properties['status']} without a reason")
            # Of fewer pixels than the model takes, one is many.
            is_counted = properties["valid_fraction"] is not None and min(window[2:]) >= LEAST_COUNTED_PX
            share = valid_share(scene, window) if is_counted else None
            if share is not None and abs(share - properties["valid_fraction"]) > VALID_SHARE:
                errors.append(
                    f"tile {feature['id']}: valid fraction {properties['valid_fraction']}, expected {share:.4f}"
                )
            if place.kind == "none":
                if geometry is not None:
                    errors.append(f"tile {feature['id']}: a geometry from nowhere")
                continue
            col, row, width, height = window
            metres = resolution(place, col + width / 2, row + height / 2)
            gsd_m = properties["gsd_m"] or math.nan
            if math.isfinite(metres) and not abs(gsd_m - metres) <= RESOLUTION_SHARE * metres + 1e-4:
                errors.append(f"tile {feature['id']}: {properties['gsd_m']} m per pixel, expected {metres:.4f}")
            errors += [
                f"tile {feature['id']}: {error}" for error in footprint_errors(place, window, geometry, metres / 1.1e5)
            ]
        return place.kind, collection["rsmoe"]["counts"], errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="directory of rasters")
    parser.add_argument("rsmoe", type=Path, help="the binary")
    parser.add_argument("model", type=Path, help="a model package; a tiny one is enough")
    parser.add_argument("--only", help="only files with this in their names")
    args = parser.parse_args()
    random.seed(0)
    warnings.simplefilter("ignore")
    failed = 0
    print(f"{'file':36} {'place':7} {'captioned':>9} {'skipped':>7} {'failed':>6}  result")
    for path in sorted(args.corpus.iterdir()):
        if path.suffix.lower() not in (".tif", ".tiff", ".vrt", ".jp2") or (args.only and args.only not in path.name):
            continue
        with tempfile.TemporaryDirectory() as directory:
            kind, counts, errors = check(path, args.rsmoe.resolve(), args.model, Path(directory))
        counts = [counts.get(name, "-") for name in ("captioned", "skipped", "failed")]
        result = "ok" if not errors else f"{len(errors)} wrong: " + "; ".join(errors[:3])
        print(f"{path.name:36} {kind:7} {counts[0]:>9} {counts[1]:>7} {counts[2]:>6}  {result}", flush=True)
        failed += bool(errors)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
