#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Damages files of every kind that is read, kills every verb, and restores pictures of many sizes; prints what
# became of it: scripts/soak.sh [CASES [SEED]]
#   CASES    damaged files, shared among the readers (100000)
#   SEED     the same seed makes the same files and kills (1)
# Half an hour to an hour on two processors.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test

seed=${2:-1}
.venv/bin/python -m tests.fuzzing.soak --cases "${1:-100000}" --seed "$seed" --workers "$(nproc)"
.venv/bin/python -m tests.soak.kills --seed "$seed"
.venv/bin/python -m tests.soak.inferences --seed "$seed"
