#!/bin/sh
# Fetches the ONNX Runtime library out of its official Python wheel (pinned, hash checked) into a directory.
# usage: onnxruntime.sh PIP DIRECTORY
# The wheel carries the plain C library; neither Python's version nor the bindings matter to rsmoe.
set -eu
pip=$1
directory=$2
version=1.31.1

machine=$(uname -m)
case "$(uname -s)-$machine" in
Linux-x86_64) sha256=1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536 ;;
Linux-aarch64) sha256=0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc ;;
*)
    echo "no pinned ONNX Runtime library for $(uname -s) $machine" >&2
    echo "hint: install ONNX Runtime >= 1.24 yourself and name it with --ort-lib or ORT_DYLIB_PATH" >&2
    exit 1
    ;;
esac

library="$directory/libonnxruntime.so.$version"
[ -f "$library" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "onnxruntime==$version --hash=sha256:$sha256" >"$work/requirements.txt"
"$pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --implementation cp --python-version 3.12 --platform "manylinux_2_28_$machine" \
    --dest "$work" --requirement "$work/requirements.txt"
mkdir -p "$directory"
python3 - "$work" "$library" <<'PYTHON'
import os, pathlib, sys, zipfile

work, library = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
(wheel,) = work.glob("onnxruntime-*.whl")
with zipfile.ZipFile(wheel) as archive:
    data = archive.read(f"onnxruntime/capi/{library.name}")
    licence = archive.read("onnxruntime/LICENSE")
    notices = archive.read("onnxruntime/ThirdPartyNotices.txt")
(library.parent / "LICENSE").write_bytes(licence)
(library.parent / "ThirdPartyNotices.txt").write_bytes(notices)
partial = library.with_name(library.name + ".partial")
partial.write_bytes(data)
os.replace(partial, library)
PYTHON
echo "ONNX Runtime $version: $library"
