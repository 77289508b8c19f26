#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Scores a checkpoint: bash run_eval.sh CHECKPOINT [DATA_DIR] [eval options]
set -euo pipefail
here=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""

absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$here" "$1" ;; esac; }

[ $# -ge 1 ] || { echo "usage: bash run_eval.sh CHECKPOINT [DATA_DIR] [eval options]" >&2; exit 2; }
evaluate=(--checkpoint "$(absolute "$1")")
shift
if [ $# -ge 1 ] && [[ $1 != -* ]]; then
    evaluate+=(--data_dir "$(absolute "$1")")
    shift
fi
exec .venv/bin/ms-restore eval "${evaluate[@]}" "$@"
