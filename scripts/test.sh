#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Installs the test extra and runs the tests: scripts/test.sh [--long] [pytest options]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test

selection="not long"
if [ "${1:-}" = --long ]; then
    selection=""
    shift
fi
exec .venv/bin/python -m pytest -m "$selection" "$@"
