#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Builds the last commit's wheel, and the sdist that it comes from: scripts/build.sh [FOLDER]   (dist)
# The wheel is the same byte for byte from the same commit, whenever and wherever it is built.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
git archive HEAD | tar -x -C "$source"
.venv/bin/python -m build --outdir "${1:-dist}" "$source"
