"""Checks GeoPackage and GeoParquet files of a scene against their standards and the scene's GeoJSON: no network.

    pip install pyarrow
    python tests/vector_files.py captions.geojson captions.gpkg captions.parquet ...

The GeoPackage is read with SQLite alone, by the requirements of OGC 12-128r18 (header, tables, columns, geometry blobs,
spatial index with its triggers) and for the table in which QGIS looks for a style. Of the GeoParquet, metadata and
columns are checked by the rules of version 1.1. Both must hold the features of the GeoJSON, number by number. Prints
what is wrong; exit code 0 if nothing is, 1 if something is.
"""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
import struct
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet

Ring = list[tuple[float, float]]
Polygons = list[list[Ring]]
Box = tuple[float, float, float, float]

# OGC 12-128r18: "GPKG" as the application, and version 1.2.0, the first that says its version so.
APPLICATION_ID, LEAST_VERSION = 0x47504B47, 10200
# Table 1 of the standard, and the names of geometries.
COLUMN_TYPES = r"BOOLEAN|TINYINT|SMALLINT|MEDIUMINT|INT|INTEGER|FLOAT|DOUBLE|REAL|(TEXT|BLOB)(\(\d+\))?|DATE|DATETIME"
GEOMETRIES = {"POLYGON": 3, "MULTIPOLYGON": 6}
GEOPARQUET_TYPES = {"Polygon": GEOMETRIES["POLYGON"], "MultiPolygon": GEOMETRIES["MULTIPOLYGON"]}
# What `PRAGMA table_info` must hold, tables 5, 6, 8 and annex F.3.
TABLES = {
    "gpkg_spatial_ref_sys": "srs_name srs_id organization organization_coordsys_id definition description",
    "gpkg_contents": "table_name data_type identifier description last_change min_x min_y max_x max_y srs_id",
    "gpkg_geometry_columns": "table_name column_name geometry_type_name srs_id z m",
    "gpkg_extensions": "table_name column_name extension_name definition scope",
    "layer_styles": "id f_table_catalog f_table_schema f_table_name f_geometry_column styleName styleQML styleSLD "
    "useAsDefault description owner ui update_time",
}
# The tables for users, and what they hold.
CONTENTS = {"captions": "features", "run": "attributes", "layer_styles": "attributes"}
# Doubles of an envelope, by its code in the flags of a geometry.
ENVELOPES = {0: 0, 1: 4, 2: 6, 3: 6, 4: 8}
# The index holds 32-bit floats, rounded outwards: this many degrees at 180 at most.
INDEX_SLACK = 360 * 2**-23
# GDAL adds widths to find the extent of a layer, in degrees.
EXTENT_SLACK = 1e-12
# Most faults of a file that are printed.
SHOWN_FAULTS = 8
# Columns that GeoJSON has elsewhere than among the properties.
WINDOW = ("col", "row", "width", "height")


def parse_wkb(data: bytes) -> tuple[int, Polygons]:
    """Type and polygons of ISO well-known binary, all of which must be used."""

    def take(form: str) -> tuple:
        nonlocal at
        found = struct.unpack_from(order + form, data, at)
        at += struct.calcsize(order + form)
        return found

    def head() -> tuple[int, int]:
        nonlocal at, order
        order = {0: ">", 1: "<"}[data[at]]
        at += 1
        return take("II")

    def rings(count: int) -> list[Ring]:
        return [[take("dd") for _ in range(take("I")[0])] for _ in range(count)]

    at, order = 0, "<"
    kind, count = head()
    if kind == GEOMETRIES["POLYGON"]:
        polygons = [rings(count)]
    elif kind == GEOMETRIES["MULTIPOLYGON"]:
        polygons = []
        for _ in range(count):
            part, size = head()
            if part != GEOMETRIES["POLYGON"]:
                raise ValueError(f"a part of type {part}")
            polygons.append(rings(size))
    else:
        raise ValueError(f"geometry type {kind}")
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes too many")
    return kind, polygons


def box_of(polygons: Polygons) -> Box:
    points = [point for rings in polygons for ring in rings for point in ring]
    (xs, ys) = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def ring_faults(polygons: Polygons) -> Iterator[str]:
    """RFC 7946 and `orientation` of GeoParquet: closed, counter-clockwise outside, longitude before latitude."""
    for rings in polygons:
        for number, ring in enumerate(rings):
            if len(ring) < 4 or ring[0] != ring[-1]:
                yield "a ring that is not closed"
            # Twice the area, with its sign.
            area = sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring))
            if (area > 0) != (number == 0):
                yield "a ring that runs the wrong way"
            if not all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring):
                yield "a point off the globe"


class Reference:
    """The features of the GeoJSON by their identity."""

    def __init__(self, path: Path) -> None:
        collection = json.loads(path.read_text())
        self.rows = {feature["id"]: self.row(feature) for feature in collection["features"]}
        self.questions = collection["rsmoe"]["questions"]
        self.faults = [] if len(self.rows) == len(collection["features"]) else ["an identity that is there twice"]
        for geometry, _ in self.rows.values():
            self.faults += ring_faults(geometry or [])

    @staticmethod
    def row(feature: dict) -> tuple[Polygons | None, dict]:
        values = dict(feature["properties"])
        window, answers = values.pop("window"), values.pop("answers")
        values |= {name: window[name] for name in WINDOW}
        for answer in answers:
            name = answer["question"]
            said = {"": answer["answer"], " (confidence)": answer["confidence"], " (said)": answer.get("said")}
            values |= {f"{name}{end}": value for end, value in said.items()}
        geometry = feature["geometry"]
        if geometry is None:
            return None, values
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        return [[[tuple(point) for point in ring] for ring in rings] for rings in polygons], values

    def differences(self, rows: list[tuple[dict, Polygons | None]]) -> Iterator[str]:
        if [values["id"] for values, _ in rows] != list(self.rows):
            yield "other tiles than in the GeoJSON, or in another order"
            return
        for values, polygons in rows:
            geometry, expected = self.rows[values["id"]]
            if polygons != geometry:
                yield f"{values['id']}: the outline is another one"
            for name in sorted(set(expected) | set(values)):
                if values.get(name) != expected.get(name):
                    yield f"{values['id']}: {name}: {values.get(name)!r}, expected {expected.get(name)!r}"


def geopackage_faults(path: Path, reference: Reference) -> Iterator[str]:
    data = path.read_bytes()
    if not data.startswith(b"SQLite format 3\0"):
        yield "no SQLite file"
        return
    version, application = struct.unpack_from(">I", data, 60)[0], struct.unpack_from(">I", data, 68)[0]
    if application != APPLICATION_ID or version < LEAST_VERSION:
        yield f"application_id {application:#x}, user_version {version}"
    # A copy in memory: triggers are tried on it.
    base = sqlite3.connect(":memory:")
    base.deserialize(data)
    for pragma, expected in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
        found = base.execute(f"PRAGMA {pragma}").fetchall()
        if found != expected:
            yield f"{pragma}: {found}"
    for table, columns in TABLES.items():
        found = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
        if found != columns.split():
            yield f"{table}: {found}"
    systems = {
        row[0]: row[1:] for row in base.execute("SELECT srs_id, organization, definition FROM gpkg_spatial_ref_sys")
    }
    if not {-1, 0, 4326} <= set(systems) or systems[4326][0].upper() != "EPSG" or "WGS 84" not in systems[4326][1]:
        yield f"gpkg_spatial_ref_sys: {sorted(systems)}"
    contents = {
        row[0]: row[1:] for row in base.execute("SELECT table_name, data_type, last_change, srs_id FROM gpkg_contents")
    }
    if {name: row[0] for name, row in contents.items()} != CONTENTS:
        yield f"gpkg_contents: {contents}"
    times = "|".join(row[1] for row in contents.values())
    if not re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\|?)+", times):
        yield f"last_change: {times}"
    for table in contents:
        columns = base.execute(f"PRAGMA table_info({table})").fetchall()
        for _, name, kind, *_ in columns:
            if not re.fullmatch(f"{COLUMN_TYPES}|{'|'.join(GEOMETRIES)}", kind):
                yield f"{table}.{name}: a column of type {kind}"
        if [column[2] for column in columns if column[5]] != ["INTEGER"]:
            yield f"{table}: the primary key is no integer"
    yield from feature_faults(base, reference)
    yield from style_faults(base)


def feature_faults(base: sqlite3.Connection, reference: Reference) -> Iterator[str]:
    described = base.execute("SELECT * FROM gpkg_geometry_columns").fetchall()
    if len(described) != 1 or described[0][:2] != ("captions", "geom") or described[0][3:] != (4326, 0, 0):
        yield f"gpkg_geometry_columns: {described}"
        return
    kind = GEOMETRIES.get(described[0][2])
    cursor = base.execute("SELECT * FROM captions ORDER BY fid")
    names = [column[0] for column in cursor.description]
    rows, boxes = [], {}
    for values in cursor:
        row = dict(zip(names, values, strict=True))
        fid, blob = row.pop("fid"), row.pop("geom")
        polygons = None
        if blob is not None:
            envelope, found, polygons = parse_blob(blob)
            boxes[fid] = box_of(polygons)
            if found != kind or envelope not in (None, boxes[fid]):
                yield f"{row['id']}: type {found}, envelope {envelope}"
        rows.append((row, polygons))
    yield from reference.differences(rows)
    if boxes:
        edges = list(zip(*boxes.values(), strict=True))
        extent = base.execute(
            "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = 'captions'"
        ).fetchone()
        union = (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3]))
        if None in extent or max(abs(a - b) for a, b in zip(extent, union, strict=True)) > EXTENT_SLACK:
            yield f"gpkg_contents: extent {extent}"
    yield from index_faults(base, boxes)


def parse_blob(blob: bytes) -> tuple[Box | None, int, Polygons]:
    """Clause 2.1.3: the head of a geometry, and its well-known binary."""
    flags = blob[3]
    order = "<" if flags & 1 else ">"
    system = struct.unpack_from(order + "i", blob, 4)[0]
    if blob[:3] != b"GP\0" or system != 4326 or flags & 0b110000:
        raise ValueError(f"geometry with the head {blob[:8].hex()}")
    size = ENVELOPES[flags >> 1 & 7]
    envelope = struct.unpack_from(f"{order}{size}d", blob, 8)
    box = (envelope[0], envelope[2], envelope[1], envelope[3]) if size == 4 else None
    return (box, *parse_wkb(blob[8 + 8 * size :]))


def index_faults(base: sqlite3.Connection, boxes: dict[int, Box]) -> Iterator[str]:
    """Extension `gpkg_rtree_index`: registered, complete, and kept up to date by its triggers."""
    registered = base.execute(
        "SELECT extension_name, scope FROM gpkg_extensions WHERE table_name = 'captions'"
    ).fetchall()
    if ("gpkg_rtree_index", "write-only") not in registered:
        yield f"gpkg_extensions: {registered}"

    def indexed() -> dict[int, Box]:
        rows = base.execute("SELECT id, minx, miny, maxx, maxy FROM rtree_captions_geom")
        return {row[0]: row[1:] for row in rows}

    def fits(found: dict[int, Box], expected: dict[int, Box]) -> bool:
        pairs = [pair for fid in expected for pair in zip(found.get(fid, (999.0,) * 4), expected[fid], strict=True)]
        return found.keys() == expected.keys() and all(abs(a - b) <= INDEX_SLACK for a, b in pairs)

    if not fits(indexed(), boxes):
        yield "the spatial index does not hold the boxes of the features"
    # What a program that edits the file must bring along.
    base.create_function("ST_IsEmpty", 1, lambda blob: None if blob is None else blob[3] >> 4 & 1)
    for number, name in enumerate(("ST_MinX", "ST_MinY", "ST_MaxX", "ST_MaxY")):
        base.create_function(
            name, 1, lambda blob, number=number: None if blob is None else box_of(parse_blob(blob)[2])[number]
        )
    if boxes:
        first = next(iter(boxes))
        base.execute("INSERT INTO captions (geom) SELECT geom FROM captions WHERE fid = ?", [first])
        new = base.execute("SELECT max(fid) FROM captions").fetchone()[0]
        if not fits(indexed(), {**boxes, new: boxes[first]}):
            yield "a new feature does not come into the spatial index"
        last = list(boxes)[-1]
        base.execute("UPDATE captions SET geom = (SELECT geom FROM captions WHERE fid = ?) WHERE fid = ?", [last, new])
        if not fits(indexed(), {**boxes, new: boxes[last]}):
            yield "a moved feature does not move in the spatial index"
        base.execute("DELETE FROM captions WHERE fid = ?", [new])
        if not fits(indexed(), boxes):
            yield "a feature that is gone stays in the spatial index"


def style_faults(base: sqlite3.Connection) -> Iterator[str]:
    """As QGIS asks for the style of a layer, and what the style itself refers to."""
    asked = (
        "SELECT styleQML FROM layer_styles WHERE f_table_schema = '' AND f_table_name = 'captions' "
        "AND f_geometry_column = 'geom' AND f_table_catalog = '' ORDER BY CASE WHEN useAsDefault THEN 1 ELSE 2 END"
    )
    styles = base.execute(asked).fetchall()
    if len(styles) != 1:
        yield f"{len(styles)} styles"
        return
    style = ElementTree.fromstring(styles[0][0])
    columns = {row[1] for row in base.execute("PRAGMA table_info(captions)")}
    said = [rule.get("filter", "") for rule in style.iter("rule")]
    said += [text.get("fieldName", "") for text in style.iter("text-style")]
    # Of the map tip, what stands between the brackets is an expression.
    said += re.findall(r"\[%(.*?)%\]", style.findtext("mapTip", ""))
    for name in re.findall(r'"([^"]+)"', " ".join(said)):
        if name not in columns:
            yield f"the style refers to a column {name!r}"
    symbols = {symbol.get("name") for symbol in style.iter("symbol")}
    if not {rule.get("symbol") for rule in style.iter("rule")} <= symbols:
        yield "a rule without its symbol"


def geoparquet_faults(path: Path, reference: Reference) -> Iterator[str]:
    file = pyarrow.parquet.ParquetFile(path)
    geo = json.loads(file.schema_arrow.metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    if geo["version"] != "1.1.0" or set(geo) != {"version", "primary_column", "columns"}:
        yield f"metadata: {geo}"
    allowed = {"encoding", "geometry_types", "crs", "orientation", "edges", "bbox", "epoch", "covering"}
    if column["encoding"] != "WKB" or not set(column) <= allowed or column.get("orientation") != "counterclockwise":
        yield f"the column's metadata: {column}"
    if "crs" in column:
        yield "a reference system that is not longitude and latitude on WGS84"
    names = column["geometry_types"]
    parts = ("xmin", "ymin", "xmax", "ymax")
    if column["covering"] != {"bbox": {part: ["bbox", part] for part in parts}}:
        yield f"covering: {column['covering']}"
    yield from column_faults(file, geo["primary_column"], parts)
    rows, kinds, boxes = [], set(), []
    for row in file.read().to_pylist():
        data, box = row.pop(geo["primary_column"]), row.pop("bbox")
        polygons = None
        if data is not None:
            kind, polygons = parse_wkb(data)
            kinds.add(kind)
            boxes.append(box_of(polygons))
        if (None if box is None else tuple(box[part] for part in parts)) != (boxes[-1] if data is not None else None):
            yield f"{row['id']}: bbox {box}"
        rows.append((row, polygons))
    if sorted(names) != sorted(name for name, kind in GEOPARQUET_TYPES.items() if kind in kinds):
        yield f"geometry_types: {names}, found {kinds}"
    if boxes:
        edges = list(zip(*boxes, strict=True))
        if tuple(column["bbox"]) != (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3])):
            yield f"bbox of the file: {column['bbox']}"
    yield from reference.differences(rows)


def column_faults(file: pyarrow.parquet.ParquetFile, geometry: str, parts: tuple[str, ...]) -> Iterator[str]:
    """Geometry at the root, not repeated; its boxes in floats, as optional as it is, with statistics to skip by."""
    schema = file.schema
    columns = {schema.column(number).path: (number, schema.column(number)) for number in range(len(schema))}
    shape = columns[geometry][1]
    if shape.physical_type != "BYTE_ARRAY" or shape.max_repetition_level or shape.logical_type.type != "NONE":
        yield f"the geometry's column: {shape}"
    for part in parts:
        number, found = columns[f"bbox.{part}"]
        if found.physical_type != "DOUBLE" or found.max_definition_level != shape.max_definition_level:
            yield f"bbox.{part}: {found}"
        for group in range(file.num_row_groups):
            statistics = file.metadata.row_group(group).column(number).statistics
            if statistics is None or (statistics.num_values and not statistics.has_min_max):
                yield f"bbox.{part}: row group {group} has no statistics"


def main() -> int:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    reference = Reference(Path(sys.argv[1]))
    checks = {".gpkg": geopackage_faults, ".parquet": geoparquet_faults}
    results = {sys.argv[1]: reference.faults}
    results |= {name: list(checks[Path(name).suffix](Path(name), reference)) for name in sys.argv[2:]}
    for name, faults in results.items():
        shown = [*faults[:SHOWN_FAULTS], *([f"and {len(faults) - SHOWN_FAULTS} more"] if faults[SHOWN_FAULTS:] else [])]
        print(f"{name}: {'; '.join(shown) or f'{len(reference.rows)} tiles, nothing wrong'}")
    return int(any(results.values()))


if __name__ == "__main__":
    sys.exit(main())
