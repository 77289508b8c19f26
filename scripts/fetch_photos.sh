#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Makes the training tiles of the shipped weights: scripts/fetch_photos.sh [FOLDER], by default datasets/photos/tiles
# The photographs come in packages of Debian, which are downloaded and unpacked, not installed: no root is needed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""

output=${1:-datasets/photos/tiles}
for command in apt-get dpkg-deb; do
    if ! command -v "$command" >/dev/null; then
        echo "fetch_photos.sh: $command is not there; run it on Debian or Ubuntu, or in a container of one" >&2
        exit 2
    fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages=$(sed -n 's/^\([a-z][a-z0-9.-]*\):$/\1/p' datasets/photos/photos.yaml)
for package in $packages; do
    echo "Downloading $package ..."
    if ! (cd "$work" && apt-get download -q "$package" >apt.log 2>&1); then
        tail -n 3 "$work/apt.log" >&2
        echo "fetch_photos.sh: no package $package; as root, apt-get update reads the lists of packages anew" >&2
        exit 2
    fi
    dpkg-deb -x "$work/$package"_*.deb "$work/unpacked"
done
.venv/bin/python scripts/unpack_rcc.py "$work"/unpacked/usr/share/gcompris-qt/rcc/{erase,explore_*}.rcc "$work/unpacked"
.venv/bin/python scripts/cut_tiles.py "$work/unpacked" "$output"
