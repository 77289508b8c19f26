#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Trains on several devices, one process each:
#   bash run_distribute_train.sh RANK_TABLE.json [MODEL] [DATA_DIR] [launch options] [-- train options]
#   bash run_distribute_train.sh --workers N    [MODEL] [DATA_DIR] [launch options] [-- train options]
# The first takes this server's devices of an HCCL rank table, the second N processes here; both by msrun,
# or the table by a process a device where MindSpore is older than 2.8. --dry_run prints what would be started.
# MODEL is edsr unless named. launch options: ms-restore launch --help; train options: ms-restore train --help
set -euo pipefail
here=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""

absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$here" "$1" ;; esac; }

[ $# -ge 1 ] || { sed -n '4,5s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
if [ "$1" = --workers ]; then
    [ $# -ge 2 ] || { echo "run_distribute_train.sh: --workers needs a number" >&2; exit 2; }
    launch=(--workers "$2")
    shift 2
else
    launch=(--rank_table "$(absolute "$1")")
    shift
fi
train=(--model edsr)
if [ $# -ge 1 ] && [[ $1 != -* ]]; then
    train=(--model "$1")
    shift
    if [ $# -ge 1 ] && [[ $1 != -* ]]; then
        train+=(--data_dir "$(absolute "$1")")
        shift
    fi
fi
while [ $# -ge 1 ] && [ "$1" != -- ]; do
    launch+=("$1")
    shift
done
[ $# -ge 1 ] && shift
exec .venv/bin/ms-restore launch "${launch[@]}" -- "${train[@]}" "$@"
