#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Gives every reader many damaged files, and prints what became of them: scripts/soak.sh [CASES [SEED [options]]]
#   CASES    in all, shared among the readers (100000)
#   SEED     the same seed makes the same files (1)
#   options  --readers png,ckpt   --workers 2
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test

cases=${1:-100000}
seed=${2:-1}
shift $(($# < 2 ? $# : 2))
exec .venv/bin/python -m tests.fuzzing.soak --cases "$cases" --seed "$seed" "$@"
