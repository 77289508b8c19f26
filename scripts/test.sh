#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Installs the test extra and runs the tests: scripts/test.sh [--quick | --long] [pytest options]
#   --quick  without those that take several seconds each
#   --long   also those that take minutes each
# The tests run in a process for each of up to four processors; -n 0 runs them in one, and shows prints with -s.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test
unset PYTHONDONTWRITEBYTECODE # tests start many processes, each of which would compile the package

case ${1:-} in
--quick) selection="not long and not slow" && shift ;;
--long) selection="" && shift ;;
*) selection="not long" ;;
esac
processors=$(nproc) # before OMP_NUM_THREADS is set, which nproc would take for the number of processors
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE # more threads than processors slow each other down
exec .venv/bin/python -m pytest -n $((processors < 4 ? processors : 4)) --dist loadscope --no-loadscope-reorder -m "$selection" "$@"
