"""Time and memory of a scene against those of one with a hundred times its tiles.

    python3 benches/scaling.py --rsmoe target/release/rsmoe --model models/rsmoe-mini

Needs nothing but Python. Time is the scene's own, without the loading of the package; memory is the peak of the process
that describes (not of the one that reads).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import struct
import subprocess
import tempfile
from pathlib import Path

#: Side of a field of one colour, pixels.
FIELD = 16


def write_scene(path: Path, side: int) -> None:
    """A square BMP file of fields in different colours."""
    generator = random.Random(1)
    row_bytes = (3 * side + 3) // 4 * 4
    with path.open("wb") as file:
        file.write(b"BM" + struct.pack("<IHHI", 54 + row_bytes * side, 0, 0, 54))
        file.write(struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, row_bytes * side, 0, 0, 0, 0))
        for first in range(0, side, FIELD):
            row = b"".join(generator.randbytes(3) * FIELD for _ in range(-(-side // FIELD)))
            file.write(row[: 3 * side].ljust(row_bytes, b"\0") * min(FIELD, side - first))


def run(options: argparse.Namespace, scene: Path, out: Path) -> tuple[int, float, float]:
    """Tiles, seconds of the scene, and peak memory in MiB."""
    arguments = ["--json", "--quiet", "--threads", str(options.threads), "--tile-size", str(options.tile_size)]
    command = [str(options.rsmoe.resolve()), "--model", str(options.model), "scene", str(scene), "--out", str(out)]
    command += arguments
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, text=True)
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
        output.seek(0)
        report = json.load(output)
    counts = report["counts"]
    return sum(counts[name] for name in ("captioned", "skipped", "failed")), report["seconds"], usage.ru_maxrss / 1024


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rsmoe", type=Path, default=Path("target/release/rsmoe"))
    parser.add_argument("--model", type=Path, default=Path("models/rsmoe-mini"))
    parser.add_argument("--tiles", type=int, default=8, help="tiles on a side of the smaller scene (%(default)s)")
    parser.add_argument("--tile-size", type=int, default=64, help="pixels (%(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for side in (options.tiles, 10 * options.tiles):
            scene = Path(directory) / f"{side}.bmp"
            write_scene(scene, side * options.tile_size)
            rows.append(run(options, scene, Path(directory) / f"{side}.geojsonl"))
            print("{} tiles: {:.1f} s, {:.0f} MiB".format(*rows[-1]), flush=True)
    (small, seconds, memory), (large, more_seconds, more_memory) = rows
    print(f"tiles x {large / small:.0f}: time x {more_seconds / seconds:.1f}, memory x {more_memory / memory:.3f}")


if __name__ == "__main__":
    main()
