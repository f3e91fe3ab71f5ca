#!/bin/sh
# Makes sure that what the build needs from the system is there: a C compiler, pkg-config, libgdal with its headers,
# Python with venv, and Rust. Installs the Debian/Ubuntu packages where root or password-less sudo allows it;
# otherwise says exactly what to install, and exits 1. Does nothing where nothing is missing.
set -eu

missing=""
need() { missing="$missing $1"; }

command -v cc >/dev/null 2>&1 || need build-essential
if ! command -v pkg-config >/dev/null 2>&1; then
    need pkg-config
    need libgdal-dev
elif ! pkg-config --exists 'gdal >= 3.4'; then
    need libgdal-dev
fi
# A virtual environment that cannot install packages is no use: ensurepip comes with python3-venv.
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || need python3-venv

if [ -n "$missing" ]; then
    install="apt-get install --yes --no-install-recommends$missing"
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "missing on this system (Debian's package names):$missing" >&2
        echo "hint: install their counterparts (C compiler, pkg-config, GDAL >= 3.4 with headers, Python >= 3.10 with venv), then run make again" >&2
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        sudo=""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo="sudo"
    else
        echo "missing system packages:$missing" >&2
        echo "hint: run \`sudo apt-get update && sudo $install\`, then run make again" >&2
        exit 1
    fi
    echo "installing system packages:$missing"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086 # the list is meant to be split
    $sudo env DEBIAN_FRONTEND=noninteractive $install
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo, the Rust build tool, is not on PATH" >&2
    echo "hint: install Rust 1.92 or newer with rustup (https://rustup.rs), then run make again" >&2
    exit 1
fi
