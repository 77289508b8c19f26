#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Trains on one device: bash run_standalone_train.sh [MODEL] [DATA_DIR] [train options]; MODEL is edsr unless named
set -euo pipefail
here=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""

train=(--model edsr)
if [ $# -ge 1 ] && [[ $1 != -* ]]; then
    train=(--model "$1")
    shift
    if [ $# -ge 1 ] && [[ $1 != -* ]]; then
        case $1 in /*) train+=(--data_dir "$1") ;; *) train+=(--data_dir "$here/$1") ;; esac
        shift
    fi
fi
exec .venv/bin/ms-restore train "${train[@]}" "$@"
