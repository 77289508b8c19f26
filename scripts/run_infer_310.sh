#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Restores pictures on Atlas (Ascend 310) by MindSpore Lite: bash run_infer_310.sh MINDIR_PATH DATA_DIR [DEVICE_ID]
# Not run here: written to the documentation of MindSpore Lite. MINDIR_PATH is a file of ms-restore export, of one shape
# (--height H --width W): Atlas takes no other, and pictures of any size are computed in tiles of it.
# The results go to the folder restored/ beside DATA_DIR.
# PRECISION_MODE=... before the command: enforce_fp16 (default, as the converter's own), enforce_fp32, preferred_fp32,
# enforce_origin or preferred_optimal. DEVICE_ID, the variable, is taken where the argument is left out.
set -euo pipefail
here=$PWD
fail() { echo "run_infer_310.sh: $1" >&2; exit 2; }
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$here" "$1" ;; esac; }

[ $# -ge 2 ] && [ $# -le 3 ] || fail "usage: bash run_infer_310.sh MINDIR_PATH DATA_DIR [DEVICE_ID]"
mindir=$(absolute "$1")
pictures=$(absolute "${2%/}")
device=${3:-${DEVICE_ID:-0}}
precision=${PRECISION_MODE:-enforce_fp16}
[[ $mindir == *.mindir ]] || fail "$1: expected a .mindir file; make one: ms-restore export --file_format MINDIR"
[ -f "$mindir" ] || fail "$1: no such file"
[ -d "$pictures" ] || fail "$2: no such folder"
[[ $device =~ ^[0-9]+$ ]] || fail "DEVICE_ID $device: expected a number, such as 0"
case $precision in
enforce_fp16 | enforce_fp32 | preferred_fp32 | enforce_origin | preferred_optimal) ;;
*) fail "PRECISION_MODE $precision: expected enforce_fp16, enforce_fp32, preferred_fp32, enforce_origin or preferred_optimal" ;;
esac
command -v converter_lite >/dev/null ||
    fail "converter_lite is not on PATH; it is in tools/converter/converter of the MindSpore Lite package for your device (https://www.mindspore.cn/lite/docs/en/master/use/downloads.html), whose lib folders belong into LD_LIBRARY_PATH"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""
.venv/bin/python -c "import mindspore_lite" 2>/dev/null ||
    fail "mindspore_lite is not installed in .venv; install the wheel of the same package: .venv/bin/pip install mindspore_lite-*.whl"

converted=${mindir%.mindir}.lite # described by the file it was made from, which stays beside it
settings=$(printf '[ascend_context]\nprecision_mode=%s' "$precision")
if [ ! -e "$converted.mindir" ] || [ "$mindir" -nt "$converted.mindir" ] || [ "$(cat "$converted.cfg")" != "$settings" ]; then
    printf '%s\n' "$settings" >"$converted.cfg"
    converter_lite --fmk=MINDIR --saveType=MINDIR --optimize=ascend_oriented \
        --modelFile="$mindir" --outputFile="$converted" --configFile="$converted.cfg"
fi
exec .venv/bin/ms-restore infer --checkpoint "$converted.mindir" --engine lite --device_target Ascend \
    --device_id "$device" --input "$pictures" --output "$(dirname "$pictures")/restored"
